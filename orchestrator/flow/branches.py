"""What stands within a node that follows calls: the nodes that make media, and in an agent those that think and see."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from orchestrator.flow.plan import Link, Plan, WiredNode
from orchestrator.flow.spec import FlowSpec, NodeSpec
from orchestrator.nodes.agent import Agent, AgentConfig
from orchestrator.nodes.encode import Encode, EncodeConfig
from orchestrator.nodes.generate import Generate, GenerateConfig
from orchestrator.nodes.output_project import OutputProject, OutputProjectConfig
from orchestrator.nodes.ports import PortType
from orchestrator.nodes.project import Project
from orchestrator.nodes.reason import Reason, ReasonConfig
from orchestrator.nodes.route import ActConfig, made_by
from orchestrator.nodes.stage import Config, Stage

SIGNAL, MEDIA = "inputs.signal", "generate.media"  # where a plan of `branches` begins and ends
SEEN, PROMPTS = "inputs.media", "project.prompts"  # and one of `seeing`


def branches(node: WiredNode) -> dict[str, Plan]:
    """Modality -> the nodes that make it from a signal; none of a node that follows no calls."""
    config = node.stage.config
    return {m: _making(m, (config.make or {}).get(m, {}), config.bridge) for m in makes(node)}


def makes(node: WiredNode) -> tuple[str, ...]:
    """The modalities that a node makes when the LLM calls for them."""
    config = node.stage.config
    return tuple(made_by(config.make, node.used)) if isinstance(config, ActConfig) else ()


def seeing(node: WiredNode) -> dict[str, Plan]:
    """Modality -> the nodes through which the LLM of an agent sees what it made; none where it sees that as it is."""
    stage = node.stage
    return {m: _seeing(m) for m in stage.config.see or ()} if isinstance(stage, Agent) and not stage.direct else {}


def thinking(node: WiredNode, last: bool = False) -> WiredNode:
    """The node in which the LLM of an agent replies; in the last turn it can call nothing."""
    config, source = node.stage.config, {} if last or "tools" not in node.links else {"tools": node.links["tools"]}
    stage = Reason(
        ReasonConfig(
            max_new_tokens=config.max_new_tokens,
            temperature=config.temperature,
            signals=() if last else makes(node),
        )
    )
    reply = {"reply": PortType("Reply")}
    return WiredNode("reason", stage, {"history": Link("history"), **source}, {}, reply, frozenset(reply))


def within(node: WiredNode) -> Iterator[WiredNode]:
    """The nodes within a node."""
    if isinstance(node.stage.config, AgentConfig):
        yield thinking(node)
    for plan in (*branches(node).values(), *seeing(node).values()):
        yield from plan.nodes


def every(plan: Plan) -> Iterator[WiredNode]:
    """The nodes of a plan, each with those within it."""
    for node in plan.nodes:
        yield node
        yield from (inner.at(node.name) for inner in within(node))


def _making(modality: str, settings: dict[str, Any], bridge: str) -> Plan:
    condition = OutputProject(OutputProjectConfig.model_validate({"bridge": bridge}))
    media = Generate(GenerateConfig.model_validate(settings))
    return _chain(
        modality,
        _node("output_project", condition, "signal", SIGNAL, PortType("Signals", modality)),
        _node("generate", media, "condition", "output_project.condition", PortType("Condition", modality)),
    )


def _seeing(modality: str) -> Plan:
    encode, project = Encode(EncodeConfig()), Project(Config())
    return _chain(
        modality,
        _node("encode", encode, "media", SEEN, PortType("Media", modality)),
        _node("project", project, "features", "encode.features", PortType("Features", modality)),
    )


def _node(name: str, stage: Stage, port: str, source: str, found: PortType) -> WiredNode:
    """A node with one input and one output, which has the modality of the input."""
    outputs = {name: PortType(out.type.kind, found.modality) for name, out in stage.outputs.items()}
    return WiredNode(name, stage, {port: Link(source)}, {port: found}, outputs, frozenset(outputs))


def _chain(name: str, *nodes: WiredNode) -> Plan:
    spec = FlowSpec(flow=name, nodes={node.name: NodeSpec(stage=node.stage.name) for node in nodes})
    return Plan(spec, nodes, {})
