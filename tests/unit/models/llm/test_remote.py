"""A remote LLM: what goes out, what comes back, and everything that can go wrong on the way."""

from __future__ import annotations

import socket
from typing import Any

import httpx
import pytest

from orchestrator.errors import BundleError, Cancelled, ModelError, RetryError
from orchestrator.models.bundle.spec import LlmSpec
from orchestrator.models.llm.calls import Call
from orchestrator.models.llm.remote import RemoteLLM
from orchestrator.testing.remote import Answer, ScriptedLLM

KEY = "sk-very-secret"
HELLO = [{"role": "user", "content": "hello"}]
FULL = Answer("Here is a dog", calls=[("make_image", {"caption": "a dog"}), ("make_audio", '{"caption": "bark"}')])


def remote(url: str, slept: list[float] | None = None, transport: Any = None, **fields: Any) -> RemoteLLM:
    spec = LlmSpec(url=url, **{"model": "scripted", "retries": 2, **fields})
    waits = slept if slept is not None else []
    return RemoteLLM(spec, transport, sleep=waits.append, dice=lambda: 1.0)


def test_an_answer_in_pieces() -> None:
    heard: list[tuple[str, int]] = []
    with ScriptedLLM(FULL) as llm:
        said = remote(llm.url).chat(HELLO, {"max_tokens": 9}, lambda text, pieces: heard.append((text, pieces)))
    assert said.text == "Here is a dog"
    assert said.tool_calls() == (
        Call("make_image", place=13, arguments='{"caption": "a dog"}', id="call_0"),
        Call("make_audio", place=13, arguments='{"caption": "bark"}', id="call_1"),
    )
    assert heard[:2] == [("Here ", 1), ("Here is ", 2)]
    (request,) = llm.requests
    assert request == {"model": "scripted", "messages": HELLO, "stream": True, "max_tokens": 9}
    assert "authorization" not in llm.headers[0]


def test_an_endpoint_that_does_not_stream() -> None:
    whole = httpx.MockTransport(lambda _: httpx.Response(200, json={"choices": [{"message": FULL.message()}]}))
    said = remote("http://h/v1", transport=whole).chat(HELLO, {})
    assert (said.text, [call.name for call in said.tool_calls()]) == ("Here is a dog", ["make_image", "make_audio"])


@pytest.mark.parametrize(
    ("modalities", "require", "tools", "choice"),
    [
        ((), (), None, None),
        (("image", "audio"), (), ["make_image", "make_audio"], None),
        (("image",), ("image",), ["make_image"], {"type": "function", "function": {"name": "make_image"}}),
        ((), ("image", "audio"), ["make_image", "make_audio"], "required"),
    ],
)
def test_one_tool_a_modality(modalities: Any, require: Any, tools: Any, choice: Any) -> None:
    with ScriptedLLM(FULL) as llm:
        remote(llm.url).ask("draw", modalities, require, {"temperature": 0.0})
    (request,) = llm.requests
    assert (request["messages"], request["temperature"]) == ([{"role": "user", "content": "draw"}], 0.0)
    assert ([tool["function"]["name"] for tool in request.get("tools", ())] or None) == tools
    assert request.get("tool_choice") == choice


def test_a_required_call_that_does_not_come() -> None:
    with (
        ScriptedLLM(Answer("No.")) as llm,
        pytest.raises(ModelError, match=r"scripted at http.* did not call make_image, as it must"),
    ):
        remote(llm.url).ask("draw", ["image"], ["image"], {})


def test_the_key_is_sent_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", f" {KEY}\n")
    with ScriptedLLM(Answer("hi"), key=KEY) as llm:
        client = remote(llm.url, key="SOME_KEY")
        assert client.chat(HELLO, {}).text == "hi"
        assert llm.headers[0]["authorization"] == f"Bearer {KEY}"
        assert KEY not in f"{vars(client)} {client.spec!r}"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, r"is to be in the environment variable SOME_KEY, which is not set; type: export SOME_KEY=\.\.\."),
        ("wrong-key", r"does not let us in \(401 Unauthorized: .*Bearer \*\*\*\); check the key in SOME_KEY"),
        ("wro\x01ng-key", r"SOME_KEY holds no key: it has characters that none has"),
    ],
)
def test_a_key_that_is_missing_or_wrong(value: str | None, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOME_KEY", raising=False)
    if value:
        monkeypatch.setenv("SOME_KEY", value)
    with ScriptedLLM(key=KEY) as llm, pytest.raises(BundleError, match=message) as caught:
        remote(llm.url, key="SOME_KEY").chat(HELLO, {})
    assert value is None or value not in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"model": "gpt-x"},
            r"has no model 'gpt-x', or is no chat endpoint \(404 Not Found: The model 'gpt-x' does not",
        ),
        ({"url": "{}/v2"}, r"has no model 'scripted', or is no chat endpoint \(404 .*nothing at /v1/v2/chat"),
        ({}, r"does not let us in \(401 .*; name the environment variable of its key: `key:`"),
    ],
    ids=["model", "address", "no key"],
)
def test_what_an_endpoint_does_not_take(fields: dict[str, Any], message: str) -> None:
    with ScriptedLLM(key="" if fields else KEY) as llm, pytest.raises(BundleError, match=message):
        remote(**{"url": llm.url, **{name: value.format(llm.url) for name, value in fields.items()}}).chat(HELLO, {})


