"""Sounds in batches for what listens: features of many random sounds, and augmentation of log spectrograms."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from recipes.pocket import playing, sounds, world

ATTRIBUTES: dict[str, list[str]] = {
    "concept": list(world.SOUNDS), "pitch": list(world.PITCHES), "loudness": list(world.LOUDNESSES),
    "rhythm": list(world.RHYTHMS),
}  # fmt: skip
SIZES = [len(table) for table in ATTRIBUTES.values()]
IGNORE = -100  # the label of what nobody says


def labels(todo: Sequence[world.Sound | None]) -> Tensor:
    """The sounds' attributes as indices [b, 4]; `IGNORE` where there is no sound."""
    rows = [[table.index(getattr(s, k)) if s else IGNORE for k, table in ATTRIBUTES.items()] for s in todo]
    return torch.tensor(rows)


def cross_entropy(logits: Tensor, right: Tensor, smoothing: float = 0.0) -> Tensor:
    """Sum over the attributes: logits [b, 32], of all attributes side by side, against labels [b, 4]."""
    parts = zip(logits.float().split(SIZES, 1), right.T, strict=True)
    return torch.stack([F.cross_entropy(row, r, label_smoothing=smoothing) for row, r in parts]).sum()


def shares(logits: Tensor, right: Tensor) -> dict[str, float]:
    """The share of right answers by attribute; the pitch is asked only of what has one."""
    toneless = torch.tensor([name in world.TONELESS for name in ATTRIBUTES["concept"]])[right[:, 0]]
    out = {}
    for name, row, r in zip(ATTRIBUTES, logits.split(SIZES, 1), right.T, strict=True):
        hit = (row.argmax(1) == r).float()
        out[name] = (hit[~toneless] if name == "pitch" else hit).mean().item()
    return out


def pool(
    cache: Path, features: Callable[[Tensor], Tensor], seed: int, count: int, own: float = 0.0, fontless: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Features [n, ...] of random sounds of the training fonts, as other makers have them, and their labels [n, 4]; a
    share of `own` in the generator's style, and of `fontless` of the other effects recorded or made by rule."""
    rng, concepts, parts, said = random.Random(seed), list(world.SOUNDS), [], []
    for start in range(0, count, 64):
        todo = [world.sample_sound(rng, concepts[(start + i) % len(concepts)]) for i in range(64)]
        waves = []
        for sound in todo:
            mine = rng.random() < own
            waves.append(playing.own(sound, cache, rng) if mine else playing.varied(sound, cache, rng, fontless))
        parts.append(features(torch.from_numpy(np.stack(waves))))
        said += todo
    return torch.cat(parts)[:count], labels(said[:count])


def test_set(cache: Path, font: str, rounds: int, tuned: bool) -> tuple[Tensor, Tensor]:
    """Waves [n, samples] of `rounds` random sounds a concept, of a font, at pitches that no training has, unless they
    are `tuned` as the generator's; labels."""
    rng = random.Random(2**31)
    known = [concept for concept in world.SOUNDS if sounds.programs(font, concept)]
    todo = [world.sample_sound(rng, concept) for concept in known * rounds]
    waves = np.stack([playing.play(s, font, cache, rng, sounds.TEST_OFFSETS, tuned) for s in todo])
    return torch.from_numpy(waves), labels(todo)


def augment(logs: Tensor, unit: float) -> Tensor:
    """Change timbre but not pitch, level or rhythm: [b, t, bands] -> the same.

    `unit` is what 10 dB are in these logarithms. Bands are raised and lowered smoothly, the loud ones not on the whole;
    noise fills what is quiet, and some bands are erased.
    """
    size, time, bands = logs.shape
    floor = logs.amin((1, 2), keepdim=True)
    curve = F.interpolate(torch.randn(size, 1, 7), size=bands, mode="linear", align_corners=True)
    power = (math.log(10) / unit * logs.amax(1, keepdim=True)).softmax(2)  # of the bands: b 1 bands, sum 1
    curve = unit * torch.rand(size, 1, 1) * (curve - (power * curve).sum(2, keepdim=True))
    quiet = logs.amax((1, 2), keepdim=True) - unit * (3 + 6 * torch.rand(size, 1, 1))
    noise = quiet + 0.25 * unit * torch.randn(size, time, bands)
    logs = torch.where(logs <= floor + 1e-3, logs, torch.maximum(logs + curve, floor))
    logs = torch.where(torch.rand(size, 1, 1) < 0.5, torch.maximum(logs, noise), logs)
    return torch.where(_stripe(size, bands)[:, None], floor, logs)


def _stripe(size: int, length: int) -> Tensor:
    """A random range of up to an eighth of the length, in half of the rows: bool [b, length]."""
    start, extent = torch.rand(2, size, 1) * torch.tensor([length, length / 8])[:, None, None]
    place = torch.arange(length)
    inside = (place >= start) & (place < start + extent)
    return inside & (torch.rand(size, 1) < 0.5)
