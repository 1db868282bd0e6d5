"""Which files of a repository are taken: settings and one form of the weights, whatever else there is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import BundleError
from orchestrator.models.bundle import checkpoint
from orchestrator.models.bundle.spec import EncoderSpec

CLIP = [
    "README.md", "config.json", "flax_model.msgpack", "merges.txt", "model.safetensors", "preprocessor_config.json",
    "pytorch_model.bin", "tf_model.h5", "tokenizer.json", "onnx/model.onnx", "onnx/config.json", "modeling_clip.py",
]  # fmt: skip
KEPT = ["config.json", "merges.txt", "model.safetensors", "preprocessor_config.json", "tokenizer.json"]
PIECES = [f"model-0000{i}-of-00003.safetensors" for i in (1, 2, 3)]
PIPELINE = [
    "model_index.json", "v1-5-pruned.safetensors", "scheduler/scheduler_config.json", "tokenizer/vocab.json",
    "unet/config.json", "unet/diffusion_pytorch_model.safetensors", "unet/diffusion_pytorch_model.fp16.safetensors",
    "unet/diffusion_pytorch_model.non_ema.safetensors", "unet/diffusion_pytorch_model.bin", "vae/config.json",
    "vae/diffusion_pytorch_model.safetensors", "safety_checker/config.json", "safety_checker/model.safetensors",
    "other/config.json", "other/model.safetensors",
]  # fmt: skip
INDEX: dict[str, Any] = {
    "_class_name": "StableDiffusionPipeline", "scheduler": ["diffusers", "DDIMScheduler"],
    "safety_checker": ["stable_diffusion", "Checker"], "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"], "vae": ["diffusers", "AutoencoderKL"], "image_encoder": [None, None],
    "requires_safety_checker": True,
}  # fmt: skip


def spec(**fields: Any) -> EncoderSpec:
    return EncoderSpec(hub="org/name", **fields)


@pytest.mark.parametrize(
    ("names", "fields", "wanted"),
    [
        (CLIP, {}, KEPT),
        (CLIP, {"trust": ("remote_code",)}, sorted([*KEPT, "modeling_clip.py"])),
        (CLIP, {"variant": "fp16"}, KEPT),
        (CLIP, {"trust": ("pickle",)}, KEPT),
        (["config.json", "pytorch_model.bin"], {"trust": ("pickle",)}, ["config.json", "pytorch_model.bin"]),
        (["config.json", "pytorch_model.bin"], {}, ["config.json"]),
        ([*PIECES, "model.safetensors.index.json", "pytorch_model.bin.index.json"], {},
         [*PIECES, "model.safetensors.index.json"]),
        ([*PIECES, "model.safetensors"], {}, ["model.safetensors"]),
        (["model.safetensors", "model.fp16.safetensors", "model.safetensors.index.fp16.json"], {"variant": "fp16"},
         ["model.fp16.safetensors", "model.safetensors.index.fp16.json"]),
        (["model.fp32-00001-of-00002.safetensors", "model.fp32-00002-of-00002.safetensors", "model.safetensors"], {},
         ["model.safetensors"]),
        (["diffusion_pytorch_model-00001-of-00001.fp16.safetensors"], {"variant": "fp16"},
         ["diffusion_pytorch_model-00001-of-00001.fp16.safetensors"]),
    ],
)  # fmt: skip
def test_of_one_folder(names: list[str], fields: dict[str, Any], wanted: list[str]) -> None:
    assert checkpoint.needed(names, spec(**fields)) == wanted


@pytest.mark.parametrize(("variant", "unet"), [("", ""), ("fp16", ".fp16"), ("non_ema", ".non_ema")])
def test_of_a_pipeline_its_components(variant: str, unet: str) -> None:
    assert checkpoint.needed(PIPELINE, spec(variant=variant), INDEX) == [
        "model_index.json", "scheduler/scheduler_config.json", "tokenizer/vocab.json", "unet/config.json",
        f"unet/diffusion_pytorch_model{unet}.safetensors", "vae/config.json", "vae/diffusion_pytorch_model.safetensors",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("names", "index", "message"),
    [
        (["config.json"], None, r"has no weights: no \*\.safetensors file in it"),
        (
            ["pytorch_model.bin"],
            None,
            r"but pytorch_model\.bin, a pickle, which may run any code \(`trust: \[pickle\]`\)",
        ),
        (["model.fp16.safetensors"], None, r"they are there as fp16; name one: `variant: fp16`"),
        (PIECES[1:], None, r"is not whole: it has 2 of the 3 pieces model-\*-of-00003\.safetensors"),
        ([n for n in PIPELINE if "vae/diff" not in n], INDEX, r"is not whole: vae has no weights"),
        (
            [n for n in PIPELINE if "tokenizer" not in n],
            INDEX,
            r"is not whole: there is no folder tokenizer, which its",
        ),
    ],
)
def test_what_is_lacking(names: list[str], index: Any, message: str, tmp_path: Path) -> None:

    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(json.dumps(index if name == checkpoint.INDEX else {}))
    with pytest.raises(BundleError, match=f"{tmp_path} .*{message}"):
        checkpoint.local(tmp_path, spec())


def test_settings_come_before_weights(tmp_path: Path) -> None:
    for name in ("a.safetensors", "z.json", "b/c.txt", "README.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = [file.relative_to(tmp_path).as_posix() for file in checkpoint.everything(tmp_path)]
    assert found == ["b/c.txt", "z.json", "a.safetensors"]
