"""An agent's loop over a remote LLM: what it is told, how it ends, and what goes wrong in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.engine.flow import Flow
from orchestrator.errors import FlowError, NodeError, RetryError
from orchestrator.models.bundle import trust
from orchestrator.testing.remote import Answer, ScriptedLLM
from tests import stubs

CALLED: list[str] = []
SHOUT = Answer("Wait.", calls=[("shout", {"text": "hi"})])

Make = Callable[..., Flow]


def shout(text: str) -> str:
    """Say it loudly."""
    CALLED.append(text)
    if text == "fail":
        raise ValueError("no voice")
    return text.upper()


@pytest.fixture
def llm() -> Iterator[ScriptedLLM]:
    CALLED.clear()
    with ScriptedLLM() as found:
        yield found


@pytest.fixture
def make(llm: ScriptedLLM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """`make(**config)` is a flow of one agent with a tool."""
    monkeypatch.setenv(trust.VARIABLE, "tools")

    def made(retries: int = 0, timeout: float = 20.0, **config: Any) -> Flow:
        remote = {"url": llm.url, "model": "scripted", "retries": retries, "timeout": timeout}
        (tmp_path / "bundle.yaml").write_text(yaml.safe_dump({"name": "far", "llm": remote}))
        nodes = {
            "shout": {"stage": "tool", "function": f"{__name__}:shout"},
            "agent": {"stage": "agent", "prompt": "$text", "tools": ["$shout"], **config},
        }
        outputs = {name: f"$agent.{name}" for name in ("text", "found", "stop")}
        return Flow(stubs.flow(nodes, outputs), tmp_path)

    return made


def test_an_answer_after_a_call(make: Make, llm: ScriptedLLM) -> None:
    llm.answers = [SHOUT, Answer("Done.")]
    result = make(role="controller").run(text="Shout hi.")
    assert (result["text"].text, result["found"].text, result["stop"].text) == ("Done.", "HI", "answer")
    first, second = llm.requests
    assert [tool["function"]["name"] for tool in first["tools"]] == ["shout"]
    assert first["tools"][0]["function"]["parameters"]["required"] == ["text"]
    assert first["messages"][0]["content"].startswith("You control tools")
    assert first["messages"][1:] == [{"role": "user", "content": "Shout hi."}]
    called, given = second["messages"][2:]
    assert (called["content"], called["tool_calls"][0]["function"]["name"]) == ("Wait.", "shout")
    assert given == {"role": "tool", "tool_call_id": called["tool_calls"][0]["id"], "content": "shout: HI"}
    names = [node.name for node in result.nodes]
    assert names == ["shout", "agent.1.reason", "agent.1.1.call", "agent.2.reason", "agent"]


def test_no_call_is_an_answer(make: Make, llm: ScriptedLLM) -> None:
    llm.answers = [Answer("Hello.")]
    result = make().run(text="Hi.")
    assert (result["text"].text, "found" in result.outputs, len(llm.requests)) == ("Hello.", False, 1)


def test_an_endless_loop_ends_with_the_turns(make: Make, llm: ScriptedLLM) -> None:
    llm.answers = [SHOUT] * 9
    result = make(turns=3).run(text="Go on.")
    assert (result["stop"].text, len(llm.requests), CALLED) == ("limit", 3, ["hi", "hi"])
    assert ["tools" in request for request in llm.requests] == [True, True, False]


@pytest.mark.parametrize(("limit", "turns"), [({"tokens": 1}, 1), ({"tokens": 4}, 2), ({"seconds": 1e-9}, 1)])
def test_time_and_cost_end_it(make: Make, llm: ScriptedLLM, limit: dict[str, Any], turns: int) -> None:
    llm.answers = [SHOUT] * 9
    result = make(turns=9, **limit).run(text="Go on.")
    assert (result["stop"].text, len(llm.requests), len(CALLED)) == ("limit", turns, turns - 1)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (("shuot", {"text": "a"}), "there is no such tool. Did you mean 'shout'?"),
        (("shout", {"txt": "a"}), "wrong arguments: text: Field required"),
        (("shout", '{"text": "a'), "its arguments are no JSON"),
        (("shout", {"text": "fail"}), "it failed: ValueError: no voice"),
        (("make_image", {"caption": "a dog"}), "there is no such tool"),
    ],
)
def test_what_fails_is_told_to_the_llm(make: Make, llm: ScriptedLLM, call: Any, told: str) -> None:
    llm.answers = [Answer(calls=[call, ("shout", {"text": "b"})]), Answer("Well.")]
    result = make().run(text="Go.")
    assert (result["text"].text, result["found"].text) == ("Well.", "B")
    bad, good = llm.requests[1]["messages"][-2:]
    assert (told in bad["content"], good["content"]) == (True, "shout: B")


def test_a_limit_of_tries(make: Make, llm: ScriptedLLM) -> None:
    fail = Answer(calls=[("shout", {"text": "fail"})])
    llm.answers = [fail, SHOUT, fail, fail, Answer("never asked")]
    with pytest.raises(NodeError, match=r"node 'agent' \(agent\): the LLM's calls failed 2 turns in a row.*no voice"):
        make(tries=1, turns=9).run(text="Go.")
    assert len(llm.requests) == 4


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        (Answer("busy", status=429), RetryError, r"node 'agent\.2\.reason': .* failed 1 time.*429"),
        (Answer("oh", status=500), RetryError, r"failed 1 time.*500"),
        (Answer("late", wait=5), RetryError, r"did not answer within 0\.5 s"),
        (Answer(raw="data: {\n\n"), NodeError, r"node 'agent\.2\.reason' .*sent no answer of a chat endpoint"),
    ],
)
def test_an_endpoint_that_fails_in_the_loop(
    make: Make, llm: ScriptedLLM, answer: Answer, kind: Any, message: str
) -> None:
    llm.answers = [SHOUT, answer]
    with pytest.raises(kind, match=message) as caught:
        make(timeout=0.5 if answer.wait else 20.0).run(text="Go.")
    assert [node.status for node in caught.value.result.nodes][-1] == "failed"


def test_a_busy_endpoint_is_asked_again(make: Make, llm: ScriptedLLM) -> None:
    llm.answers = [SHOUT, Answer("busy", status=429, headers={"retry-after": "0"}), Answer("Done.")]
    assert make(retries=1).run(text="Go.")["text"].text == "Done."


def test_json_in_the_text_is_a_call_too(make: Make, llm: ScriptedLLM) -> None:
    said = '```json\n{"name": "shout", "arguments": {"text": "a"}}\n```'
    llm.answers = [Answer(said), Answer("Done.")]
    assert make().run(text="Go.")["found"].text == "A"
    assert llm.requests[1]["messages"][-2:] == [
        {"role": "assistant", "content": said},
        {"role": "user", "content": "shout: A"},
    ]


def test_later_calls_use_what_earlier_ones_gave(make: Make, llm: ScriptedLLM) -> None:
    llm.answers = [SHOUT, Answer(calls=[("shout", {"text": "<resource-1-1>, you"})]), Answer("Done.")]
    assert [text.text for text in make().run(text="Go.").all("found")] == ["HI", "HI, YOU"]


def test_an_unknown_role(make: Make) -> None:
    with pytest.raises(FlowError, match=r"no role is named 'controler'\. Did you mean 'controller'"):
        make(role="controler")


@pytest.mark.parametrize("name", ["think", "calls", "call", "observe"])
def test_any_name_will_do(make: Make, llm: ScriptedLLM, name: str) -> None:
    llm.answers = [SHOUT, Answer("Done.")]
    spec = make().spec
    nodes = {"shout": spec.nodes["shout"].to_plain(), name: spec.nodes["agent"].to_plain()}
    flow = Flow(stubs.flow(nodes, {"found": f"${name}.found"}), make().bundle.root)
    assert flow.run(text="Go.")["found"].text == "HI"
    inside = {inner.rpartition(":")[2] for inner in flow.graph().get_graph(xray=True).nodes}
    assert {f"{name}.think", f"{name}.calls", f"{name}.call", f"{name}.observe", name} <= inside
