"""decode: the reply -> text and signals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from orchestrator.models.signals import Span
from orchestrator.nodes.media import Media
from orchestrator.nodes.modality import MODALITIES
from orchestrator.nodes.ports import Port, PortType, Reply, Signal, Signals
from orchestrator.nodes.stage import Context, Inputs, Outputs, Stage


class Decode(Stage):
    """Split a reply into its text and its signals, one port a modality (t and S_X of equation 3).

    A modality that the reply does not ask for has no value: what hangs on it is skipped.
    """

    name: ClassVar[str] = "decode"
    inputs: ClassVar[Mapping[str, Port]] = {"reply": Port(PortType("Reply"), "What the LLM wrote.")}
    outputs: ClassVar[Mapping[str, Port]] = {
        "text": Port(PortType("Media", "text"), "t: the reply without its signals.")
    } | {
        name: Port(PortType("Signals", name), f"S_X: the signals that ask for {name}.", optional=True)
        for name in MODALITIES
        if name != "text"
    }

    def run(self, batch: Sequence[Inputs], context: Context) -> list[Outputs]:
        """Nothing is computed: tensors are sliced."""
        return [self._split(request["reply"]) for request in batch]

    def _split(self, reply: Reply) -> Outputs:
        out: dict[str, Any] = {"text": Media.load(reply.text, "text")}
        for modality in dict.fromkeys(span.modality for span in reply.spans):
            items = tuple(_signal(reply, span) for span in reply.spans if span.modality == modality)
            out[modality] = Signals(modality, items)
        return out


def _signal(reply: Reply, span: Span) -> Signal:
    """The signal of a span; a text-only LLM gives its caption alone."""
    states = None if reply.states is None else reply.states[span.start : span.stop]
    embeds = None if reply.embeds is None else reply.embeds[span.start : span.stop]
    return Signal(span.modality, span.caption, span.place, states, embeds)
