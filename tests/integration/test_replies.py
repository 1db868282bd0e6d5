"""What becomes of replies: signals that are there twice, or not at all, and sounds of other rates."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from orchestrator.cli.main import main
from orchestrator.engine import flow as engine_flow
from orchestrator.engine.flow import Flow
from orchestrator.engine.pool import ModelPool
from orchestrator.engine.store import Store
from orchestrator.models.llm.model import LanguageModel
from orchestrator.nodes.media import Audio, Media
from tests import tiny

CHOOSE = Path(__file__).parents[2] / "flows" / "choose.yaml"
STEPS = {f"generate_{modality}.steps": 1 for modality in ("image", "audio", "video")}


@pytest.fixture(scope="module", autouse=True)
def pool() -> Iterator[None]:
    """Weights are loaded once for all tests of this file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine_flow, "POOL", ModelPool())
        yield


@pytest.fixture(autouse=True)
def store(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is made up here is cached for nobody."""
    monkeypatch.setattr(engine_flow, "STORE", Store())


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes the LLM reply with a text, in which `{image}` stands for a signal."""

    def set_reply(text: str) -> None:
        def generate(self: LanguageModel, prompts: Any, **_: Any) -> list[torch.Tensor]:
            marks = {m: "".join(tiny.TOKEN[m].format(i) for i in range(n)) for m, n in tiny.ALL_SIGNALS.items()}
            ids = self.tokenizer(text.format(**marks), add_special_tokens=False).input_ids
            return [torch.tensor(ids) for _ in prompts]

        monkeypatch.setattr(LanguageModel, "generate", generate)

    return set_reply


def test_two_signals_of_one_modality(says: Any, tiny_any_bundle: Path, tmp_path: Path) -> None:
    says("a dog {image} a cat {image} {audio}")
    flow = Flow.load(CHOOSE, tiny_any_bundle).with_fields(STEPS)
    result = flow.run(text="two", out=tmp_path)
    assert {name: len(result.all(name)) for name in result.outputs} == {"text": 1, "image": 2, "audio": 1}
    first, second = (np.array(media.image) for media in result.all("image"))
    assert not np.array_equal(first, second)
    assert result.folder
    files = {p.name for p in result.folder.iterdir()} - {"run.json", "events.jsonl", "flow.yaml"}
    assert files == {"text.txt", "image.png", "image-2.png", "audio.wav"}
    told = json.loads((result.folder / "run.json").read_text())["outputs"]
    assert [Path(m["path"]).name for m in (told["image"], *told["image"]["more"])] == ["image.png", "image-2.png"]
    skipped = {node.name for node in result.nodes if node.status == "skipped"}
    assert skipped == {"output_project_video", "generate_video"}


def test_the_command_line_shows_them_all(
    says: Any, tiny_any_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    says("a dog {image} a cat {image}")
    words = [f"--set={key}={value}" for key, value in STEPS.items()]
    out = ["--out", str(tmp_path), "--trace-svg", str(tmp_path / "trace.svg"), "--bundle", str(tiny_any_bundle)]
    assert main(["run", str(CHOOSE), "-i", "text=two", *out, *words]) == 0
    said = [line.partition(": ") for line in capsys.readouterr().out.splitlines()]
    assert [(name, Path(what).name) for name, _, what in said[1:]] == [
        ("image", "image.png"),
        ("image-2", "image-2.png"),
    ]
    assert all(word in (tmp_path / "trace.svg").read_text() for word in ("image-2", "skipped", "decode.audio"))


@pytest.mark.parametrize("reply", ["a dog", "", "[IMG0][IMG1] a dog [VID3]", "{audio}"])
def test_what_is_not_whole_is_no_signal(reply: str, says: Any, tiny_any_bundle: Path) -> None:
    says(reply)
    result = Flow.load(CHOOSE, tiny_any_bundle).with_fields(STEPS).run(text="x")
    assert result.status == "done"
    assert set(result.outputs) == {"text"} | ({"audio"} if "{audio}" in reply else set())


@pytest.mark.parametrize("rate", [8000, 22050])
def test_sounds_have_the_rate_of_their_vocoder(rate: int, tiny_any_bundle: Path, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(tiny_any_bundle, tmp_path / "b"))
    file = copied / "generators/audio/vocoder/config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"sampling_rate": rate}))
    result = Flow.arrow("text -> audio", copied).with_fields({"generate.steps": 1}).run(text="x", out=tmp_path / "runs")
    assert result["audio"].audio.rate == rate
    assert result["audio"].audio.seconds == pytest.approx(0.32, abs=0.05)
    assert Media.load(result.paths["audio"]).audio.rate == rate


@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (16000, 1), (44100, 2), (48000, 6)])
def test_sounds_of_any_rate_are_heard(rate: int, channels: int, tiny_any_bundle: Path) -> None:
    """Resampled for the encoder: the same tone is the same to it, or nearly."""
    heard = []
    for each, width in ((16000, 1), (rate, channels)):
        tone = np.sin(2 * np.pi * 440 * np.arange(each, dtype=np.float32) / each)
        sound = Audio(tone if width == 1 else np.repeat(tone[:, None], width, 1), each)
        flow = Flow.arrow("audio -> text", tiny_any_bundle).with_fields({"reason.max_new_tokens": 4})
        heard.append(flow.run(audio=sound)["text"].text)
    assert heard[0] == heard[1]
