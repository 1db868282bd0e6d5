"""A flow as a node of a parent graph."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, interrupt

from orchestrator.agents import as_node
from orchestrator.engine.flow import Flow
from orchestrator.errors import NodeError, UserError
from orchestrator.nodes.stage import Context
from tests import stubs
from tests.unit.engine.conftest import Make, echo

THREAD: Any = {"configurable": {"thread_id": "1"}}


class State(TypedDict, total=False):
    question: str
    answer: str
    approved: bool


def approve(state: State) -> State:
    return {"approved": interrupt(f"is '{state['answer']}' fine?")}


def parent(node: Any, schema: Any = State, saver: InMemorySaver | None = None) -> Any:
    """START -> flow -> END, with a saver START -> flow -> approve -> END."""
    graph = StateGraph(schema).add_node("say", node).add_edge(START, "say")
    if saver:
        return graph.add_node("approve", approve).add_edge("say", "approve").compile(checkpointer=saver)
    return graph.add_edge("say", END).compile()


@pytest.fixture
def node(say: Flow, tmp_path: Path) -> Any:
    return as_node(say, {"text": "question"}, {"out": "answer"}, out=tmp_path)


def test_reads_and_writes_keys_of_the_parent(node: Any) -> None:
    assert parent(node).invoke({"question": "why"}) == {"question": "why", "answer": "why?"}


def test_names_are_the_flows_without_a_mapping(studio: Flow, tmp_path: Path) -> None:
    class Made(TypedDict, total=False):
        text: str
        asked: str
        image: str
        video: str

    state = parent(as_node(studio, out=tmp_path), Made).invoke({"text": "all"})
    assert state["asked"] == "all"
    assert json.loads(json.dumps(state)) == state  # plain values only
    files = {name: Path(state[name]) for name in ("image", "video")}
    assert {name: path.name for name, path in files.items()} == {"image": "image.png", "video": "video.mp4"}
    assert all(path.is_file() and path.parents[1] == tmp_path for path in files.values())


def test_absent_and_none_take_defaults_and_what_was_skipped_is_none(make: Make, tmp_path: Path) -> None:
    default = {"modality": "text", "default": "no"}
    flow = make({"s": {"stage": "sieve", "text": "$text"}}, {"yes": "$s.match", "rest": "$s.rest"}, text=default)

    class Sieved(TypedDict, total=False):
        text: str | None
        yes: str | None
        rest: str | None

    graph = parent(as_node(flow, out=tmp_path), Sieved)
    assert graph.invoke({"yes": "of before"}) == {"yes": None, "rest": "no"}
    assert graph.invoke({"text": None})["rest"] == "no"
    assert graph.invoke({"text": "yes"}) == {"text": "yes", "yes": "yes", "rest": None}


def test_a_state_may_be_an_object(node: Any) -> None:
    @dataclass
    class Asked:
        question: str = ""
        answer: str = ""

    assert parent(node, Asked).invoke(Asked("why"))["answer"] == "why?"


def test_events_are_streamed(node: Any) -> None:
    seen = [*parent(node).stream({"question": "why"}, stream_mode=["custom", "updates"])]
    events = [event for mode, event in seen if mode == "custom"]
    assert json.loads(json.dumps(events)) == events
    kinds = [event["kind"] for event in events]
    assert (kinds[0], kinds.count("node_progress"), kinds[-1]) == ("run_started", 4, "run_finished")
    assert seen[-1] == ("updates", {"say": {"answer": "why?"}})


def test_interrupt_and_resume(node: Any) -> None:
    saver = InMemorySaver()
    first = parent(node, saver=saver).invoke({"question": "why"}, THREAD)
    assert first["__interrupt__"][0].value == "is 'why?' fine?"
    assert set(saver.storage["1"]) == {""}  # no checkpoints but the parent's
    second = parent(node, saver=saver).invoke(Command(resume=True), THREAD)
    assert second == {"question": "why", "answer": "why?", "approved": True}
    assert stubs.RUNS == ["start", "end"]


def test_a_failed_node_goes_on_where_it_was(node: Any) -> None:
    def fail(context: Context) -> None:
        raise RuntimeError("out of paper")

    stubs.HOOKS["end"] = fail
    graph = parent(node, saver=InMemorySaver())
    with pytest.raises(NodeError, match=r"node 'end' \(echo\): out of paper"):
        graph.invoke({"question": "why"}, THREAD)
    stubs.HOOKS["end"] = lambda context: None
    assert graph.invoke(None, THREAD)["answer"] == "why?"
    assert stubs.RUNS == ["start", "end", "end"]


def test_async(node: Any) -> None:
    async def both() -> tuple[Any, list[Any]]:
        graph = parent(node)
        events = [event["kind"] async for event in graph.astream({"question": "why"}, stream_mode="custom")]
        return await graph.ainvoke({"question": "why"}), events

    state, events = asyncio.run(both())
    assert state["answer"] == "why?"
    assert (events[0], events[-1]) == ("run_started", "run_finished")


def test_drawn_with_its_stages(node: Any) -> None:
    nodes = parent(node).get_graph(xray=True).nodes
    assert any(name.endswith("start") and drawn.metadata == {"stage": "echo"} for name, drawn in nodes.items())


@pytest.mark.parametrize(
    ("inputs", "outputs", "said"),
    [
        ({"txt": "question"}, None, r"has no input 'txt'\. Did you mean 'text'\?"),
        (None, {"outt": "answer"}, r"flow 'stub' has no output 'outt'\. Did you mean 'out'\?"),
        ({}, None, r"input 'text' has no default: say which key it is read from, \{'text': KEY\}"),
        ({"a": "b"}, {"c": "d"}, r"(?s)input 'a'.*output 'c'.*'text' has no default"),
    ],
)
def test_wrong_mappings(say: Flow, inputs: Any, outputs: Any, said: str) -> None:
    with pytest.raises(UserError, match=said):
        as_node(say, inputs, outputs)


def test_options_are_those_of_a_run(make: Make, tmp_path: Path) -> None:
    flow = make({"a": echo("$question", dice=True)}, {"answer": "$a"}, question="text")
    assert parent(as_node(flow, seed=7, out=tmp_path)).invoke({"question": "n"})["answer"] == "n7"
