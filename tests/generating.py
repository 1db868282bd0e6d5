"""Today's generators beside the stock pipelines of diffusers: sizes and shapes of the tiny ones, how they are asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from orchestrator.models.generators import Generator, Preview
from orchestrator.models.loading import quiet
from tests import tiny_parts as tiny


@dataclass(frozen=True)
class Case:
    """A family: its size here, the same for the stock pipeline, and shapes of what it makes."""

    size: dict[str, Any]
    stock: dict[str, Any]
    made: tuple[int, ...]
    latents: tuple[int, ...]
    condition: dict[str, tuple[int, ...]]
    negative: bool = True


SQUARE = {"width": 16, "height": 16}
FILM = {**SQUARE, "num_frames": 9}
CASES = {
    "StableDiffusionXLPipeline": Case(
        SQUARE, SQUARE, (1, 16, 16, 3), (4, 8, 8), {"prompt_embeds": (1, 16, 32), "pooled_prompt_embeds": (1, 1, 16)}
    ),
    "StableDiffusion3Pipeline": Case(
        SQUARE, SQUARE, (1, 16, 16, 3), (4, 8, 8), {"prompt_embeds": (1, 272, 32), "pooled_prompt_embeds": (1, 1, 32)}
    ),
    "FluxPipeline": Case(
        SQUARE,
        SQUARE,
        (1, 16, 16, 3),
        (4, 8, 8),
        {"prompt_embeds": (1, 512, 16), "pooled_prompt_embeds": (1, 1, 16)},
        negative=False,
    ),
    "WanPipeline": Case({**SQUARE, "frames": 9}, FILM, (9, 16, 16, 3), (4, 3, 2, 2), {"prompt_embeds": (1, 512, 16)}),
    "LTXPipeline": Case(
        {"width": 64, "height": 32, "frames": 9, "fps": 8},
        {"width": 64, "height": 32, "num_frames": 9, "frame_rate": 8},
        (9, 32, 64, 3),
        (8, 2, 1, 2),
        {"prompt_embeds": (1, 128, 16), "prompt_attention_mask": (1, 128)},
    ),
    "CogVideoXPipeline": Case(
        {**SQUARE, "frames": 9},
        {**FILM, "max_sequence_length": tiny.T5_LENGTH},
        (9, 16, 16, 3),
        (4, 3, 2, 2),
        {"prompt_embeds": (1, 12, 16)},
    ),
    "StableAudioPipeline": Case(
        {"seconds": 0.03},
        {"audio_end_in_s": 0.03},
        (48, 2),
        (4, 16),
        {"prompt_embeds": (1, 12, 16), "attention_mask": (1, 12)},
    ),
}


def load(folder: Path, **settings: Any) -> Generator:
    with quiet():
        return Generator.load(folder, {"steps": 2, "guidance": 2.0, **settings}, "cpu", torch.float32)


def nobody(step: int, preview: Preview | None) -> None:
    """Nobody watches."""


def close(a: np.ndarray, b: np.ndarray) -> bool:
    slack = 1 if a.dtype == np.uint8 else 1e-5
    return a.shape == b.shape and bool(np.abs(a.astype(float) - b.astype(float)).max() <= slack)


def stock(generator: Generator, case: Case, caption: str, **settings: Any) -> Any:
    """The bare pipeline, called with the caption."""
    dice = torch.Generator().manual_seed(7)
    told = {"num_inference_steps": 2, "guidance_scale": 2.0, "output_type": "np", **case.stock, **settings}
    with quiet():
        return generator.pipe(caption, generator=dice, **told)


@contextmanager
def heard(module: torch.nn.Module) -> Iterator[list[dict[str, Any]]]:
    """What a denoiser is called with: its first argument as `latents`, times as `timestep`."""
    calls: list[dict[str, Any]] = []

    def listen(_: Any, args: tuple[Any, ...], named: dict[str, Any]) -> None:
        order = dict(zip(("latents", "timestep"), args, strict=False))
        told = {"latents" if k in ("hidden_states", "sample") else k: v for k, v in {**order, **named}.items()}
        calls.append({k: v for k, v in told.items() if k != "return_dict" and v is not None and v != {}})

    handle = module.register_forward_pre_hook(listen, with_kwargs=True)
    try:
        yield calls
    finally:
        handle.remove()


def media(case: Case) -> np.ndarray:
    """Noise, in the form that the generator makes."""
    dice = np.random.default_rng(0)
    if len(case.made) == 2:
        return dice.normal(size=case.made[0]).astype(np.float32) / 4
    return dice.integers(0, 256, case.made, np.uint8)
