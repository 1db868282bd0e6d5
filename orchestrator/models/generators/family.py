"""What is to be known of a family of pipelines: a row of the table in `families.py`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from orchestrator.models.generators.outputs import Output, Settings

if TYPE_CHECKING:
    from torch import Tensor

ConditionTensors = Mapping[str, "Tensor"]
Encode = Callable[[Any, Sequence[str]], "list[dict[str, Tensor]]"]  # pipe, captions -> a condition each


@dataclass(frozen=True)
class Step:
    """What is asked of a denoiser: noisy latents [B, C, ...] at times [B], under the conditions' rows by keyword."""

    noisy: Tensor
    times: Tensor
    condition: Mapping[str, Tensor]
    settings: Settings


def _nothing(pipe: Any, step: Step) -> dict[str, Any]:
    return {}


def _as_it_is(pipe: Any, latents: Tensor) -> Tensor:
    return latents


def _back_as_it_is(pipe: Any, latents: Tensor, size: Sequence[int]) -> Tensor:
    return latents


@dataclass(frozen=True)
class Family:
    """Where things go in a kind of pipeline.

    `takes` maps its condition's keywords to the denoiser's arguments ("": `also` places them), `given` are further
    arguments, `also(pipe, step)` those that depend on the step. `encode` is tau_X. `pack` makes of latents what the
    denoiser works on, `unpack(pipe, packed, size)` latents of it, `size` being their last axes.

    `vectors` are keywords of one vector each, [1, 1, d], which go in without positions, of length one if `unit`.
    `ragged` is whether padding is told from what is real, so that conditions may differ in length. `negative` is when
    negative conditions are given: `always` (those of an empty caption unless the settings name one), if `asked` (else
    the pipeline has nothing of its own), or `never` (guidance was distilled into the denoiser).
    """

    output: Output
    encode: Encode
    takes: Mapping[str, str]
    given: Mapping[str, Any] = field(default_factory=dict)
    also: Callable[[Any, Step], dict[str, Any]] = _nothing
    denoiser: Literal["unet", "transformer"] = "unet"
    pack: Callable[[Any, Tensor], Tensor] = _as_it_is
    unpack: Callable[[Any, Tensor, Sequence[int]], Tensor] = _back_as_it_is
    vectors: tuple[str, ...] = ()
    unit: bool = False
    ragged: bool = False
    negative: Literal["always", "asked", "never"] = "always"
    pipeline: Any = None  # a class of our own, where diffusers may drop its
    precise: tuple[str, ...] = ()  # parts that stay in 32 bits: 16 overflow, or show
