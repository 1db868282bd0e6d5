"""Generators MG_X: diffusers pipelines behind one adapter a family.

A condition is a dict of the pipeline's own keyword tensors with batch size 1, e.g. {"prompt_embeds": [1, L, d]}: H_X
from the output projector or tau_X(t) from the pipeline's text encoder, no difference to the pipeline.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import diffusers
import numpy as np
import torch
import transformers
from diffusers.training_utils import compute_snr

from orchestrator.errors import BundleError, nearest
from orchestrator.models import facts, pretrained

if TYPE_CHECKING:
    from torch import Tensor

Settings = Mapping[str, Any]  # steps, guidance, width, height, frames, negative
OnStep = Callable[[int, Callable[[], np.ndarray]], None]  # step done (from 1), preview uint8 [H, W, 3] on demand


@dataclass(frozen=True)
class Family:
    """Where things go in a kind of pipeline.

    `settings` maps Orch's names to the pipeline's; `frames` is whether latents have a frame axis [B, C, F, h, w].
    """

    condition: str
    negative: str
    settings: Mapping[str, str]
    frames: bool


LIBRARIES = {"diffusers": diffusers, "transformers": transformers}  # of the models within a pipeline
COMMON = {"steps": "num_inference_steps", "guidance": "guidance_scale", "width": "width", "height": "height"}

FAMILIES: dict[str, Family] = {
    "TextToVideoSDPipeline": Family(
        "prompt_embeds", "negative_prompt_embeds", {**COMMON, "frames": "num_frames"}, frames=True
    ),
    "StableDiffusionPipeline": Family("prompt_embeds", "negative_prompt_embeds", COMMON, frames=False),
}


class Generator:
    """A frozen pipeline. `settings` are the bundle's defaults; a flow's own go before them."""

    def __init__(self, pipe: Any, family: Family, settings: Settings) -> None:
        self.pipe, self.family, self.settings = pipe, family, settings

    @classmethod
    def load(cls, folder: Path, settings: Settings, device: str, dtype: torch.dtype) -> Generator:
        """Load a diffusers pipeline folder. Raises BundleError for a class that is not in the table."""
        kind = facts.pipeline_class(folder)
        if kind not in FAMILIES:
            raise BundleError(f"{folder}: no generator of class '{kind}' is known.{nearest(kind, FAMILIES)}")
        models = {
            name: pretrained.load(getattr(LIBRARIES[library], model), folder / name, dtype)
            for name, (library, model) in facts.pipeline_models(folder).items()
        }
        pipe = getattr(diffusers, kind).from_pretrained(folder, local_files_only=True, use_safetensors=True, **models)
        pipe.set_progress_bar_config(disable=True)
        for module in pipe.components.values():
            if isinstance(module, torch.nn.Module):
                module.eval().requires_grad_(False)
        return cls(pipe.to(device), FAMILIES[kind], settings)

    @torch.no_grad()
    def encode_text(self, captions: Sequence[str]) -> list[dict[str, Tensor]]:
        """tau_X(t): each caption -> {"prompt_embeds": [1, L, d]}."""
        embeds, _ = self.pipe.encode_prompt(list(captions), self.pipe.device, 1, False)
        return [{self.family.condition: row.unsqueeze(0)} for row in embeds]

    @torch.no_grad()
    def generate(
        self, conditions: Sequence[Mapping[str, Tensor]], settings: Settings, seeds: Sequence[int], on_step: OnStep
    ) -> list[np.ndarray]:
        """Conditions -> uint8 [F, H, W, 3] each (F = 1 for pictures), denoised as one batch with guidance.

        Each has its own seed, so a batch gives what single calls give. `on_step` may raise to stop between steps.
        """
        chosen = {**self.settings, **{k: v for k, v in settings.items() if v is not None}}
        negative = self.encode_text([str(chosen.get("negative", ""))] * len(conditions))
        arguments = {self.family.settings[k]: v for k, v in chosen.items() if k in self.family.settings}
        arguments |= _callback(self.pipe, lambda step, latents: on_step(step, lambda: self._preview(latents)))
        result = self.pipe(
            **{self.family.condition: self._stack(conditions)},
            **{self.family.negative: self._stack(negative)},
            generator=[torch.Generator().manual_seed(seed) for seed in seeds],
            output_type="np",
            **arguments,
        )
        made = result.frames if self.family.frames else result.images[:, None]
        return list((np.asarray(made) * 255).round().astype(np.uint8))

    def loss(self, conditions: Sequence[Mapping[str, Tensor]], media: Tensor, snr_gamma: float = 5.0) -> Tensor:
        """L_X-gen, equation 5: media [B, F, 3, H, W] in [-1, 1] (F = 1 for pictures) denoised under the conditions.

        The target is what the scheduler predicts (noise, v or sample), weighted by min-SNR (gamma 5) per sample. The
        gradient reaches the conditions only.
        """
        scheduler = self.pipe.scheduler
        with torch.no_grad():
            latents = self.encode_media(media)
        noise = torch.randn_like(latents)
        steps = torch.randint(0, scheduler.config.num_train_timesteps, (len(latents),), device=latents.device)
        noisy = scheduler.add_noise(latents, noise, steps)
        predicted = self.pipe.unet(noisy, steps, encoder_hidden_states=self._stack(conditions)).sample
        kind = scheduler.config.prediction_type
        targets = {"epsilon": lambda: noise, "v_prediction": lambda: scheduler.get_velocity(latents, noise, steps),
                   "sample": lambda: latents}  # fmt: skip
        error = (predicted.float() - targets[kind]().float()).square().flatten(1).mean(1)  # [B]
        snr = compute_snr(scheduler, steps)
        clipped = snr.clamp(max=snr_gamma)
        weights = {"epsilon": lambda: clipped / snr.clamp(min=1e-8), "v_prediction": lambda: clipped / (snr + 1),
                   "sample": lambda: clipped}  # fmt: skip
        return (error * weights[kind]()).mean()

    @torch.no_grad()
    def encode_media(self, media: Tensor) -> Tensor:
        """Media [B, F, 3, H, W] in [-1, 1] -> scaled latents [B, C, F, h, w], or [B, C, h, w] of a picture family."""
        vae = self.pipe.vae
        encoded = vae.encode(media.flatten(0, 1).to(vae.device, vae.dtype))
        latents = encoded.latent_dist.mode() if hasattr(encoded, "latent_dist") else encoded.latent
        latents = (latents * vae.config.scaling_factor).unflatten(0, media.shape[:2])  # [B, F, C, h, w]
        return latents.transpose(1, 2) if self.family.frames else latents[:, 0]

    def _stack(self, conditions: Sequence[Mapping[str, Tensor]]) -> Tensor:
        rows = torch.cat([c[self.family.condition] for c in conditions])
        return rows.to(self.pipe.device, self.pipe.unet.dtype)

    def _preview(self, latents: Tensor) -> np.ndarray:
        """The middle frame of the first item, decoded: uint8 [H, W, 3]."""
        frame = latents[:1, :, latents.shape[2] // 2] if self.family.frames else latents[:1]
        pixels = self.pipe.vae.decode(frame / self.pipe.vae.config.scaling_factor, return_dict=False)[0]
        pixels = (pixels[0].float().clamp(-1, 1) + 1) * 127.5
        return pixels.round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()


def _callback(pipe: Any, done: Callable[[int, Tensor], None]) -> dict[str, Any]:
    """The keyword that makes a pipeline call `done(step from 1, latents)`: diffusers has an old and a new way."""

    def new(_pipe: Any, step: int, _time: Any, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        done(step + 1, tensors["latents"])
        return tensors

    if "callback_on_step_end" in inspect.signature(pipe.__call__).parameters:
        return {"callback_on_step_end": new}
    return {"callback": lambda step, _time, latents: done(step + 1, latents)}
