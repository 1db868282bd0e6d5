"""What flows along the edges of a graph: port types, and the values that they carry.

Symbols are those of the MM-LLM survey (arXiv 2401.13601):

    I_X --encode--> F_X --project--> P_X --reason--> t, S_X --decode--> text, signals
    signals --output_project--> H_X --generate--> X

Shapes: n tokens, d features, L condition positions. A value belongs to one request: no batch dimension.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from orchestrator.models.llm.calls import Call
from orchestrator.models.llm.signals import Span

if TYPE_CHECKING:
    from torch import Tensor

    from orchestrator.nodes.media import Media

Kind = Literal[
    "Media", "Features", "Prompts", "Reply", "Signals", "Condition", "Tool", "Call", "Observation", "History"
]  # fmt: skip


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
    `not_modalities` are refused by an input that otherwise takes any modality. `also` are other types that it takes.
    """

    type: PortType
    doc: str
    like: str | None = None
    many: bool = False
    optional: bool = False
    not_modalities: tuple[str, ...] = ()
    also: tuple[PortType, ...] = ()

    def accepts(self, other: PortType) -> bool:
        return any(t.accepts(other) for t in (self.type, *self.also)) and other.modality not in self.not_modalities

    def __str__(self) -> str:
        return " or ".join(map(str, (self.type, *self.also)))


# What the LLM is shown: P_X, or, of a remote LLM that sees them, media themselves.
SHOWN = Port(
    PortType("Prompts"),
    "P_X: soft prompts, before the text; of a remote LLM that sees them, media.",
    many=True,
    optional=True,
    not_modalities=("text",),
    also=(PortType("Media"),),
)


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
    text-only: it asks by `calls` of tools, in order. `tokens` is its length, of a remote LLM in pieces of its answer;
    `forgot` is how many turns of the dialogue, the oldest, the LLM was not told for want of room.
    """

    text: str
    ids: Tensor | None = None
    spans: tuple[Span, ...] = ()
    states: Tensor | None = None
    embeds: Tensor | None = None
    calls: tuple[Call, ...] = ()
    tokens: int = 0
    forgot: int = 0


@dataclass(frozen=True)
class Signals:
    """All signals of one modality in a reply, in order; never empty (no signal: the port is missing)."""

    modality: str
    items: tuple[Call, ...]


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


@dataclass(frozen=True)
class Tool:
    """What an LLM may call: its name, what it does, and the JSON schema of its arguments; `target` says where it is, in
    the words of its `kind` (function, flow or mcp)."""

    name: str
    description: str
    schema: str
    kind: str
    target: str


@dataclass(frozen=True)
class Observation:
    """What a call gave: media in order (texts among them), or the error that the LLM is told. `name` is how later calls
    refer to it, `seen` are its media as the LLM sees them: P_X of each, or themselves."""

    call: Call
    name: str = ""
    media: tuple[Media, ...] = ()
    seen: tuple[Prompts | Media, ...] = ()
    error: str = ""

    def of(self, modality: str) -> tuple[Media, ...]:
        """The media of a modality."""
        return tuple(media for media in self.media if media.modality == modality)


@dataclass(frozen=True)
class Turn:
    """A turn of a dialogue: what somebody says; the assistant's calls; what these gave (role `tool`, whose
    text is a template for that); what is seen."""

    role: str
    text: str = ""
    calls: tuple[Call, ...] = ()
    observations: tuple[Observation, ...] = ()
    seen: tuple[Prompts | Media, ...] = ()


@dataclass(frozen=True)
class History:
    """A dialogue so far, for the next reply."""

    turns: tuple[Turn, ...]
