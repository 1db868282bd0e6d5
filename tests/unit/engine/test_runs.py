"""What a run does: order, results, cache, skipping, and several runs at once."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from orchestrator.engine.events import OutputReady
from orchestrator.engine.flow import Flow
from orchestrator.engine.result import Result
from orchestrator.errors import InputError
from tests import stubs
from tests.unit.engine.conftest import Make, echo


def status(result: Result) -> dict[str, str]:
    return {node.name: node.status for node in result.nodes}


def reasons(result: Result) -> dict[str, str]:
    return {node.name: node.reason for node in result.nodes if node.reason}


@pytest.fixture
def chain(make: Make) -> Flow:
    return make(
        {"a": echo("$text", name="a", say="!"), "b": echo("$a", name="b", dice=True)}, {"out": "$b", "raw": "$a"}
    )


def test_result(chain: Flow) -> None:
    result = chain.run(text="hi", seed=3)
    assert {name: media.text for name, media in result.outputs.items()} == {"out": "hi!3", "raw": "hi!"}
    assert (result.status, result.seed, result.error, result.folder, result.paths) == ("done", 3, "", None, {})
    assert [(n.name, n.stage, n.status, n.device, n.batch) for n in result.nodes] == [
        ("a", "echo", "ran", "cpu", 1),
        ("b", "echo", "ran", "cpu", 1),
    ]
    assert result.nodes[0].made == {"text": "text 3 characters"}
    with pytest.raises(InputError, match=rf"run {result.run} made no output 'owt'\. Did you mean 'out'\?"):
        result["owt"]


def test_second_run_comes_from_the_store(chain: Flow) -> None:
    first, second = chain.run(text="hi"), chain.run(text="hi")
    assert status(second) == {"a": "cached", "b": "cached"}
    assert second.outputs == first.outputs
    assert stubs.RUNS == ["a", "b"]


def test_cache_off_runs_again(chain: Flow) -> None:
    chain.run(text="hi")
    assert status(chain.run(text="hi", cache=False)) == {"a": "ran", "b": "ran"}


def test_there_and_back_hits(chain: Flow) -> None:
    outputs = [chain.run(text=text)["out"].text for text in ("A", "B", "A", "B")]
    assert outputs == ["A!0", "B!0", "A!0", "B!0"]
    assert stubs.RUNS == ["a", "b"] * 2


def test_another_seed_runs_only_what_is_random(chain: Flow) -> None:
    chain.run(text="hi", seed=1)
    result = chain.run(text="hi", seed=2)
    assert (status(result), result["out"].text) == ({"a": "cached", "b": "ran"}, "hi!2")


def test_another_flow_with_the_same_steps_shares_results(make: Make) -> None:
    make({"a": echo("$text", say="!")}, {"out": "$a"}).run(text="hi")
    other = make({"x": echo("$said", say="!")}, {"out": "$x"}, said="text")
    assert status(other.run(said="hi")) == {"x": "cached"}


def test_results_outlive_the_memory_of_the_store(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    from orchestrator.engine import flow as engine_flow
    from orchestrator.engine.store import Store

    monkeypatch.setattr(engine_flow, "STORE", Store(memory=1))
    nodes = {f"n{i}": echo(f"$n{i - 1}" if i else "$text", say=str(i)) for i in range(4)}
    assert make(nodes, {"out": "$n3"}).run(text="x")["out"].text == "x0123"


def test_inputs_may_be_outputs_and_have_defaults(make: Make) -> None:
    flow = make({"a": echo("$text")}, {"same": "$text", "out": "$a"}, text={"modality": "text", "default": "hello"})
    assert {k: m.text for k, m in flow.run().outputs.items()} == {"same": "hello", "out": "hello"}
    assert flow.run({"text": "given"})["out"].text == "given"


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, r"input 'text' \(text\) is missing; give text="),
        ({"text": "x", "tex": "y"}, r"flow 'stub' has no input 'tex'\. Did you mean 'text'\?"),
    ],
)
def test_wrong_inputs(chain: Flow, inputs: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        chain.run(inputs)
    assert stubs.RUNS == []


def test_literals(make: Make) -> None:
    assert make({"j": {"stage": "join", "parts": ["$text", "$$5"]}}, {"out": "$j"}).run(text="x")["out"].text == "x+$5"


def test_several_media_of_one_port(make: Make) -> None:
    result = make({"w": {"stage": "words", "text": "$text"}}, {"out": "$w"}).run(text="one two")
    assert result["out"].text == "one"
    assert [media.text for media in result.all("out")] == ["one", "two"]
    assert result.all("none") == ()
    assert result.nodes[0].made == {"text": "2 x text 3 characters"}


@pytest.mark.parametrize(
    ("when", "text", "runs"),
    [
        ("$text == go", "go", True),
        ("$text == go", "stop", False),
        ("$text != go", "stop", True),
        ("$s.match", "yes", True),
        ("$s.match", "nope", False),
        ("not $s.match", "nope", True),
    ],
)
def test_condition_of_a_node(make: Make, when: str, text: str, runs: bool) -> None:
    nodes = {
        "s": {"stage": "sieve", "text": "$text"},
        "a": echo("$text", when=when),
        "b": echo("$a"),
        "all": {"stage": "join", "parts": ["$text", "$s.match", "$s.rest", "$b"]},
    }
    result = make(nodes, {"out": "$b", "all": "$all"}).run(text=text)
    assert ("out" in result.outputs) is runs
    assert result.status == "done"
    shown = when.replace("$text", r"$text")
    assert reasons(result) == ({} if runs else {"a": f"when {shown}", "b": "no a.text"})
    assert result["all"].text == (f"{text}+{text}+{text}" if runs else f"{text}+{text}")


def test_missing_port_skips_what_hangs_on_it(make: Make) -> None:
    nodes = {"s": {"stage": "sieve", "text": "$text"}, "a": echo("$s.match"), "b": echo("$a"), "c": echo("$s.rest")}
    flow = make(nodes, {"yes": "$b", "no": "$c"})
    result = flow.run(text="nope")
    assert status(result) == {"s": "ran", "a": "skipped", "b": "skipped", "c": "ran"}
    assert reasons(result) == {"a": "no s.match", "b": "no a.text"}
    assert list(result.outputs) == ["no"]
    assert list(flow.run(text="yes").outputs) == ["yes"]


def test_condition_of_an_edge_leaves_an_optional_input_out(make: Make) -> None:
    parts = ["$text", {"from": "$a", "when": "$text == both"}]
    flow = make({"a": echo("$text"), "j": {"stage": "join", "parts": parts}}, {"out": "$j"})
    assert flow.run(text="both")["out"].text == "both+both"
    assert flow.run(text="one")["out"].text == "one"


def test_condition_of_an_edge_skips_where_the_input_is_required(make: Make) -> None:
    flow = make({"a": echo({"from": "$text", "when": "$text == go"})}, {"out": "$a"})
    assert status(flow.run(text="stop")) == {"a": "skipped"}


def test_a_node_none_of_whose_inputs_came_is_skipped(make: Make) -> None:
    """Though each of them is optional."""
    nodes = {"s": {"stage": "sieve", "text": "$text"}, "j": {"stage": "join", "name": "j", "parts": ["$s.match"]}}
    result = make(nodes, {"out": "$j"}).run(text="nope")
    assert reasons(result) == {"j": "no s.match"}
    assert stubs.RUNS == []


def test_batch_keeps_the_order(chain: Flow) -> None:
    results = chain.batch([{"text": t} for t in "abc"], seed=1)
    assert [r["out"].text for r in results] == ["a!1", "b!1", "c!1"]


def test_async_twins(chain: Flow) -> None:
    async def both() -> tuple[Result, list[Result], list[str]]:
        kinds = [event.kind async for event in chain.astream(text="s")]
        return await chain.arun(text="r"), await chain.abatch([{"text": "x"}, {"text": "y"}]), kinds

    one, many, kinds = asyncio.run(both())
    assert one["out"].text == "r!0"
    assert [r["out"].text for r in many] == ["x!0", "y!0"]
    assert (kinds[0], kinds[-1]) == ("run_started", "run_finished")


def test_many_runs_at_once_give_what_single_runs_give(chain: Flow) -> None:
    texts = [f"t{i % 5}" for i in range(20)]
    with ThreadPoolExecutor(6) as threads:
        results = list(threads.map(lambda text: chain.run(text=text), texts))
    assert [r["out"].text for r in results] == [f"{text}!0" for text in texts]
    assert len({r.run for r in results}) == 20


def test_stream_yields_what_on_event_is_told(chain: Flow) -> None:
    told: list[Any] = []
    chain.run(text="hi", cache=False, on_event=told.append)
    streamed = list(chain.stream(text="hi", cache=False))
    assert [event.kind for event in streamed] == [event.kind for event in told]
    assert [e.media.text for e in streamed if isinstance(e, OutputReady)] == ["hi!", "hi!0"]


def test_stream_raises_the_error_at_the_end(make: Make) -> None:
    from orchestrator.errors import NodeError

    def fail(_: Any) -> None:
        raise ValueError("bad luck")

    stubs.HOOKS["fail"] = fail
    stream = make({"a": echo("$text", hook="fail")}, {"out": "$a"}).stream(text="x")
    assert [next(stream).kind for _ in range(4)][-1] == "run_finished"
    with pytest.raises(NodeError, match="bad luck"):
        next(stream)


def test_leaving_a_stream_stops_the_run(make: Make) -> None:
    began = threading.Event()
    stubs.HOOKS["began"] = lambda _: began.set()
    flow = make({"a": echo("$text", steps=100_000), "b": echo("$a", hook="began")}, {"out": "$b"})
    before = threading.active_count()
    for event in flow.stream(text="x"):
        if event.kind == "node_progress":
            break
    assert not began.is_set()
    assert threading.active_count() == before, "the run's threads are gone when the loop is left"
