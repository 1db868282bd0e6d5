"""Runs that go together: what each gives alone, in batches that follow from the flow."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from orchestrator.engine.flow import Flow
from orchestrator.engine.result import Result
from orchestrator.errors import InputError, NodeError
from orchestrator.flow import wiring
from orchestrator.nodes.ports import PortType
from orchestrator.nodes.stage import Context, Inputs, Outputs
from tests import stubs

BATCHES: list[tuple[str, list[str]]] = []  # (name, texts) of every call of a meeting


class Meet(stubs.Echo):
    """An echo that needs the LLM, so that runs meet there."""

    name: ClassVar[str] = "meet"

    def parts(self, types: Mapping[str, PortType]) -> tuple[str, ...]:
        return ("llm",)

    def run(self, batch: Sequence[Inputs], context: Context) -> list[Outputs]:
        BATCHES.append((self.config.name, [request["text"].text for request in batch]))
        context.load("llm")
        if any("bad" in request["text"].text for request in batch):
            raise ValueError(f"{len(batch)} at once")
        return super().run(batch, context)


@pytest.fixture(autouse=True)
def meeting(monkeypatch: pytest.MonkeyPatch) -> None:
    known = wiring.stages()
    monkeypatch.setattr(wiring, "stages", lambda: known | {"meet": Meet})
    BATCHES.clear()


@pytest.fixture
def far(tmp_path: Path) -> Path:
    """A bundle whose LLM loads at once, and is never asked."""
    (tmp_path / "bundle.yaml").write_text("{name: far, llm: {url: 'http://127.0.0.1:9/v1', model: none}}\n")
    return tmp_path


def meet(text: str, **fields: Any) -> dict[str, Any]:
    return {"stage": "meet", "text": text, **fields}


SIEVE = {"sieve": {"stage": "sieve", "text": "$text"}}
FLOWS: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "chain": ({"a": meet("$text", say="!"), "b": meet("$a")}, {"o": "$b"}),
    "literal": ({"a": {"stage": "join", "parts": ["$text", "and"]}, "b": meet("$a")}, {"o": "$b"}),
    "branch": (
        {**SIEVE, "a": meet("$sieve.match", say="1"), "b": meet("$sieve.rest", say="2"),
         "c": {"stage": "join", "parts": ["$a", "$b"]}, "d": meet("$c")},
        {"o": "$d", "a": "$a"},
    ),
    "condition": ({**SIEVE, "a": meet("$text", when="not $sieve.match"), "b": meet("$text")}, {"a": "$a", "b": "$b"}),
    "fork": ({"a": meet("$text"), "b": meet("$a", say="b"), "c": meet("$a", say="c"), "d": meet("$c"),
              "e": {"stage": "join", "parts": ["$b", "$d"]}}, {"o": "$e"}),
    "several": ({"a": {"stage": "words", "text": "$text"}}, {"o": "$a"}),
    "seeds": ({"a": meet("$text", dice=True)}, {"o": "$a"}),
}  # fmt: skip
TEXTS = ["yes", "no", "yes and no"]


@pytest.mark.parametrize("name", FLOWS)
def test_each_gives_what_it_gives_alone(name: str, far: Path) -> None:
    flow, seeds = Flow(stubs.flow(*FLOWS[name]), far), [5, 6, 7]
    asked = [{"text": text} for text in TEXTS]
    alone = [flow.run(request, seed=seed, cache=False) for request, seed in zip(asked, seeds, strict=True)]
    found = flow.batch(asked, seeds=seeds, cache=False)
    assert [result.several for result in found] == [result.several for result in alone]
    assert [result.seed for result in found] == seeds
    assert all(result.values["inputs.text"].text == text for result, text in zip(found, TEXTS, strict=True))


def test_batches_follow_from_the_flow(far: Path) -> None:
    flow = Flow(stubs.flow({"a": meet("$text", name="a"), "b": meet("$a", name="b")}, {"o": "$b"}), far)
    found = flow.batch([{"text": t} for t in "vwxyz"], size=3)
    assert [(n, list(some)) for some in ("vwx", "yz") for n in ("a", "b")] == BATCHES
    assert [[node.batch for node in result.nodes] for result in found] == [[3, 3]] * 3 + [[2, 2]] * 2


def test_who_is_ahead_waits_for_the_others(far: Path) -> None:
    nodes = {**SIEVE, "first": meet("$sieve.match", name="first"), "last": meet("$text", name="last")}
    Flow(stubs.flow(nodes, {"o": "$last", "first": "$first"}), far).batch([{"text": t} for t in TEXTS])
    assert sorted(BATCHES) == [("first", ["yes", "yes and no"]), ("last", TEXTS)]


def test_nodes_that_do_the_same_share_a_batch(far: Path) -> None:
    nodes = {
        **SIEVE,
        "a": meet("$sieve.match"),
        "b": meet("$sieve.rest"),
        "c": {"stage": "join", "parts": ["$a", "$b"]},
    }
    Flow(stubs.flow(nodes, {"o": "$c"}), far).batch([{"text": t} for t in TEXTS])
    assert BATCHES == [("", ["yes", "yes and no", "no"])]


def test_what_is_in_the_store_is_not_asked_for(far: Path) -> None:
    flow = Flow(stubs.flow({"a": meet("$text")}, {"o": "$a"}), far)
    flow.run(text="w")
    BATCHES.clear()
    found = flow.batch([{"text": t} for t in "vwx"])
    assert BATCHES == [("", ["v", "x"])]
    assert [result.nodes[0].status for result in found] == ["ran", "cached", "ran"]


def test_one_that_fails_disturbs_no_other(far: Path) -> None:
    flow = Flow(stubs.flow({"a": meet("$text"), "b": meet("$a", say="!")}, {"o": "$b"}), far)
    asked: list[dict[str, str]] = [{"text": "x"}, {"text": "bad"}, {"tex": "y"}, {"text": "z"}]
    first, bad, missing, last = flow.attempt(asked)
    assert isinstance(first, Result)
    assert isinstance(last, Result)
    assert (first["o"].text, last["o"].text) == ("x!", "z!")
    assert isinstance(bad, NodeError)
    assert str(bad) == "node 'a' (meet): 1 at once"
    assert (bad.result.status, dict(bad.result.values)) == ("failed", {})
    assert isinstance(missing, InputError)
    with pytest.raises(NodeError, match="node 'a'"):
        flow.batch(asked)


def test_seeds_are_one_a_request(far: Path) -> None:
    flow = Flow(stubs.flow({"a": meet("$text")}, {"o": "$a"}), far)
    with pytest.raises(InputError, match=r"2 seeds for 1 requests: give one each"):
        flow.batch([{"text": "x"}], seeds=[1, 2])
    assert flow.batch([]) == []


def test_ctrl_c_ends_them_all(far: Path) -> None:
    def press(_: Context) -> None:
        raise KeyboardInterrupt

    stubs.HOOKS["press"] = press
    flow = Flow(stubs.flow({"a": meet("$text", hook="press"), "b": meet("$a", name="b")}, {"o": "$b"}), far)
    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        flow.batch([{"text": t} for t in "xyz"])
    assert threading.active_count() == before
    assert "b" not in [name for name, _ in BATCHES]


def test_a_run_is_told_of_its_own_progress(far: Path) -> None:
    told: list[Any] = []
    flow = Flow(stubs.flow({"a": meet("$text", steps=2)}, {"o": "$a"}), far)
    found = flow.batch([{"text": t} for t in "xy"], on_event=told.append)
    assert {e.run for e in told if e.kind == "node_started"} == {result.run for result in found}
    assert {e.run for e in told if e.kind == "node_progress"} == {found[0].run}
