"""A frozen pipeline of any family: it encodes captions and media, generates, and gives equation 5."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn.functional import normalize, pad

from orchestrator.errors import BundleError, UserError
from orchestrator.models import facts
from orchestrator.models.generators import latents as autoencoder
from orchestrator.models.generators.denoising import denoising_loss
from orchestrator.models.generators.family import ConditionTensors, Family, Step
from orchestrator.models.generators.loading import load
from orchestrator.models.generators.outputs import Form, Settings

if TYPE_CHECKING:
    from torch import Tensor

    from orchestrator.models.bundle.spec import Place

Preview = Callable[[], np.ndarray]  # uint8 [H, W, 3] on demand
OnStep = Callable[[int, Preview | None], None]  # step done (from 1); a preview, if what is made can be seen


class Generator:
    """A frozen pipeline. `settings` are the bundle's defaults; a flow's own go before them."""

    def __init__(self, pipe: Any, family: Family, settings: Settings) -> None:
        self.pipe, self.family, self.settings = pipe, family, settings

    @classmethod
    def load(
        cls, folder: Path, settings: Settings, device: str, dtype: torch.dtype, spec: Place | None = None
    ) -> Generator:
        """Load a diffusers pipeline folder; `spec` says which weights are taken. Raises BundleError for a class that is
        not in the table."""
        pipe, family = load(folder, device, dtype, spec)
        usual = inspect.signature(pipe.__call__).parameters["num_inference_steps"].default
        return cls(pipe, family, {"steps": usual, **settings})

    @property
    def denoiser(self) -> Any:
        """The UNet or transformer."""
        return getattr(self.pipe, self.family.denoiser)

    def form(self, settings: Settings) -> Form:
        """The size of what it makes under these settings. Raises UserError for one that it can't make."""
        output = self.family.output
        return output.form(self.pipe, self._chosen(settings), output.grid(self.pipe))

    @torch.no_grad()
    def encode_text(self, captions: Sequence[str]) -> list[dict[str, Tensor]]:
        """tau_X(t): each caption, which may be empty -> a condition."""
        return self.family.encode(self.pipe, captions)

    @torch.no_grad()
    def generate(
        self, conditions: Sequence[ConditionTensors], settings: Settings, seeds: Sequence[int], on_step: OnStep
    ) -> list[np.ndarray]:
        """Conditions -> uint8 [F, H, W, 3] (F = 1 for pictures) or samples [n], [n, channels] each, denoised as one
        batch, guided.

        Each has its own seed, so a batch gives what single calls give. `on_step` may raise to stop between steps.
        """
        form, chosen = self.form(settings), self._chosen(settings)
        arguments = self._arguments(form, chosen) | self._conditions(conditions, chosen)
        arguments |= _callback(self.pipe, int(chosen["steps"]), lambda i, z: on_step(i, self._preview(z, form)))
        dice = [torch.Generator().manual_seed(seed) for seed in seeds]
        return list(self.family.output.read(self.pipe(generator=dice, output_type="np", **arguments)))

    def denoise(
        self,
        conditions: Sequence[ConditionTensors],
        latents: Sequence[Tensor],
        seeds: Sequence[int],
        snr_gamma: float | None = 5.0,
        settings: Settings | None = None,
    ) -> Tensor:
        """L_X-gen, equation 5: latents [C, ...], each noised by its own seed and denoised under its condition. The
        gradient reaches the conditions only."""
        condition, chosen = self._collate(conditions), self._chosen(settings or {})
        clean = torch.stack(list(latents)).to(self.pipe._execution_device, torch.float32)

        def predict(noisy: Tensor, times: Tensor) -> Tensor:
            return self._predict(Step(noisy.to(self.denoiser.dtype), times, condition, chosen))

        return denoising_loss(predict, self.pipe.scheduler, clean, seeds, snr_gamma)

    @torch.no_grad()
    def encode_media(self, media: Sequence[np.ndarray], settings: Settings) -> list[Tensor]:
        """Media, uint8 [F, H, W, 3] or samples [n] each, in the generator's form -> normalised latents [C, F, h, w],
        [C, h, w] of pictures and spectrograms, [C, n] of waves; of an autoencoder with a distribution, its mode."""
        output = self.family.output
        prepared = output.prepare(self.pipe, media, self.form(settings))
        return list(autoencoder.encode(self.pipe.vae, prepared, output.folded, self.pipe._execution_device))

    def _predict(self, step: Step) -> Tensor:
        """What the denoiser makes of noisy latents, in their layout."""
        family = self.family
        named = {argument: step.condition[keyword] for keyword, argument in family.takes.items() if argument}
        arguments = {"timestep": step.times, **named, **family.given, **family.also(self.pipe, step)}
        made = self.denoiser(family.pack(self.pipe, step.noisy), **arguments, return_dict=False)[0]
        return family.unpack(self.pipe, made, step.noisy.shape[2:])

    def _chosen(self, settings: Settings) -> dict[str, Any]:
        return {**self.settings, **{k: v for k, v in settings.items() if v is not None}}

    def _arguments(self, form: Form, chosen: Settings) -> dict[str, Any]:
        """The settings under the pipeline's names, sizes as it will make them."""
        names = self.family.output.settings
        sizes = {"width": form.width, "height": form.height, "frames": form.frames}
        return {names[name]: value for name, value in {**chosen, **sizes}.items() if name in names}

    def _conditions(self, conditions: Sequence[ConditionTensors], chosen: Settings) -> dict[str, Tensor]:
        """The pipeline's keyword tensors; negative ones together with them, so that they are of the same length."""
        kind, asked = self.family.negative, "negative" in chosen
        if kind == "never" and asked:
            what = f"{type(self.pipe).__name__} takes no `negative`: guidance was distilled into it"
            raise UserError(f"negative '{chosen['negative']}': {what}; leave it out")
        if kind == "never" or (kind == "asked" and not asked):
            return self._collate(conditions)
        caption = str(chosen.get("negative", ""))
        negative = [self.encode_text([caption])[0] if caption else self._empty] * len(conditions)
        made = {}
        for keyword, both in self._collate([*conditions, *negative]).items():
            made[keyword], made[f"negative_{keyword}"] = both.chunk(2)
        return made

    @cached_property
    def _empty(self) -> ConditionTensors:
        """The condition of an empty caption."""
        return self.encode_text([""])[0]

    def _collate(self, conditions: Sequence[ConditionTensors]) -> dict[str, Tensor]:
        """Conditions -> the pipeline's keyword tensors, [B, L, d] and masks [B, L], the shorter filled with zeros."""
        return {keyword: self._rows(keyword, conditions) for keyword in self.family.takes}

    def _rows(self, keyword: str, conditions: Sequence[ConditionTensors]) -> Tensor:
        family = self.family
        rows = [self._tensor(keyword, condition).to(self.pipe._execution_device) for condition in conditions]
        lengths = sorted({row.shape[1] for row in rows})
        if len(lengths) > 1 and not family.ragged:
            raise BundleError(f"{keyword} of {lengths[0]} and of {lengths[-1]} positions do not go together")
        made = torch.cat([pad(row, [0, 0] * (row.ndim - 2) + [0, lengths[-1] - row.shape[1]]) for row in rows])
        if keyword in family.vectors:
            made = normalize(made.float().squeeze(1), dim=-1) if family.unit else made.squeeze(1)
        return made.to(self.denoiser.dtype) if made.is_floating_point() else made

    def _tensor(self, keyword: str, condition: ConditionTensors) -> Tensor:
        """What a condition has under a keyword, or what stands in for it: a mask of what is there, else of nothing."""
        for name, masks in facts.MASKS.items():
            if keyword in masks and keyword not in condition and name in condition:
                return torch.ones(condition[name].shape[:2], dtype=torch.long)
        return condition[keyword] if keyword in condition else self._empty[keyword]

    def _preview(self, latents: Tensor, form: Form) -> Preview | None:
        """The middle frame of the first item, decoded when asked for."""
        family, pipe = self.family, self.pipe

        def show() -> np.ndarray:
            first = family.unpack(pipe, latents[:1], family.output.grid(pipe).latents(form))
            middle = first.shape[2] // 2
            films = first.ndim == 5
            x = autoencoder.decode(pipe.vae, first[:, :, middle : middle + 1] if films else first, family.output.folded)
            pixels = (x[0, :, -1] if films else x[0]).clamp(-1, 1)  # [3, H, W]
            return ((pixels + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()

        return show if family.output.visible else None


def _callback(pipe: Any, steps: int, done: Callable[[int, Tensor], None]) -> dict[str, Any]:
    """The keyword that makes a pipeline call `done(step from 1, latents)`: diffusers has an old and a new way. Some
    schedulers go through more times than steps (PNDM, Heun): then steps are shares of these."""

    def new(_pipe: Any, index: int, _time: Any, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        done(math.ceil((index + 1) * steps / len(pipe.scheduler.timesteps)), tensors["latents"])
        return tensors

    if "callback_on_step_end" in inspect.signature(pipe.__call__).parameters:
        return {"callback_on_step_end": new}
    return {"callback": lambda step, _time, latents: done(step + 1, latents)}
