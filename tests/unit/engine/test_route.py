"""Calls that are followed: branches side by side, results in order, plans, and what can't be called."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from orchestrator.engine.events import CallStarted, Event
from orchestrator.engine.flow import Flow
from orchestrator.errors import CallError, FlowError, NodeError, UserError
from orchestrator.flow import wiring
from orchestrator.models.bundle import trust
from orchestrator.models.llm.calls import Call
from orchestrator.nodes.ports import Port, PortType, Reply
from orchestrator.nodes.stage import Inputs, Outputs, Stage
from tests import stubs

Route = Callable[..., Flow]
CALLED: list[str] = []
MEET = threading.Barrier(2, timeout=20)


def shout(text: str, times: int = 1) -> str:
    """Say it loudly.

    More that no LLM needs to know.
    """
    CALLED.append(text)
    return text.upper() * times


def meet(text: str) -> str:
    """Wait for another call of it."""
    MEET.wait()
    return text


def broken(text: str) -> str:
    """Never works."""
    raise OSError("the disk is on fire")


class Says(Stage):
    """A reply with the calls that a text has as JSON, as a remote LLM would give them natively; else the text."""

    name: ClassVar[str] = "says"
    inputs: ClassVar[Mapping[str, Port]] = {"text": Port(stubs.TEXT, "JSON.")}
    outputs: ClassVar[Mapping[str, Port]] = {"reply": Port(PortType("Reply"), "A reply.")}

    def run(self, batch: Sequence[Inputs], context: Any) -> list[Outputs]:
        return [{"reply": _reply(request["text"].text)} for request in batch]


def _reply(text: str) -> Reply:
    if not text.startswith("native "):
        return Reply(text)
    calls = json.loads(text.removeprefix("native "))
    return Reply("Here.", calls=tuple(Call(n, place=i, arguments=a) for i, (n, a) in enumerate(calls)))


@pytest.fixture
def route(bare: Path, monkeypatch: pytest.MonkeyPatch) -> Route:
    """`route(*functions)` is a flow that follows the calls that its input says."""
    monkeypatch.setenv(trust.VARIABLE, "tools")
    known = wiring.stages()
    monkeypatch.setattr(wiring, "stages", lambda: known | {"says": Says})
    CALLED.clear()

    def made(*functions: str, **extra: Any) -> Flow:
        names = [name.partition(":")[2] or name for name in functions]
        nodes: dict[str, Any] = {
            name: {"stage": "tool", **({"function": entry} if ":" in entry else extra[entry])}
            for name, entry in zip(names, functions, strict=True)
        }
        nodes["say"] = {"stage": "says", "text": "$text"}
        nodes["act"] = {"stage": "route", "reply": "$say", "tools": [f"${name}" for name in names]}
        return Flow(stubs.flow(nodes, {"text": "$act.text", "found": "$act.found"}), bare)

    return made


def entry(name: str) -> str:
    return f"{__name__}:{name}"


def native(*calls: tuple[str, Any]) -> str:
    return "native " + json.dumps([(name, a if isinstance(a, str) else json.dumps(a)) for name, a in calls])


def found(flow: Flow, text: str) -> list[str]:
    return [media.text for media in flow.run(text=text).all("found")]


def test_calls_are_followed_and_results_come_in_order(route: Route) -> None:
    flow, events = route(entry("shout")), list[Event]()
    text = native(("shout", {"text": "a", "times": 2}), ("shout", {"text": "b"}))
    result = flow.run(text=text, on_event=events.append)
    assert result["text"].text == "Here."
    assert [media.text for media in result.all("found")] == ["AA", "B"]
    calls = [(e.node, e.name, json.loads(e.arguments)) for e in events if isinstance(e, CallStarted)]
    assert sorted(calls) == [("act.1", "shout", {"text": "a", "times": 2}), ("act.2", "shout", {"text": "b"})]
    assert [node.name for node in result.nodes if node.name.startswith("act")][-1] == "act"
    assert {node.name: node.status for node in result.nodes}["act.2.call"] == "ran"


def test_no_calls(route: Route) -> None:
    result = route(entry("shout")).run(text="Just a text.")
    assert (result["text"].text, result.all("found"), CALLED) == ("Just a text.", (), [])


def test_calls_run_at_the_same_time(route: Route) -> None:
    assert found(route(entry("meet")), native(("meet", {"text": "a"}), ("meet", {"text": "b"}))) == ["a", "b"]


@pytest.mark.parametrize("cache", [True, False])
def test_a_function_is_called_every_time(route: Route, cache: bool) -> None:
    flow, text = route(entry("shout")), native(("shout", {"text": "a"}))
    for _ in range(2):
        flow.run(text=text, cache=cache)
    assert CALLED == ["a", "a"]


@pytest.mark.parametrize("fence", ["{}", "Well:\n```json\n{}\n```\nSo.", "Well:\n<tool_call>{}</tool_call>\nSo."])
def test_calls_in_the_text(route: Route, fence: str) -> None:
    call = {"name": "shout", "arguments": {"text": "a"}}
    result = route(entry("shout")).run(text=fence.replace("{}", json.dumps(call)))
    assert result["found"].text == "A"
    assert result["text"].text.split() == ([] if fence == "{}" else ["Well:", "So."])


def test_a_plan_waits_for_what_it_needs(route: Route) -> None:
    plan = [
        {"id": 2, "task": "shout", "args": {"text": "<resource-1>c"}, "dep": [1]},
        {"id": 1, "task": "shout", "args": {"text": "<resource-0>b"}, "dep": [0]},
        {"id": 0, "task": "shout", "args": {"text": "a"}, "dep": [-1]},
    ]
    assert found(route(entry("shout")), json.dumps(plan)) == ["ABC", "AB", "A"]
    assert CALLED == ["a", "Ab", "ABc"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            native(("shuot", {})),
            r"'act\.1\.call' \(call\): .* called 'shuot': there is no such tool\. Did you mean 's",
        ),
        (native(("shout", "{")), r"called 'shout': its arguments are no JSON"),
        (native(("shout", {})), r"wrong arguments: text: Field required, not \{\}"),
        (native(("shout", {"text": "a", "times": "x"})), r"times: .*valid integer.*, not 'x'"),
        (native(("shout", {"text": "a", "size": 1})), r"size: Extra inputs are not permitted, not 1"),
        (native(("shout", {"text": "<resource-7>"})), r"no call gave <resource-7>"),
        (native(("broken", {"text": "a"})), r"it failed: OSError: the disk is on fire"),
        (native(("make_image", {"caption": "a"})), r"called 'make_image': there is no such tool"),
        ('```json\n{"name": "shout", "arguments": {"text": "a}}\n```', r"its arguments are no JSON"),
        ('[{"id": 0, "task": "shout", "args": {"text": "<resource-0>"}}]', r"no call gave <resource-0>"),
    ],
)
def test_calls_that_cannot_be_followed(route: Route, text: str, message: str) -> None:
    with pytest.raises(NodeError, match=message) as caught:
        route(entry("shout"), entry("broken")).run(text=text)
    assert isinstance(caught.value.__cause__, CallError)


def test_a_flow_is_a_tool(route: Route, tmp_path: Path, bare: Path) -> None:
    flow = stubs.flow({"loud": {"stage": "echo", "text": "$text", "say": "!"}}, {"said": "$loud"})
    plain = flow.to_plain() | {"bundle": str(bare), "doc": "Adds a mark."}
    (tmp_path / "loud.yaml").write_text(json.dumps(plain))
    outer, events = route("loud", loud={"flow": str(tmp_path / "loud.yaml")}), list[Event]()
    result = outer.run(text=native(("stub", {"text": "hi"})), on_event=events.append)
    assert result["found"].text == "hi!"
    assert "act.1.call.loud" in {node.name for node in result.nodes}
    with pytest.raises(NodeError, match=r"called 'stub': input 'text' .* is missing"):
        outer.run(text=native(("stub", {"txt": "hi"})))


@pytest.mark.parametrize(
    ("tool", "message"),
    [
        ({"function": entry("shut")}, r"node 'tool': no function '.*:shut'"),
        ({"function": entry("CALLED")}, r"is no function and no tool, but list"),
        ({"flow": "missing.yaml"}, r"no flow: 'missing\.yaml' is neither"),
        ({"function": entry("shout"), "flow": "a"}, r"give one of function, flow and mcp, not function and flow"),
        ({}, r"give one of function, flow and mcp, not none"),
        ({"function": entry("shout"), "only": ["a"]}, r"`only` chooses among the tools of an MCP server"),
    ],
)
def test_tools_are_checked_before_a_run(route: Route, tool: dict[str, Any], message: str) -> None:
    with pytest.raises(FlowError, match=message):
        route("tool", tool=tool)


@pytest.mark.parametrize(
    ("tool", "what"), [({"function": entry("shout")}, "function"), ({"mcp": ["x"]}, "command `x`")]
)
def test_code_takes_trust(route: Route, tool: Any, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(trust.VARIABLE)
    with pytest.raises(FlowError, match=rf"{what}.* takes trust in .*; if you trust it, add `--trust tools`"):
        route("tool", tool=tool)


def test_two_tools_of_one_name(route: Route) -> None:
    flow = route(entry("shout"), "again", again={"function": entry("broken"), "name": "shout"})
    with pytest.raises(UserError, match="two tools are called 'shout'"):
        flow.run(text=native(("shout", {"text": "a"})))