@pytest.mark.parametrize(
    ("failures", "slept"),
    [
        ([Answer("slow down", status=429, headers={"Retry-After": "2"})], [1.0, 1.0]),
        ([Answer(status=500), Answer(status=503)], [0.5, 1.0]),
        ([Answer(status=429, headers={"Retry-After": "soon"})], [0.5]),
        ([Answer(status=429, headers={"Retry-After": "Mon, 01 Jan 2024 00:00:00 GMT"})], []),
    ],
    ids=["429", "5xx", "no number", "a date"],
)
def test_what_passes_is_tried_again(failures: list[Answer], slept: list[float]) -> None:
    waits: list[float] = []
    with ScriptedLLM(*failures, Answer("hi")) as llm:
        assert remote(llm.url, waits).chat(HELLO, {}).text == "hi"
    assert len(llm.requests) == len(failures) + 1
    assert waits == pytest.approx(slept)


def test_waits_differ_between_clients() -> None:
    waits: list[float] = []
    with ScriptedLLM(Answer(status=500), Answer("hi")) as llm:
        RemoteLLM(LlmSpec(url=llm.url, model="scripted"), sleep=waits.append, dice=lambda: 0.5).chat(HELLO, {})
    assert waits == [0.375]


@pytest.mark.parametrize(
    ("answers", "retries", "message"),
    [
        (
            [Answer("broken", status=500)] * 3,
            2,
            r"failed 3 times, at last with 500 Internal .*: broken; try again later",
        ),
        ([Answer(status=503, raw="<html>")], 0, r"failed 1 time, at last with 503 Service Unavailable: <html>; try"),
        ([Answer(status=429, headers={"Retry-After": "3600"})], 2, r"failed 1 time, .*; it asks to wait 3600 s"),
    ],
)
def test_what_does_not_pass(answers: list[Answer], retries: int, message: str) -> None:
    with ScriptedLLM(*answers) as llm, pytest.raises(RetryError, match=message):
        remote(llm.url, retries=retries).chat(HELLO, {})
    assert len(llm.requests) == len(answers)


def test_nobody_at_the_address() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    waits: list[float] = []
    with pytest.raises(RetryError, match=r"failed 3 times, at last with ConnectError: .*refused"):
        remote(url, waits).chat(HELLO, {})
    assert waits == [0.5, 1.0]


def test_a_connection_that_breaks_is_tried_again() -> None:
    def broken(request: httpx.Request) -> httpx.Response:
        raise httpx.RemoteProtocolError("peer closed connection", request=request)

    with pytest.raises(RetryError, match=r"failed 3 times, at last with RemoteProtocolError: peer closed"):
        remote("http://h/v1", transport=httpx.MockTransport(broken)).chat(HELLO, {})


def test_an_answer_that_takes_too_long() -> None:
    with (
        ScriptedLLM(Answer("hi", wait=20)) as llm,
        pytest.raises(RetryError, match=r"did not answer within 0\.1 s; give it more time with `timeout:`"),
    ):
        remote(llm.url, timeout=0.1).chat(HELLO, {})


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Answer(raw="data: {not json\n\n"), r"sent no answer of a chat endpoint, but: '\{not json'"),
        (Answer(raw="data: [1]\n\n"), r"sent no answer of a chat endpoint, but: '\[1\]'"),
        (Answer(raw='data: {"choices": 3}\n\n'), r"sent no answer of a chat endpoint"),
        (Answer(raw='data: {"error": {"message": "overloaded"}}\n\n'), r"failed: .*overloaded"),
        (Answer("too long", status=400), r"refused the request \(400 Bad Request: too long\)"),
        (Answer(raw="<html>", headers={"content-type": "text/html"}), r"sent no answer .*<html>"),
    ],
    ids=["no json", "no object", "no choices", "error", "400", "a web page"],
)
def test_answers_that_are_none(answer: Answer, message: str) -> None:
    with ScriptedLLM(answer) as llm, pytest.raises(ModelError, match=message):
        remote(llm.url).chat(HELLO, {})


def test_a_stopped_run_stops_here() -> None:
    def stop(text: str, pieces: int) -> None:
        raise Cancelled("the run was stopped")

    for answer in (Answer("a long story"), Answer(status=500)):
        with ScriptedLLM(answer) as llm, pytest.raises(Cancelled):
            remote(llm.url).chat(HELLO, {}, stop)
        assert len(llm.requests) == 1


def test_the_script_ends() -> None:
    with ScriptedLLM() as llm, pytest.raises(RetryError, match=r"501 .*the script is at its end"):
        remote(llm.url).chat(HELLO, {})
