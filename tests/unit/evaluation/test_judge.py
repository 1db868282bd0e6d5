"""What a judge's folder tells before it is loaded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestrator.errors import BundleError
from orchestrator.evaluation.judge import Judge

LABELS = {"0": "dog", "1": "cat", "2": "motion: spinning", "3": "motion: moving left"}


def folder(at: Path, architecture: str = "ResNetForImageClassification", **config: object) -> Path:
    (at / "preprocessor_config.json").write_text("{}")
    (at / "config.json").write_text(json.dumps({"architectures": [architecture], "id2label": LABELS} | config))
    return at


def test_labels_have_groups(tmp_path: Path) -> None:
    judge = Judge(folder(tmp_path))
    assert judge.groups == {"concept": {0: "dog", 1: "cat"}, "motion": {2: "spinning", 3: "moving left"}}


KINDS = {
    "ResNetForImageClassification": ("image", "video"),
    "VideoMAEForVideoClassification": ("video",),
    "ASTForAudioClassification": ("audio",),
    "Wav2Vec2ForSequenceClassification": ("audio",),
}


@pytest.mark.parametrize("architecture", KINDS)
def test_kinds(architecture: str, tmp_path: Path) -> None:
    assert Judge(folder(tmp_path, architecture)).kind.modalities == KINDS[architecture]


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"no judge: there is no folder .*/nothing"):
        Judge(tmp_path / "nothing")


def test_another_kind_of_model(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"is no judge: its class is 'LlamaForCausalLM'. Known: ForAudio"):
        Judge(folder(tmp_path, "LlamaForCausalLM"))


def test_no_labels(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"its config.json names no labels \(id2label\)"):
        Judge(folder(tmp_path, id2label={}))


def test_no_processor(tmp_path: Path) -> None:
    folder(tmp_path)
    (tmp_path / "preprocessor_config.json").unlink()
    with pytest.raises(BundleError, match=r"has no preprocessor_config.json: a judge says how media are prepared"):
        Judge(tmp_path)
