"""What flows along the edges of a graph: port types, and the values that they carry.

Symbols are those of the MM-LLM survey (arXiv 2401.13601):

    I_X --encode--> F_X --project--> P_X --reason--> t, S_X --decode--> text, signals
    signals --output_project--> H_X --generate--> X

Shapes: n tokens, d features, L condition positions. A value belongs to one request: no batch dimension.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from orchestrator.models.signals import Span

if TYPE_CHECKING:
    from torch import Tensor

Kind = Literal["Media", "Features", "Prompts", "Reply", "Signals", "Condition"]


@dataclass(frozen=True)
class PortType:
    """The type of a value: a kind and, except for `Reply`, a modality. `modality=None` takes any."""

    kind: Kind
    modality: str | None = None

    def __str__(self) -> str:
        return f"{self.kind}[{self.modality}]" if self.modality else self.kind

    def accepts(self, other: PortType) -> bool:
        """Whether a value of type `other` may enter a port of this type."""
        return self.kind == other.kind and (None in (self.modality, other.modality) or self.modality == other.modality)


@dataclass(frozen=True)
class Port:
    """A declared input or output of a stage.

    `like` names an input port whose modality an output takes over. `many` inputs take a list of references.
    An `optional` input may be left out; an `optional` output may be missing at run time, which skips what hangs on it.
    `not_modalities` are refused by an input that otherwise takes any modality.
    """

    type: PortType
    doc: str
    like: str | None = None
    many: bool = False
    optional: bool = False
    not_modalities: tuple[str, ...] = ()

    def accepts(self, other: PortType) -> bool:
        return self.type.accepts(other) and other.modality not in self.not_modalities


@dataclass(frozen=True)
class Features:
    """F_X: what an encoder saw (eq. 1). `tokens` is [n, d_x]; a video is its frames' tokens, one after the other."""

    modality: str
    tokens: Tensor
    frames: int = 1


@dataclass(frozen=True)
class Prompts:
    """P_X: soft prompts in the LLM's embedding space, `tokens` [n, d_llm], with n/frames of them a frame."""

    modality: str
    tokens: Tensor
    frames: int = 1


@dataclass(frozen=True)
class Reply:
    """t and S_X: what the LLM wrote (eq. 3).

    `text` is the reply without its signals, `spans` say where these stand in the new tokens `ids` [n]. `states` and
    `embeds` [n, d_llm] are the last layer's hidden states AT these tokens (not those that predict them) and their input
    embeddings: GILL and NExT-GPT read the sum of both. They are None where the reply has no signal, or the LLM is
    text-only.
    """

    text: str
    ids: Tensor | None = None
    spans: tuple[Span, ...] = ()
    states: Tensor | None = None
    embeds: Tensor | None = None


@dataclass(frozen=True)
class Signal:
    """One call that the LLM made: `states` and `embeds` [n_signal, d_llm] at its tokens (None from a text-only LLM),
    the caption that it came with, and its place (character offset) in the reply."""

    modality: str
    caption: str
    place: int = 0
    states: Tensor | None = None
    embeds: Tensor | None = None


@dataclass(frozen=True)
class Signals:
    """All signals of one modality in a reply, in order; never empty (no signal: the port is missing)."""

    modality: str
    items: tuple[Signal, ...]


@dataclass(frozen=True)
class Condition:
    """H_X: what a generator is conditioned on, one entry a signal.

    Each item is a dict of the generator's own keyword tensors (for example `prompt_embeds` [1, L, d]); `bridge` tells
    how it was made, `captions` what was asked.
    """

    modality: str
    items: tuple[dict[str, Any], ...]
    captions: tuple[str, ...]
    bridge: str = "signal"
    meta: dict[str, Any] = field(default_factory=dict)
