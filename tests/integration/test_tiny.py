"""The tiny checkpoints load and run."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.models.bundle import Bundle
from orchestrator.models.bundle.verify import verify
from tests import tiny


def test_encoders(tiny_image_encoder: Path, tiny_convnet_encoder: Path) -> None:
    from PIL import Image
    from transformers import AutoImageProcessor, AutoModel, CLIPVisionModel

    picture = Image.new("RGB", (48, 40), "red")
    for model, folder in ((CLIPVisionModel, tiny_image_encoder), (AutoModel, tiny_convnet_encoder)):
        processor = AutoImageProcessor.from_pretrained(folder, backend="pil")
        pixels = processor(picture, return_tensors="pt")["pixel_values"]
        assert pixels.shape == (1, 3, tiny.SIDE, tiny.SIDE)
        assert tiny.WIDTH in model.from_pretrained(folder)(pixels).last_hidden_state.shape


def test_llm(tiny_llm: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    words = AutoTokenizer.from_pretrained(tiny_llm)
    model = AutoModelForCausalLM.from_pretrained(tiny_llm)
    ids = words("film this: a red dog [VID0][VID1]", return_tensors="pt").input_ids
    assert words.decode(ids[0], skip_special_tokens=True) == "film this: a red dog "
    assert model.get_input_embeddings().num_embeddings == len(words)
    assert model(ids).logits.shape == (1, ids.shape[1], len(words))


@pytest.mark.parametrize("fixture", ["tiny_image_generator", "tiny_video_generator"])
def test_generators(fixture: str, request: pytest.FixtureRequest) -> None:
    from diffusers import DiffusionPipeline

    pipeline = DiffusionPipeline.from_pretrained(request.getfixturevalue(fixture))
    pipeline.set_progress_bar_config(disable=True)
    assert pipeline.text_encoder.config.eos_token_id == len(pipeline.tokenizer) - 1
    frames = {"num_frames": 2} if "video" in fixture else {}
    made = pipeline("a red dog", num_inference_steps=2, height=tiny.SIDE, width=tiny.SIDE, output_type="np", **frames)
    assert made[0][0].shape[-3:] == (tiny.SIDE, tiny.SIDE, 3)


def test_bundle_is_sound_and_loads(tiny_bundle: Path) -> None:
    import torch

    from orchestrator.models.loading import load_part

    bundle = Bundle.open(tiny_bundle)
    assert verify(bundle) == []
    parts = {name: load_part(bundle, name, "cpu", torch.float32) for name in bundle.names()}
    assert len(parts) == 9
