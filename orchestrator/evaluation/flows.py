"""The flow that an evaluation runs: the one that it names, or the plain one for what is asked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from orchestrator.evaluation.requests import TEXT
from orchestrator.flow import arrows, yaml_io
from orchestrator.flow.builder import FlowBuilder, NodeRef, free_name
from orchestrator.flow.plan import Plan
from orchestrator.flow.spec import FlowSpec, NodeSpec
from orchestrator.nodes.registry import stages


def named(flow: str, folder: Path) -> FlowSpec:
    """The flow of an arrow line, or of a file whose path is relative to `folder`. Raises FlowError."""
    return arrows.parse(flow) if arrows.is_arrow_line(flow) else yaml_io.load(folder / flow)


def one_turn(inputs: Sequence[str], made: Sequence[str] = (), allowed: Sequence[str] | None = None) -> FlowSpec:
    """One turn of the LLM, which is asked nothing but what the request says.

    `inputs` are the modalities that it brings, `made` those that are generated from its signals, `allowed` the signals
    that the LLM may emit (default: those that are generated). No signal is required of it.
    """
    flow = FlowBuilder("evaluation")
    fields = _given(flow, inputs) | ({} if allowed is None else {"signals": list(allowed)})
    if TEXT not in inputs:
        fields["template"] = ""  # nothing is said beside the media
    split = flow.add("decode", reply=flow.add("reason", **fields))
    flow.output(TEXT, split[TEXT])
    for modality in made:
        condition = flow.add("output_project", signal=split[modality])
        flow.output(modality, flow.add("generate", condition=condition))
    return flow.build()


def agent(inputs: Sequence[str], makes: Sequence[str]) -> FlowSpec:
    """An agent that is asked what the request says, text and media, and may make these modalities."""
    flow = FlowBuilder("evaluation")
    acts = flow.add("agent", make={modality: {} for modality in makes}, **_given(flow, inputs))
    for modality in (TEXT, *makes):
        flow.output(modality, acts[modality])
    return flow.build()


def _given(flow: FlowBuilder, inputs: Sequence[str]) -> dict[str, Any]:
    """Inputs of these modalities, as the ports of the LLM that takes them."""
    fields: dict[str, Any] = {}
    media: list[NodeRef] = []
    for modality in inputs:
        ref = flow.input(free_name(modality, flow.build().inputs), modality)
        if modality == TEXT:
            fields["prompt"] = ref
        else:
            media.append(flow.add("project", features=flow.add("encode", media=ref)))
    return fields | ({"media": media} if media else {})


def bridged(spec: FlowSpec, bridge: str) -> FlowSpec:
    """The same flow with every signal taking this way to its generator."""
    known = stages()
    nodes = dict(spec.nodes)
    for name, node in spec.nodes.items():
        if node.stage in known and "bridge" in known[node.stage].config_class.model_fields:
            nodes[name] = NodeSpec.model_validate(node.to_plain() | {"bridge": bridge})
    return spec.model_copy(update={"nodes": nodes})


def sources(plan: Plan, kind: str, modality: str | None = None) -> list[str]:
    """Where a plan has values of a kind, e.g. `split.video`, in its order."""
    return [
        f"{node.name}.{port}"
        for node in plan.nodes
        for port, found in node.out_types.items()
        if found.kind == kind and modality in (None, found.modality)
    ]


def output(plan: Plan, modality: str) -> str | None:
    """Where the first output of a modality comes from."""
    return next((source for source, found in plan.outputs.values() if found.modality == modality), None)
