"""Which node of a flow the user talks to, so that it can be told of the dialogue before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from orchestrator.errors import UserError
from orchestrator.flow.plan import Link, Plan, WiredNode
from orchestrator.nodes.agent import Agent
from orchestrator.nodes.reason import Reason

BEFORE = "inputs.<history>"  # the source of the dialogue, like none that a flow can have


def hearer(plan: Plan) -> WiredNode:
    """The node in which the LLM replies to the user: the one that replies, and has none before it that does. Raises
    UserError if there is no such node, or several."""
    replying = {node.name for node in plan.nodes if isinstance(node.stage, (Reason, Agent))}
    first = [plan.node(name) for name in sorted(replying) if not replying.intersection(_ancestors(plan, name))]
    if len(first) == 1:
        return first[0]
    has = ", ".join(node.name for node in first) or "none"
    raise UserError(
        f"flow '{plan.spec.flow}' can't be talked to: of its reason and agent nodes one has to hear the user, "
        f"and those that do are: {has}"
    )


def heard(plan: Plan) -> Plan:
    """The plan with the dialogue connected to the node that hears the user."""
    node = hearer(plan)
    told = replace(node, links={**node.links, "history": Link(BEFORE)})
    return replace(plan, nodes=tuple(told if other.name == node.name else other for other in plan.nodes))


def _ancestors(plan: Plan, name: str) -> Iterator[str]:
    """The names of all nodes that come before a node."""
    for before in plan.predecessors(name):
        yield before
        yield from _ancestors(plan, before)
