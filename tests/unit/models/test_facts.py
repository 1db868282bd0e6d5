"""What config files say of widths and conditions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import BundleError
from orchestrator.models import facts
from orchestrator.models.encoder_facts import encoder_dim

SD = {"text_encoder": {"max_position_embeddings": 77, "hidden_size": 768}}
ZEROSCOPE = {"text_encoder": {"max_position_embeddings": 77, "hidden_size": 1024}}
AUDIOLDM = {"text_encoder": {"projection_dim": 512, "hidden_size": 768, "max_position_embeddings": 514}}
SDXL = {"text_encoder_2": {"max_position_embeddings": 77}, "unet": {"cross_attention_dim": 2048}}
SD3 = {"text_encoder": {"max_position_embeddings": 77}, "transformer": {"joint_attention_dim": 4096}}
COGVIDEOX = {"transformer": {"max_text_seq_length": 226, "text_embed_dim": 4096}}
AUDIOLDM2 = {"text_encoder_2": {"d_model": 1024}, "language_model": {"max_new_tokens": 8, "n_embd": 768}}


def pipeline(folder: Path, kind: str, parts: dict[str, Any]) -> Path:
    (folder / "model_index.json").write_text(json.dumps({"_class_name": kind}))
    for name, config in parts.items():
        (folder / name).mkdir()
        (folder / name / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize(
    ("kind", "parts", "wanted"),
    [
        ("StableDiffusionPipeline", SD, {"prompt_embeds": (77, 768)}),
        ("TextToVideoSDPipeline", ZEROSCOPE, {"prompt_embeds": (77, 1024)}),
        ("AudioLDMPipeline", AUDIOLDM, {"prompt_embeds": (1, 512)}),
        ("AudioLDM2Pipeline", AUDIOLDM2, {"generated_prompt_embeds": (8, 768)}),
        ("StableDiffusionXLPipeline", SDXL, {"prompt_embeds": (77, 2048)}),
        ("StableDiffusion3Pipeline", SD3, {"prompt_embeds": (333, 4096)}),
        ("FluxPipeline", SD3, {"prompt_embeds": (512, 4096)}),
        ("WanPipeline", {"transformer": {"text_dim": 4096}}, {"prompt_embeds": (512, 4096)}),
        ("LTXPipeline", {"transformer": {"caption_channels": 4096}}, {"prompt_embeds": (128, 4096)}),
        ("CogVideoXPipeline", COGVIDEOX, {"prompt_embeds": (226, 4096)}),
    ],
)
def test_the_conditions_of_generators(
    kind: str, parts: dict[str, Any], wanted: dict[str, tuple[int, int]], tmp_path: Path
) -> None:
    assert facts.condition(pipeline(tmp_path, kind, parts)) == wanted


def test_every_generator_is_on_the_page_of_bundles() -> None:
    page = (Path(__file__).parents[3] / "docs/bundles.md").read_text("utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| `") and "Pipeline` | " in line]
    assert [row.split("`")[1] for row in rows] == list(facts.CONDITION)


def test_lengths_that_a_tokenizer_says(tmp_path: Path) -> None:
    folder = pipeline(tmp_path, "StableAudioPipeline", {"projection_model": {"text_encoder_dim": 768}})
    (folder / "tokenizer").mkdir()
    (folder / "tokenizer/tokenizer_config.json").write_text('{"model_max_length": 128}')
    assert facts.condition(folder) == {"prompt_embeds": (128, 768)}


def test_an_unknown_pipeline(tmp_path: Path) -> None:
    folder = pipeline(tmp_path, "StableDifusionPipeline", {})
    told = r"no generator of class 'StableDifusionPipeline' is known\. Did you mean 'StableDiffusionPipeline'"
    with pytest.raises(BundleError, match=told):
        facts.condition(folder)


def test_a_config_that_does_not_say(tmp_path: Path) -> None:
    folder = pipeline(tmp_path, "AudioLDMPipeline", {"text_encoder": {"hidden_size": 768}})
    with pytest.raises(BundleError, match=r"text_encoder/config\.json names no projection_dim"):
        facts.condition(folder)


@pytest.mark.parametrize(
    ("config", "wanted"),
    [
        ({"model_type": "whisper", "d_model": 384}, 384),
        ({"model_type": "audio-spectrogram-transformer", "hidden_size": 768}, 768),
        ({"model_type": "resnet", "hidden_sizes": [64, 512]}, 512),
        ({"model_type": "clip", "vision_config": {"hidden_size": 1024}}, 1024),
    ],
)
def test_widths(config: dict[str, Any], wanted: int, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert encoder_dim(tmp_path) == wanted
