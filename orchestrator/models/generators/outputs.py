"""What generators make: pictures, films and sounds, between arrays and what an autoencoder takes.

Arrays are uint8 [F, H, W, 3] (F = 1 for pictures) and, of sounds, float32 [n], of several channels [n, channels]. The
autoencoder takes pixels in -1..1, [B, C, H, W] or, of films, [B, C, F, H, W]; a spectrogram as a picture of one
channel, [B, 1, T, bins]; or the samples, [B, channels, n].
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn.functional import pad

from orchestrator.errors import UserError
from orchestrator.models.generators.mel import level, log_mel

if TYPE_CHECKING:
    from torch import Tensor

Settings = Mapping[str, Any]  # steps, guidance, negative; width, height, frames, fps; seconds, peak


@dataclass(frozen=True)
class Form:
    """The size of what a generator makes: pixels and frames, or samples at a rate, as loud as `peak`."""

    width: int = 0
    height: int = 0
    frames: int = 1
    rate: int = 0
    samples: int = 0
    peak: float = 0.0


@dataclass(frozen=True)
class Grid:
    """How many frames (but for the first) and pixels of a side a latent stands for; sides are multiples of `side`."""

    frames: int = 1
    pixels: int = 1
    side: int = 8

    def latents(self, form: Form) -> tuple[int, int, int]:
        """[F, h, w] of a form."""
        return (form.frames - 1) // self.frames + 1, form.height // self.pixels, form.width // self.pixels


@dataclass(frozen=True, eq=False)
class Output:
    """A kind of output.

    `settings` maps Orch's names to the pipeline's; `form(pipe, settings, grid)` is its size;
    `prepare(pipe, arrays, form)` gives what the autoencoder takes; `read(result)` the arrays of a pipeline's result.
    `folded` is whether a film's frames are pictures to the autoencoder; `visible` whether it can be shown before it is
    done.
    """

    settings: Mapping[str, str]
    form: Callable[[Any, Settings, Grid], Form]
    prepare: Callable[[Any, Sequence[np.ndarray], Form], Tensor]
    read: Callable[[Any], np.ndarray]
    grid: Callable[[Any], Grid] = lambda pipe: Grid()
    folded: bool = False
    visible: bool = True


def usual_by_unet(pipe: Any) -> dict[str, int]:
    """The size that a pipeline makes unless told: that of the samples its denoiser was trained on."""
    size = getattr(pipe, "default_sample_size", None) or pipe.unet.config.sample_size
    height, width = (size, size) if isinstance(size, int) else size
    scale = pipe.vae_scale_factor
    frames = {"frames": _defaults(pipe)[FRAMES["frames"]]} if FRAMES["frames"] in _defaults(pipe) else {}
    return {"width": width * scale, "height": height * scale, **frames}


def usual_by_call(pipe: Any) -> dict[str, int]:
    """The same, where the pipeline's call says it."""
    return {name: _defaults(pipe)[keyword] for name, keyword in {**SIZE, **FRAMES}.items()}


def canvas(usual: Callable[[Any], dict[str, int]]) -> Callable[[Any, Settings, Grid], Form]:
    """The form of pictures and films. Frames are rounded down to what latents stand for, as 1, 5, 9, ...; other sides
    than the grid's are refused: UserError."""

    def form(pipe: Any, settings: Settings, grid: Grid) -> Form:
        made = {name: int(settings.get(name, size)) for name, size in usual(pipe).items()}
        for name in SIZE:
            if made[name] % grid.side or not made[name]:
                below = made[name] // grid.side * grid.side
                near = f"{below} or {below + grid.side}" if below else str(grid.side)
                of = f"{type(pipe).__name__} makes sides that are multiples of {grid.side}"
                raise UserError(f"{name} {made[name]}: {of}; take {near}")
        frames = (max(made.get("frames", 1), 1) - 1) // grid.frames * grid.frames + 1
        return Form(made["width"], made["height"], frames)

    return form


