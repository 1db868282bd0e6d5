"""A plan as a LangGraph graph: every stage is a node, the state holds handles only."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime

from orchestrator.engine import blocks
from orchestrator.engine.blocks import Block, Leaf, Parallel, Series
from orchestrator.engine.dispatch import Dispatch
from orchestrator.engine.loop import Loop
from orchestrator.engine.session import Session
from orchestrator.engine.state import State, session_of
from orchestrator.engine.worker import run_node
from orchestrator.flow.branches import branches, seeing
from orchestrator.flow.plan import Plan, WiredNode
from orchestrator.nodes.agent import AgentConfig
from orchestrator.nodes.route import ActConfig


def compile_plan(plan: Plan) -> Any:
    """The compiled graph of a plan. Run it with `context=` a Session."""
    edges = blocks.reduce({node.name: plan.predecessors(node.name) for node in plan.nodes})
    return _Compiler(plan).graph(edges, name=plan.spec.flow)


class _Compiler:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    def graph(self, edges: blocks.Edges, name: str) -> Any:
        """A graph of blocks and the blocks that each waits for."""
        if len(edges) == 1 and isinstance(series := next(iter(edges)), Series):
            waits = zip(series.items, [frozenset(), *(frozenset({item}) for item in series.items)], strict=False)
            edges = dict(waits)
        builder = StateGraph(State, context_schema=Session)
        doors = {block: [self._add(builder, item) for item in _side(block)] for block in edges}
        waited = {before for befores in edges.values() for before in befores}
        for block, befores in edges.items():
            exits = [door for before in befores for door in doors[before]]
            for door in doors[block]:
                builder.add_edge(exits or START, door)
            if block not in waited:
                for door in doors[block]:
                    builder.add_edge(door, END)
        return builder.compile(name=name)

    def _add(self, builder: Any, block: Block) -> str:
        """Add a block as one node: a leaf as itself, anything else as a subgraph. Returns the node's name."""
        if isinstance(block, Leaf):
            node = self.plan.node(block.name)
            builder.add_node(node.name, _action(node), metadata={"stage": node.stage.name})
            return node.name
        names = [leaf.name for leaf in _leaves(block)]
        name = f"{names[0]} to {names[-1]}"
        builder.add_node(name, self.graph({block: frozenset()}, name))
        return name


def _action(node: WiredNode) -> Any:
    """What runs a node: a function, or the graph of one that follows calls."""
    if not isinstance(node.stage.config, ActConfig):
        return _runner(node)
    making = {modality: compile_plan(plan) for modality, plan in branches(node).items()}
    if not isinstance(node.stage.config, AgentConfig):
        return Dispatch(node, making).graph()
    return Loop(node, making, {modality: compile_plan(plan) for modality, plan in seeing(node).items()}).graph()


def _runner(node: WiredNode) -> Callable[[State, Runtime[Session]], dict[str, Any]]:
    def run(state: State, runtime: Runtime[Session]) -> dict[str, Any]:
        here = node.at(state["branch"]) if state.get("branch") else node
        return {"handles": run_node(here, state["handles"], session_of(runtime))}

    return run


def _side(block: Block) -> Iterable[Block]:
    """The blocks that stand side by side in a block."""
    return block.items if isinstance(block, Parallel) else (block,)


def _leaves(block: Block) -> list[Leaf]:
    return [block] if isinstance(block, Leaf) else [leaf for item in block.items for leaf in _leaves(item)]
