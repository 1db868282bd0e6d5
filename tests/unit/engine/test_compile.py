"""Plans as LangGraph graphs."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langgraph.checkpoint.memory import InMemorySaver

from orchestrator.engine.compile import compile_plan
from orchestrator.engine.pool import ModelPool
from orchestrator.engine.session import Session
from orchestrator.engine.store import Store
from orchestrator.errors import UserError
from orchestrator.nodes.media import Media
from tests import stubs
from tests.unit.engine.conftest import Make, echo

UNEVEN = {
    "start": echo("$text"),
    "a1": echo("$start"),
    "a2": echo("$a1"),
    "b1": echo("$start"),
    "b2": echo("$b1"),
    "end": {"stage": "join", "parts": ["$a2", "$b2"]},
}


def test_every_stage_is_a_node(make: Make) -> None:
    flow = make(UNEVEN, {"text": "$end"})
    outside = flow.graph().get_graph()
    assert {"start", "a1 to a2", "b1 to b2", "end"} <= outside.nodes.keys()
    inside = flow.graph().get_graph(xray=True)
    stages = {name.rpartition(":")[2]: node.metadata for name, node in inside.nodes.items()}
    for name, node in UNEVEN.items():
        assert stages[name] == {"stage": node["stage"]}
    edges = {(e.source.rpartition(":")[2], e.target.rpartition(":")[2]) for e in inside.edges}
    assert {("start", "a1"), ("a1", "a2"), ("b1", "b2"), ("a2", "end"), ("b2", "end")} <= edges


def test_graph_is_compiled_once(make: Make) -> None:
    flow = make({"a": echo("$text")}, {"text": "$a"})
    assert flow.graph() is flow.graph()


def test_state_holds_handles_only_and_can_be_checkpointed(make: Make) -> None:
    flow = make(UNEVEN, {"text": "$end"})
    graph, saver = compile_plan(flow.plan), InMemorySaver()
    graph.checkpointer = saver
    session = Session("run", flow.plan, flow.bundle, Store(), ModelPool())
    text = Media.load("hi", "text")
    session.store.put(text.key, {"media": text})
    config: dict[str, Any] = {"configurable": {"thread_id": "1"}}
    state = graph.invoke({"handles": {"inputs.text": f"{text.key}#media"}}, context=session, config=config)
    assert json.loads(json.dumps(state)) == state
    assert set(state["handles"]) == {"inputs.text", *(f"{name}.text" for name in UNEVEN)}
    for handle in state["handles"].values():
        assert len(handle.partition("#")[0]) == 64
    assert graph.get_state(config).values == state


def test_branches_run_at_the_same_time_and_do_not_wait_for_each_others_steps(make: Make) -> None:
    """b2 begins while a1 still runs: a1 waits for it."""
    begun = threading.Event()
    stubs.HOOKS["wait"] = lambda _: None if begun.wait(20) else pytest.fail("b2 did not begin while a1 was running")
    stubs.HOOKS["begin"] = lambda _: begun.set()
    nodes = UNEVEN | {"a1": echo("$start", hook="wait"), "b2": echo("$b1", hook="begin")}
    assert make(nodes, {"text": "$end"}).run(text="hi")["text"].text == "hi+hi"


def test_graph_without_a_session_says_what_to_use(make: Make) -> None:
    with pytest.raises(UserError, match=r"runs within a session: use Flow\.run"):
        make({"a": echo("$text")}, {"text": "$a"}).graph().invoke({"handles": {}})


@st.composite
def flows(draw: st.DrawFn) -> dict[str, Any]:
    """A random graph of joins; the last reads all that nobody reads."""
    nodes: dict[str, Any] = {}
    for i in range(draw(st.integers(1, 7))):
        before = [f"n{j}" for j in range(i) if draw(st.booleans())]
        nodes[f"n{i}"] = {"stage": "join", "name": f"n{i}", "parts": [f"${b}" for b in before] or ["$text"]}
    read = {part for node in nodes.values() for part in node["parts"]}
    nodes["last"] = {"stage": "join", "name": "last", "parts": [f"${n}" for n in nodes if f"${n}" not in read]}
    return nodes


@given(flows())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_graph_runs_each_node_once_after_its_predecessors(make: Make, nodes: dict[str, Any]) -> None:
    stubs.RUNS.clear()
    make(nodes, {"text": "$last"}).run(text="x", cache=False)
    assert sorted(stubs.RUNS) == sorted(nodes)
    for name, node in nodes.items():
        for part in node["parts"]:
            if part != "$text":
                assert stubs.RUNS.index(part[1:]) < stubs.RUNS.index(name)
