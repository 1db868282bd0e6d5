"""decode: the reply -> text and signals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from orchestrator.models.llm.calls import Call, made
from orchestrator.models.llm.signals import Span
from orchestrator.nodes.media import Media
from orchestrator.nodes.modality import MODALITIES
from orchestrator.nodes.ports import Port, PortType, Reply, Signals
from orchestrator.nodes.stage import Context, Inputs, Outputs, Stage

MADE = tuple(name for name in MODALITIES if name != "text")


class Decode(Stage):
    """Split a reply into its text and its signals, one port a modality (t and S_X of equation 3).

    A modality that the reply does not ask for has no value: what hangs on it is skipped. The tool calls of an LLM that
    gives text only are signals without hidden states.
    """

    name: ClassVar[str] = "decode"
    inputs: ClassVar[Mapping[str, Port]] = {"reply": Port(PortType("Reply"), "What the LLM wrote.")}
    outputs: ClassVar[Mapping[str, Port]] = {
        "text": Port(PortType("Media", "text"), "t: the reply without its signals.")
    } | {
        name: Port(PortType("Signals", name), f"S_X: the signals that ask for {name}.", optional=True) for name in MADE
    }

    def run(self, batch: Sequence[Inputs], context: Context) -> list[Outputs]:
        """Nothing is computed: tensors are sliced."""
        return [self._split(request["reply"]) for request in batch]

    def _split(self, reply: Reply) -> Outputs:
        out: dict[str, Any] = {"text": Media.load(reply.text, "text")}
        signals = [signal(reply, span) for span in reply.spans] + [captioned(call, MADE) for call in reply.calls]
        for modality in dict.fromkeys(signal.name for signal in signals):
            out[modality] = Signals(modality, tuple(s for s in signals if s.name == modality))
        return out


def signal(reply: Reply, span: Span) -> Call:
    """The signal of a span."""
    states = None if reply.states is None else reply.states[span.start : span.stop]
    embeds = None if reply.embeds is None else reply.embeds[span.start : span.stop]
    return Call(span.modality, span.caption, span.place, states, embeds)


def captioned(call: Call, modalities: Iterable[str]) -> Call:
    """A call as the signal that it is; that of a tool has the caption alone. Raises CallError for one that makes none
    of these modalities."""
    modality, caption = made(call, modalities)
    return replace(call, name=modality, caption=caption, arguments="")
