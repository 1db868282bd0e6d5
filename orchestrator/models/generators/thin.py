"""Pipelines of our own, for checkpoints whose pipeline diffusers has deprecated and may drop: what they share.

Folders and parts are those of diffusers' class of the same name; results are equal to its.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from diffusers import DiffusionPipeline
from diffusers.utils.torch_utils import randn_tensor

if TYPE_CHECKING:
    from torch import Tensor

Told = Callable[[Any, int, Any, "dict[str, Tensor]"], Any]  # pipe, step from 0, time, {"latents": ...}


@dataclass(frozen=True)
class Made:
    """What a pipeline returns: frames [B, F, H, W, 3] in 0..1, or sounds [B, n]; arrays if it was asked for `np`."""

    frames: Any = None
    audios: Any = None


class ThinPipeline(DiffusionPipeline):
    """A UNet that denoises under classifier-free guidance, between a text encoder and an autoencoder."""

    model_cpu_offload_seq = "text_encoder->unet->vae"

    def __init__(self, **parts: Any) -> None:
        super().__init__()
        self.register_modules(**parts)
        self.vae_scale_factor = 2 ** (len(self.vae.config.block_out_channels) - 1)

    def tokens(self, captions: Sequence[str]) -> Any:
        """Token ids and mask, [B, L], padded to the tokenizer's length."""
        words = self.tokenizer
        told = {"padding": "max_length", "max_length": words.model_max_length, "truncation": True}
        return words(list(captions), return_tensors="pt", **told).to(self._execution_device)

    def denoise(
        self,
        shape: Sequence[int],
        condition: Tensor,
        predict: Callable[[Tensor, Tensor, Tensor], Tensor],
        steps: int,
        guidance: float,
        generator: Any,
        told: Told | None,
    ) -> Tensor:
        """Noise of `shape` -> latents. `condition` is those of nothing and the real ones if `guidance` is above 1;
        `predict(noisy, time, condition)` is the UNet."""
        device = self._execution_device
        self.scheduler.set_timesteps(steps, device=device)
        latents = randn_tensor(tuple(shape), generator=generator, device=device, dtype=condition.dtype)
        latents = latents * self.scheduler.init_noise_sigma
        extra = _taken(self.scheduler.step, {"eta": 0.0, "generator": generator})
        for i, time in enumerate(self.progress_bar(self.scheduler.timesteps)):
            noisy = torch.cat([latents] * (len(condition) // len(latents)))
            made = predict(self.scheduler.scale_model_input(noisy, time), time, condition)
            if guidance > 1:
                nothing, wanted = made.chunk(2)
                made = nothing + guidance * (wanted - nothing)
            latents = self.advance(made, time, latents, extra)
            if told is not None:
                told(self, i, time, {"latents": latents})
        return latents

    def advance(self, made: Tensor, time: Tensor, latents: Tensor, extra: Mapping[str, Any]) -> Tensor:
        """One step of the scheduler."""
        after: Tensor = self.scheduler.step(made, time, latents, **extra).prev_sample
        return after


def guided(condition: Tensor, negative: Tensor | None, guidance: float) -> Tensor:
    """The conditions of nothing before the real ones, where there is guidance."""
    return torch.cat([negative, condition]) if guidance > 1 and negative is not None else condition


def _taken(function: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
    names = inspect.signature(function).parameters
    return {name: value for name, value in arguments.items() if name in names}
