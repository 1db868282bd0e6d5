"""Flows in Python.

    flow = FlowBuilder("film-this")
    image = flow.input("image", "image")
    align = flow.add("project", features=flow.add("encode", media=image))
    split = flow.add("decode", reply=flow.add("reason", prompt="Film it.", media=[align]))
    film = flow.add("generate", condition=flow.add("output_project", signal=split.video), steps=12)
    flow.output("video", film)

A builder is a flow for `Flow(flow)`; its spec, `flow.build()`, can be written with `dumps`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from orchestrator.errors import FlowError, Problem
from orchestrator.flow.refs import Ref
from orchestrator.flow.spec import FlowSpec, InputSpec, NodeSpec


class NodeRef:
    """A node as a value for other nodes: itself (its only port), or one port by attribute or item."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getitem__(self, port: str) -> Ref:
        return Ref(self._name, port)

    def __getattr__(self, port: str) -> Ref:
        if port.startswith("_"):  # copying and pickling ask for these
            raise AttributeError(port)
        return Ref(self._name, port)

    def __str__(self) -> str:
        return f"${self._name}"


class FlowBuilder:
    """Collects inputs, nodes and outputs; `build` gives the spec, which `wire` checks like any other."""

    def __init__(self, name: str, bundle: str = "pocket", doc: str = "") -> None:
        self._name, self._bundle, self._doc = name, bundle, doc
        self._inputs: dict[str, InputSpec] = {}
        self._nodes: dict[str, NodeSpec] = {}
        self._outputs: dict[str, str] = {}

    def input(self, name: str, modality: str, default: str | None = None, doc: str = "", optional: bool = False) -> Ref:
        """Declare an input."""
        self._new("input", name, self._inputs)
        self._inputs[name] = InputSpec(modality=modality, default=default, doc=doc, optional=optional)
        return Ref(name)

    def add(self, stage: str, name: str | None = None, *, when: str | Ref | None = None, **fields: Any) -> NodeRef:
        """Add a node, named after its stage (`_2` and so on if that is taken). Fields are those of the YAML."""
        name = free_name(stage, self._nodes) if name is None else name
        self._new("node", name, self._nodes)
        condition = {} if when is None else {"when": str(when)}
        self._nodes[name] = NodeSpec.model_validate({"stage": stage} | condition | _plain(fields))
        return NodeRef(name)

    def output(self, name: str, ref: str | Ref | NodeRef) -> None:
        """Name a result."""
        self._new("output", name, self._outputs)
        self._outputs[name] = str(ref)

    def build(self) -> FlowSpec:
        """The spec so far."""
        return FlowSpec(
            flow=self._name,
            bundle=self._bundle,
            doc=self._doc,
            inputs=dict(self._inputs),
            nodes=dict(self._nodes),
            outputs=dict(self._outputs),
        )

    def _new(self, kind: str, name: str, taken: Collection[str]) -> None:
        if name in taken:
            free = free_name(name, taken)
            raise FlowError([Problem(f"{kind} '{name}': flow '{self._name}' has it already; try '{free}'")])


def free_name(name: str, taken: Collection[str]) -> str:
    """`name`, or the first of `name_2`, `name_3` ... that is not taken."""
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    return free


def _plain(value: Any) -> Any:
    """References as text, sequences as lists: what the YAML would hold."""
    if isinstance(value, (Ref, NodeRef)):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    return value
