"""Signals, media and conditions of the tiny any-to-any bundle, for pictures, sounds and films alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from orchestrator.models.llm.calls import Call
from orchestrator.nodes.generate import Generate, GenerateConfig
from orchestrator.nodes.media import Audio, Media, Video
from orchestrator.nodes.output_project import OutputProject, OutputProjectConfig
from orchestrator.nodes.ports import Signals
from orchestrator.nodes.stage import Inputs
from orchestrator.testing import StageContext
from tests import tiny

MODALITIES = ("image", "audio", "video")
DICE = np.random.default_rng(0)
MAKES = {  # media of sizes and rates of their own
    "image": lambda: DICE.integers(0, 256, (40, 56, 3), np.uint8),
    "audio": lambda: Audio(DICE.normal(size=(3000, 2)).clip(-1, 1), 8000),
    "video": lambda: Video(DICE.integers(0, 256, (7, 40, 56, 3), np.uint8)),
}
LATENTS = {"image": (4, 16, 16), "audio": (4, 16, 8), "video": (4, 4, 16, 16)}
CONTENT = {
    "image": lambda media: np.array(media.image),
    "audio": lambda media: media.audio.samples,
    "video": lambda media: media.video.frames,
}


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def signals(modality: str, *captions: str, seed: int = 0) -> Signals:
    shape = (tiny.ALL_SIGNALS[modality], tiny.WIDTH)
    each = [(c, randn(*shape, seed=seed + i), randn(*shape, seed=90 + i)) for i, c in enumerate(captions)]
    return Signals(modality, tuple(Call(modality, c, 0, states, embeds) for c, states, embeds in each))


def asked(modality: str) -> list[Inputs]:
    """Two requests: two signals, of which one was dropped (classifier-free guidance), and one."""
    first, second = signals(modality, "a dog", "a cat"), signals(modality, "snow", seed=7)
    nothing = torch.zeros(tiny.ALL_SIGNALS[modality], tiny.WIDTH)
    dropped = replace(first.items[1], caption="", states=nothing, embeds=nothing)
    return [{"signal": Signals(modality, (first.items[0], dropped))}, {"signal": second}]


def bare(request: Inputs) -> Inputs:
    """Captions only."""
    signal = request["signal"]
    return {"signal": Signals(signal.modality, tuple(Call(signal.modality, i.caption) for i in signal.items))}


def shown(modality: str) -> list[Inputs]:
    media = [Media.load(MAKES[modality](), modality) for _ in range(3)]
    return [{"media": tuple(media[:2])}, {"media": (media[2],)}]


def output_project(**config: Any) -> OutputProject:
    return OutputProject(OutputProjectConfig(**config))


def generate(**config: Any) -> Generate:
    return Generate(GenerateConfig(**config))


def conditions(context: StageContext, modality: str, batch: Sequence[Inputs]) -> list[Inputs]:
    made = output_project().learn(batch, context, {}).outputs
    return [{"condition": out["condition"]} for out in made]
