"""Estimated activations beside what is alive at once in a forward of the real classes, on the meta device: shapes are
counted, nothing is computed. Attention is a kernel that keeps no matrix, as it is on the devices that there are."""

from __future__ import annotations

import json
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from orchestrator.models.placement import activations


class Alive(TorchDispatchMode):
    """The most bytes alive at once of what is made within it."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.weights = [*model.parameters(), *model.buffers()]
        self.known = {tensor.untyped_storage()._cdata for tensor in self.weights}
        self.now = self.most = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in (leaf for leaf in tree_leaves(out) if isinstance(leaf, torch.Tensor)):
            storage = tensor.untyped_storage()
            if storage._cdata not in self.known:
                self.known.add(storage._cdata)
                self.now += storage.nbytes()
                self.most = max(self.most, self.now)
                weakref.finalize(storage, self._gone, storage._cdata, storage.nbytes())
        return out

    def _gone(self, key: int, count: int) -> None:
        self.known.discard(key)
        self.now -= count


@pytest.fixture(autouse=True)
def meta(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def attention(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> Any:
        return torch.empty(*query.shape[:-1], value.shape[-1], dtype=query.dtype, device=query.device)

    monkeypatch.setattr(F, "scaled_dot_product_attention", attention)
    with torch.device("meta"):
        yield


def alive(model: Any, call: Callable[[Any], Any]) -> float:
    with torch.no_grad(), Alive(model.eval()) as counted:
        call(model)
    return counted.most / 4  # float32


def config(folder: Path, model: Any) -> Path:
    """The config of a model as a checkpoint has it."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(dict(model.config)) if isinstance(model.config, dict) else model.config.to_json_string()
    (folder / "config.json").write_text(text)
    return folder


def near(estimated: float, counted: float) -> bool:
    return bool(0.5 < estimated / counted < 2)


@pytest.mark.parametrize("reply", [32, 512])
def test_llm(tmp_path: Path, reply: int) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    model = LlamaForCausalLM(LlamaConfig(num_hidden_layers=3, num_key_value_heads=8))
    sequence = torch.empty(1, activations.PROMPT + reply, 4096)
    counted = alive(model, lambda m: m(inputs_embeds=sequence, use_cache=True, logits_to_keep=1))
    assert near(activations.estimate(config(tmp_path, model), "llm", {"max_new_tokens": reply}, 0), counted)


def test_encoders(tmp_path: Path) -> None:
    from transformers import CLIPVisionConfig, CLIPVisionModel, WhisperConfig
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    clip = CLIPVisionModel(
        CLIPVisionConfig(hidden_size=1024, intermediate_size=4096, num_attention_heads=16, num_hidden_layers=2)
    )
    counted = alive(clip, lambda m: m(torch.empty(4, 3, 224, 224)))
    assert near(activations.estimate(config(tmp_path / "clip", clip), "encoders.video", {"frames": 4}, 0), counted)
    whisper = WhisperEncoder(WhisperConfig(d_model=768, encoder_ffn_dim=3072, encoder_layers=2))
    counted = alive(whisper, lambda m: m(torch.empty(1, 80, 3000)))
    assert near(activations.estimate(config(tmp_path / "whisper", whisper), "encoders.audio", {}, 0), counted)


def unet(side: int) -> tuple[Any, Callable[[Any], Any]]:
    from diffusers import UNet2DConditionModel

    latents = torch.empty(2, 4, side // 8, side // 8), torch.empty(2), torch.empty(2, 77, 768)
    return UNet2DConditionModel(sample_size=64, cross_attention_dim=768), lambda m: m(*latents)


def transformer(side: int) -> tuple[Any, Callable[[Any], Any]]:
    from diffusers import SD3Transformer2DModel

    model = SD3Transformer2DModel(num_layers=2, joint_attention_dim=4096, caption_projection_dim=1152)
    latents = torch.empty(2, 16, side // 8, side // 8)
    return model, lambda m: m(latents, torch.empty(2, 333, 4096), torch.empty(2, 2048), torch.empty(2))


@pytest.mark.parametrize(("name", "made"), [("unet", unet), ("transformer", transformer)])
def test_generators(tmp_path: Path, name: str, made: Any) -> None:
    """The denoiser and the decoder each; the estimate is the larger."""
    from diffusers import AutoencoderKL

    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(128, 256, 512, 512),
    )
    model, call = made(512)
    decoded = alive(vae, lambda m: m.decode(torch.empty(1, 4, 64, 64)))
    denoised = alive(model, call)
    config(tmp_path / name, model)
    config(tmp_path / "vae", vae)
    size = {"width": 512, "height": 512}
    assert near(activations.estimate(tmp_path, "generators.image", size, 0), max(decoded, denoised))
    inside = activations.DENOISERS[name](dict(model.config), 64 * 64, 1)
    assert inside
    assert near(activations.GUIDED * inside, denoised)