def _spectrogram_form(pipe: Any, settings: Settings, grid: Grid) -> Form:
    """As the pipeline reckons: mel frames, rounded up to what the autoencoder can halve."""
    vocoder, scale, hop = pipe.vocoder.config, pipe.vae_scale_factor, _hop(pipe)
    usual = pipe.unet.config.sample_size * scale * hop / vocoder.sampling_rate
    frames = int(settings.get("seconds", usual) / (hop / vocoder.sampling_rate))
    samples = math.ceil(frames / scale) * scale * hop
    return Form(rate=vocoder.sampling_rate, samples=samples, peak=float(settings.get("peak", 0.5)))


def _wave_form(pipe: Any, settings: Settings, grid: Grid) -> Form:
    """Any length up to the denoiser's, which it always makes; the rest is cut off."""
    rate, most = pipe.vae.config.sampling_rate, _window(pipe)
    seconds = float(settings.get("seconds", most / rate))
    if not 0 < seconds <= most / rate:
        raise UserError(f"seconds {seconds:g}: {type(pipe).__name__} makes sounds of up to {most / rate:g} seconds")
    return Form(rate=rate, samples=int(seconds * rate), peak=float(settings.get("peak", 0)))


def _pictures(pipe: Any, arrays: Sequence[np.ndarray], form: Form) -> Tensor:
    return _films(pipe, arrays, form)[:, :, 0]  # [B, 3, H, W]


def _films(pipe: Any, arrays: Sequence[np.ndarray], form: Form) -> Tensor:
    return torch.from_numpy(np.stack(arrays)).permute(0, 4, 1, 2, 3) / 127.5 - 1  # [B, 3, F, H, W]


def _spectrograms(pipe: Any, arrays: Sequence[np.ndarray], form: Form) -> Tensor:
    bins = pipe.vocoder.config.model_in_dim
    mel = log_mel(level(arrays, form.samples, form.peak), form.rate, bins, _hop(pipe))
    return mel[:, None]  # [B, 1, T, bins]


def _waves(pipe: Any, arrays: Sequence[np.ndarray], form: Form) -> Tensor:
    """One channel for each of the autoencoder's, with silence up to the denoiser's length."""
    sounds = level(arrays, form.samples, form.peak)[:, None].expand(-1, pipe.vae.config.audio_channels, -1)
    return pad(sounds, (0, _window(pipe) - form.samples))  # [B, channels, n]


def _hop(pipe: Any) -> int:
    """Samples that the vocoder makes of one mel frame."""
    return math.prod(pipe.vocoder.config.upsample_rates)


def _window(pipe: Any) -> int:
    """Samples of what a denoiser of waves makes."""
    return int(pipe.transformer.config.sample_size) * int(pipe.vae.hop_length)


def _bytes(made: Any) -> np.ndarray:
    return (np.asarray(made) * 255).round().astype(np.uint8)


def _channels_last(made: Any) -> np.ndarray:
    sounds = np.moveaxis(np.asarray(made), 1, 2)  # [B, channels, n] -> [B, n, channels]
    return sounds[:, :, 0] if sounds.shape[2] == 1 else sounds


def _defaults(pipe: Any) -> dict[str, Any]:
    """What a pipeline's call takes unless told."""
    return {name: p.default for name, p in inspect.signature(pipe.__call__).parameters.items()}


STEPS = {"steps": "num_inference_steps", "guidance": "guidance_scale"}
SIZE = {"width": "width", "height": "height"}
FRAMES = {"frames": "num_frames"}


def _by_scale(pipe: Any) -> Grid:
    return Grid(pixels=pipe.vae_scale_factor)


PICTURE = Output(
    {**STEPS, **SIZE}, canvas(usual_by_unet), _pictures, lambda result: _bytes(result.images)[:, None], _by_scale
)
FILM = Output(
    {**STEPS, **SIZE, **FRAMES},
    canvas(usual_by_unet),
    _films,
    lambda result: _bytes(result.frames),
    _by_scale,
    folded=True,
)
CLIP = Output({**STEPS, **SIZE, **FRAMES}, canvas(usual_by_call), _films, lambda result: _bytes(result.frames))
SOUND = Output(
    {**STEPS, "seconds": "audio_length_in_s"},
    _spectrogram_form,
    _spectrograms,
    lambda result: np.asarray(result.audios),
    visible=False,
)
WAVE = Output(
    {**STEPS, "seconds": "audio_end_in_s"},
    _wave_form,
    _waves,
    lambda result: _channels_last(result.audios),
    visible=False,
)
