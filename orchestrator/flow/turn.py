"""A turn of a chat with a bundle: all that it sees goes in, all that it makes may come out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from orchestrator.errors import InputError
from orchestrator.flow.builder import FlowBuilder, NodeRef, free_name
from orchestrator.flow.refs import Ref
from orchestrator.flow.spec import FlowSpec
from orchestrator.models import facts
from orchestrator.models.bundle import Bundle
from orchestrator.nodes.decode import MADE

SHORTEST, LONGEST = 96, 512  # tokens of a reply; between them a quarter of the LLM's context


def sees(bundle: Bundle) -> tuple[str, ...]:
    """The modalities beside text that the LLM can be shown."""
    return tuple(name for name in MADE if name in bundle.understands)


def makes(bundle: Bundle) -> tuple[tuple[str, ...], str]:
    """The modalities beside text that it makes, and by which bridge: signals where there are projectors for them."""
    spec = bundle.spec
    if bundle.remote:
        return tuple(name for name in MADE if name in spec.generators), "caption"
    called = [name for name in MADE if name in spec.generators and name in spec.signals]
    projected = tuple(name for name in called if name in spec.output_projectors)
    return (projected, "signal") if projected else (tuple(called), "caption")


def turn(bundle: Bundle, seen: Sequence[str]) -> FlowSpec:
    """The LLM replies to a text and to media of these modalities, in order, and what it calls for is made. Raises
    InputError for what the bundle can't see."""
    can = sees(bundle)
    if unseen := [modality for modality in seen if modality not in can]:
        raise InputError(f"bundle '{bundle.name}' can't be shown {unseen[0]}; it sees: {', '.join((*can, 'text'))}")
    flow = FlowBuilder("chat", bundle.typed, doc="One turn: what is said and shown -> a reply, and what it calls for.")
    inputs: list[str] = []
    media: list[Ref | NodeRef] = []
    for modality in seen:
        inputs.append(free_name(modality, inputs))
        media.append(_shown(flow, inputs[-1], flow.input(inputs[-1], modality), bundle.remote))
    made, bridge = makes(bundle)
    fields: dict[str, Any] = {"media": media} if media else {}
    text = flow.input("text", "text", optional=bool(media))
    reply = flow.add("reason", prompt=text, max_new_tokens=_longest(bundle), **fields)
    act = flow.add("route", reply=reply, bridge=bridge)
    for name in ("text", *made):
        flow.output(name, act[name])
    return flow.build()


def _shown(flow: FlowBuilder, name: str, medium: Ref, remote: bool) -> Ref | NodeRef:
    """A medium as the LLM is shown it: a remote one sees it as it is."""
    if remote:
        return medium
    features = flow.add("encode", f"encode_{name}", media=medium)
    return flow.add("project", f"project_{name}", features=features)


def _longest(bundle: Bundle) -> int:
    """How long a reply may be."""
    context = None if bundle.remote else facts.context(bundle.path("llm"))
    return min(LONGEST, max(SHORTEST, context // 4)) if context else LONGEST
