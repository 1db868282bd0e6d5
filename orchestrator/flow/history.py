"""Where a dialogue enters a flow, and the flow that goes on from one: the same, with the dialogue in it.

That is the flow's own `dialogue` node, else the `history` of its first node with an LLM. Media of the dialogue go
through the nodes that those of the request go through, else through the bundle's encoder and projector.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.errors import InputError
from orchestrator.flow.builder import free_name
from orchestrator.flow.graph import reach
from orchestrator.flow.messages import told
from orchestrator.flow.plan import Link, Plan, WiredNode, owner
from orchestrator.flow.spec import FlowSpec, InputSpec, NodeSpec
from orchestrator.models.bundle import Bundle
from orchestrator.nodes.dialogue import SYSTEM, USER, Dialogue
from orchestrator.nodes.media import Media
from orchestrator.nodes.sight import unsaid
from orchestrator.prompts import template

HISTORY, MEDIA, PROMPT = "history", "media", "prompt"  # the ports, and what the node is called that a dialogue adds
Way = list[tuple[NodeSpec, str]]  # nodes one after the other, each with the port that it is entered by


@dataclass(frozen=True)
class Place:
    """Where a dialogue enters: a `dialogue` node, if the flow has one, and the nodes that hear it."""

    node: str | None
    hearers: tuple[WiredNode, ...]


def place(plan: Plan) -> Place:
    """Where a dialogue enters a flow. Raises InputError, with what to do, if there is no one place."""
    own = [node for node in plan.nodes if isinstance(node.stage, Dialogue)]
    if len(own) == 1:
        reads = [node for node in plan.nodes if own[0].name in plan.predecessors(node.name)]
        return Place(own[0].name, tuple(reads))
    before = {node.name: plan.predecessors(node.name) for node in plan.nodes}
    hears = {node.name for node in plan.nodes if HISTORY in node.stage.inputs}
    first = [node for node in plan.nodes if node.name in hears and not reach(before[node.name], before) & hears]
    if len(own) > 1 or len(first) > 1:
        names = ", ".join(f"'{node.name}'" for node in own or first)
        raise InputError(
            f"flow '{plan.spec.flow}' takes no dialogue: it could enter at {names}; say where, by one node "
            "{stage: dialogue} that the `history` of each node that is to hear it reads"
        )
    if not first:
        raise InputError(f"flow '{plan.spec.flow}' takes no dialogue: it has no node with an LLM (reason, agent)")
    return Place(None, tuple(first))


def after(plan: Plan, bundle: Bundle, messages: Iterable[Any]) -> tuple[FlowSpec, dict[str, Media]]:
    """The flow that goes on from a dialogue, and the media that its new inputs are.

    An input that the dialogue has shown may be left out, if nothing but the LLM would miss it. Raises InputError.
    """
    return _Talk(plan, bundle).after(messages)


class _Talk:
    """A flow while a dialogue is put into it."""

    def __init__(self, plan: Plan, bundle: Bundle) -> None:
        self.plan, self.bundle, self.place = plan, bundle, place(plan)
        self.inputs, self.nodes = dict(plan.spec.inputs), dict(plan.spec.nodes)
        self.media: dict[str, Media] = {}
        self.ways: dict[str, Way | None] = {}

    def after(self, messages: Iterable[Any]) -> tuple[FlowSpec, dict[str, Media]]:
        given = told(messages, self, tuple(self.bundle.spec.signals))
        known = self._optional({medium.modality for medium in given.shown}, any(t["role"] == USER for t in given.turns))
        self.inputs |= {name: put.model_copy(update={"optional": True}) for name, put in known.items()}
        seen = [self._show(medium) for medium in given.shown]
        node = self._add(given.turns, seen)
        made = [self._show(medium) for medium in given.made]
        for hearer in self.place.hearers:
            fields: dict[str, Any] = {HISTORY: f"${node}"}
            if made:
                fields[MEDIA] = [*made, *_list(self.nodes[hearer.name].fields.get(MEDIA, []))]
            self.nodes[hearer.name] = _with(self.nodes[hearer.name], fields)
        return self.plan.spec.model_copy(update={"inputs": self.inputs, "nodes": self.nodes}), self.media

    def _add(self, turns: Sequence[Mapping[str, Any]], seen: Sequence[str]) -> str:
        """Add turns to the flow's dialogue node, or one that has them; returns its name."""
        name = self.place.node or free_name(HISTORY, [*self.inputs, *self.nodes])
        fields = self.nodes[name].fields if self.place.node else {}
        before: list[Any] = list(fields.get("turns", ()))
        if before and turns and dict(before[0])["role"] == turns[0]["role"] == SYSTEM:
            both = "\n\n".join((dict(before[0])["text"], turns[0]["text"]))
            before, turns = [{"role": SYSTEM, "text": both}, *before[1:]], turns[1:]
        elif turns and turns[0]["role"] == SYSTEM:
            before, turns = [turns[0], *before], turns[1:]
        shown = [*_list(fields.get(MEDIA, [])), *seen]
        whole = {"turns": [*before, *turns]} | ({MEDIA: shown} if shown else {})
        self.nodes[name] = _with(self.nodes.get(name) or NodeSpec(stage=Dialogue.name), whole)
        return name

    # --- what is seen

    def _show(self, medium: Media) -> str:
        """Add a medium as an input, and the nodes that it goes through; returns a reference to what comes out."""
        taken = [*self.inputs, *self.nodes]
        name = next(n for i in range(1, len(taken) + 2) if (n := f"{HISTORY}-{i}") not in taken)
        self.inputs[name], self.media[name] = InputSpec(modality=medium.modality), medium
        source = name
        for node, port in self.ways[medium.modality] or ():
            step = free_name(f"{name}-{node.stage}", [*self.inputs, *self.nodes])
            self.nodes[step] = _with(node, {port: f"${source}"})
            source = step
        return f"${source}"

    def sees(self, medium: Media) -> bool:
        """Whether the LLM can be shown a medium."""
        modality = medium.modality
        if modality not in self.ways:
            links = [link for hearer in self.place.hearers for link in _links(hearer, MEDIA)]
            ways = (self._way(link, modality) for link in links)
            self.ways[modality] = next((way for way in ways if way is not None), self._usual(modality))
        return self.ways[modality] is not None

    def unseen(self, modality: str) -> str:
        if self.bundle.remote:
            return unsaid(self.bundle, modality)
        return f"neither flow '{self.plan.spec.flow}' nor its bundle has an encoder and a projector for {modality}"

    def _way(self, link: Link, modality: str) -> Way | None:
        """The nodes from an input of a modality to a link, if each has one input and no condition."""
        way: Way = []
        while link.source and link.when is None:
            name = owner(link.source)
            if name in self.plan.spec.inputs:
                return way if self.plan.spec.inputs[name].modality == modality else None
            node = self.plan.node(name)
            if node.when or len(list(node.all_links())) != 1:
                return None
            port, links = next(iter(node.links.items()))
            link = links[0] if isinstance(links, tuple) else links
            way.insert(0, (self.plan.spec.nodes[name], port))
        return None

    def _usual(self, modality: str) -> Way | None:
        if modality not in self.bundle.understands:
            return None
        if self.bundle.remote:
            return []
        return [(NodeSpec(stage="encode"), "media"), (NodeSpec(stage="project"), "features")]

    # --- what is asked, and what need not be given again

    def asked(self, text: str) -> str:
        """What the user said as the LLM was asked: in the node's template, or what is asked where nothing is said."""
        hearer = self.place.hearers[0]
        said = template(getattr(hearer.stage.config, "template", "{prompt}"))
        for link in _links(hearer, PROMPT) if not text.strip() else ():
            put = self.plan.spec.inputs.get(owner(link.source)) if link.source else None
            text = link.literal or (put.default if put else "") or ""
        return said.render(**dict.fromkeys(said.variables, text)) if text or not said.variables else ""

    def _optional(self, shown: set[str], asked: bool) -> dict[str, InputSpec]:
        """The inputs that may be left out: a turn before gave their like, and nothing but the LLM would miss them."""
        given = shown | ({"text"} if asked else set())
        return {
            name: put
            for name, put in self.plan.spec.inputs.items()
            if put.required and put.modality in given and self._spared(name)
        }

    def _spared(self, name: str) -> bool:
        """Whether an input may be missing: only nodes on the way to those that hear the dialogue are skipped for it."""
        before = {node.name: self.plan.predecessors(node.name) for node in self.plan.nodes}
        hearers = {hearer.name for hearer in self.place.hearers}
        on_the_way = reach(hearers, before) - hearers
        missing = {name}
        for node in self.plan.nodes:
            needed = [
                link for port in node.links if not node.stage.inputs[port].optional for link in _links(node, port)
            ]
            gone = {owner(source) for source in node.sources()} & missing
            every = all(link.source and owner(link.source) in missing for link in node.all_links())
            lost = any(link.source and owner(link.source) in missing for link in needed)
            if gone and (lost or (every and node.name not in hearers) or node.when):
                missing.add(node.name)
        kept = {owner(source) for source, _ in self.plan.outputs.values()}
        return missing - {name} <= on_the_way and not missing & kept


def _links(node: WiredNode, port: str) -> tuple[Link, ...]:
    links = node.links.get(port, ())
    return links if isinstance(links, tuple) else (links,)


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _with(node: NodeSpec, fields: Mapping[str, Any]) -> NodeSpec:
    return NodeSpec.model_validate({**node.to_plain(), **fields})
