"""route and agent: what a reply asks for, and how results are put together."""

from __future__ import annotations

import json
from typing import Any

import pytest

from orchestrator.errors import CallError
from orchestrator.models.llm.calls import Call, ready, written
from orchestrator.models.llm.signals import Span
from orchestrator.nodes.media import Media
from orchestrator.nodes.ports import Observation, Reply
from orchestrator.nodes.route import asked, gathered
from orchestrator.testing import check_stage
from tests.unit.nodes.test_tool import PICTURE

A = {"name": "draw", "arguments": {"caption": "a dog"}}
RESULTS = (
    Observation(Call("draw"), "1", (PICTURE,)),
    Observation(Call("look"), "2", (Media.load("a", "text"),)),
    Observation(Call("draw"), "3", (PICTURE,)),
    Observation(Call("fail"), "4", error="no"),
)


def test_signals_and_calls_in_order_of_place() -> None:
    reply = Reply("one two", spans=(Span("image", 0, 2, 7, "two"),), calls=(Call("draw", place=3, arguments="{}"),))
    text, calls = asked(reply)
    assert (text, [(call.name, call.place) for call in calls]) == ("one two", [("draw", 3), ("image", 7)])


@pytest.mark.parametrize(
    ("text", "rest", "names"),
    [
        ("Just words.", "Just words.", []),
        (json.dumps(A), "", ["draw"]),
        (json.dumps([A, A]), "", ["draw", "draw"]),
        (f"Well.\n```json\n{json.dumps(A)}\n```\nSo.", "Well.\n\nSo.", ["draw"]),
        (f"```\n{json.dumps(A)}\n```", "", ["draw"]),
        (f"<tool_call>{json.dumps(A)}</tool_call><tool_call>{json.dumps(A)}</tool_call>", "", ["draw", "draw"]),
        (json.dumps({"type": "function", "id": "x", "function": {"name": "draw", "arguments": "{}"}}), "", ["draw"]),
        ('```json\n{"name": "draw", "arguments": {\n```', "", [""]),
        ('{"colour": "red"}', '{"colour": "red"}', []),
        ('```json\n{"colour": "red"}\n```', '```json\n{"colour": "red"}\n```', []),
        ("```python\nprint(1)\n```", "```python\nprint(1)\n```", []),
        ("[1, 2]", "[1, 2]", []),
        ("[]", "[]", []),
    ],
)
def test_calls_written_in_a_text(text: str, rest: str, names: list[str]) -> None:
    left, calls = written(text)
    assert (left, [call.name for call in calls]) == (rest, names)


def test_a_plan() -> None:
    plan = [
        {"task": "look", "id": 0, "dep": [-1], "args": {}},
        {"task": "draw", "id": 1, "dep": [0], "args": {"c": "<resource-0>"}},
    ]
    _, (look, draw) = written(json.dumps(plan))
    assert (look.id, look.needs, draw.id, draw.needs) == ("0", (), "1", ("0",))
    assert (ready([look, draw], []), ready([look, draw], [0])) == ([0], [1])


def test_what_can_never_be_ready_comes_last() -> None:
    calls = [Call("a", id="0", needs=("1",)), Call("b", id="1", needs=("0",)), Call("c"), Call("d", needs=("9",))]
    assert ready(calls, []) == [2]
    assert ready(calls, [2]) == [0, 1, 3]


def test_a_broken_call_says_what_is_wrong() -> None:
    _, (call,) = written('```json\n{"name": "draw", "arguments": {\n```')
    with pytest.raises(CallError, match="its arguments are no JSON"):
        call.read()


def test_results_come_by_modality_in_order() -> None:
    out = gathered(Reply("Here."), RESULTS)
    assert (out["text"].text, out["found"].text, out["image"]) == ("Here.", "a", (PICTURE, PICTURE))
    assert out.keys() == {"text", "found", "image"}


@pytest.mark.parametrize("stage", ["route", "agent"])
def test_contract(stage: str) -> None:
    prompt: dict[str, Any] = {"prompt": Media.load("x", "text")} if stage == "agent" else {}
    check_stage(
        stage, requests=[prompt | {"reply": Reply("Here."), "results": RESULTS}, prompt | {"reply": Reply("a")}]
    )
