"""Messages before the request, as OpenAI's own client sends them: what a flow's LLM is told, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
import yaml
from openai import OpenAI
from starlette.testclient import TestClient

from orchestrator.engine.flow import Flow
from orchestrator.flow import arrows
from orchestrator.serve.app import create_app
from orchestrator.serve.media import Reader, Uploads, intake
from orchestrator.serve.messages import MAX_MEDIA, ChatMessage, Listener
from orchestrator.serve.settings import Settings
from orchestrator.testing.remote import Answer, ScriptedLLM
from tests import stubs
from tests.unit.serve.conftest import png, uri, wav
from tests.unit.serve.test_openai import connect, image, sound, text, user

SYSTEM = {"role": "system", "content": "Be kind."}
BEFORE = [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Hello."}]
TALK = [SYSTEM, *BEFORE, {"role": "user", "content": "And you?"}]


@pytest.fixture
def llm() -> Iterator[ScriptedLLM]:
    with ScriptedLLM() as found:
        yield found


@pytest.fixture
def client(llm: ScriptedLLM, flows: list[Flow], tmp_path: Path) -> Iterator[TestClient]:
    """The stub flows, and two whose LLM is a scripted one: `ask`, and `helper`, an agent."""
    far = {"name": "far", "llm": {"url": llm.url, "model": "scripted", "retries": 0}}
    (tmp_path / "bundle.yaml").write_text(yaml.safe_dump(far))
    ask = arrows.parse("text -> text").model_copy(update={"flow": "ask"})
    agent = {"agent": {"stage": "agent", "prompt": "$text", "role": "You help."}}
    helper = stubs.flow(agent, {"text": "$agent.text"}).model_copy(update={"flow": "helper"})
    app = create_app([*flows, Flow(ask, tmp_path), Flow(helper, tmp_path)], Settings(out=tmp_path / "runs"))
    with TestClient(app, base_url="http://orch.test", raise_server_exceptions=False) as found:
        yield found


@pytest.fixture
def api(client: TestClient) -> OpenAI:
    return connect(client)


def sent(llm: ScriptedLLM) -> list[tuple[str, str]]:
    return [(message["role"], message["content"]) for message in llm.requests[-1]["messages"]]


def test_a_dialogue_is_told(api: OpenAI, llm: ScriptedLLM) -> None:
    llm.answers = [Answer("Fine."), Answer("Fine, too.")]
    assert api.chat.completions.create(model="ask", messages=TALK).choices[0].message.content == "Fine."
    whole = [("system", "Be kind."), ("user", "Hi."), ("assistant", "Hello."), ("user", "And you?")]
    assert sent(llm) == whole
    again = [*TALK[:3], {"role": "user", "content": "And now?"}]
    chunks = api.chat.completions.create(model="ask", messages=again, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "Fine, too."
    assert sent(llm) == [*whole[:3], ("user", "And now?")]


def test_an_agent_hears_it_too(api: OpenAI, llm: ScriptedLLM) -> None:
    llm.answers = [Answer("Fine.")]
    assert api.chat.completions.create(model="helper", messages=TALK).choices[0].message.content == "Fine."
    assert sent(llm)[:2] == [("system", "You help.\n\nBe kind."), ("user", "Hi.")]


def test_roles(api: OpenAI, llm: ScriptedLLM) -> None:
    llm.answers = [Answer("It is blue.")]
    call = {"id": "a", "type": "function", "function": {"name": "sky", "arguments": "{}"}}
    messages: list[Any] = [
        {"role": "developer", "content": "Be kind."},
        *user("Sky?"),
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "a", "content": "blue"},
        {"role": "assistant", "content": "Blue."},
        *user("Say it"),
        *user("in a sentence."),
    ]
    api.chat.completions.create(model="ask", messages=messages)
    head, _, called, given, _, asked = llm.requests[0]["messages"]
    assert (head["role"], asked["content"]) == ("system", "Say it\nin a sentence.")
    assert (called["tool_calls"], given["tool_call_id"], given["content"]) == ([call], "a", "sky: blue")


def test_an_answer_goes_back_as_it_came(api: OpenAI, llm: ScriptedLLM) -> None:
    """Markdown and `media` of an answer are what was made; this LLM sees none, and is told what was there."""
    llm.answers = [Answer("I see.")] * 3
    made = api.chat.completions.create(model="paint", messages=user("dog")).choices[0].message
    told = ("assistant", "dog\n[image]")
    for answer in (made.model_dump(), {"role": "assistant", "content": made.content}):
        api.chat.completions.create(model="ask", messages=[*user("Draw."), answer, *user("Well?" + "!" * len(answer))])
        assert sent(llm)[1] == told
    other = "See [a](http://elsewhere.test/a.png) and [b](/runs/none/files/b.png)."
    answer = {"role": "assistant", "content": other}
    api.chat.completions.create(model="ask", messages=[*user("Draw."), answer, *user("Well?")])
    assert sent(llm)[1] == ("assistant", other)


@pytest.fixture
def listener(client: TestClient) -> Callable[..., Any]:
    """What the messages before are as a flow has them."""
    app: Any = client.app
    reader = Reader(Uploads(), intake(False, 1 << 20))
    listener = Listener(Flow.arrow("text -> text"), reader, app.state.runs, "http://orch.test")
    return lambda *messages: listener._before([ChatMessage.model_validate(m) for m in messages])


def test_what_was_made_is_read_from_this_server_or_from_data(api: OpenAI, listener: Callable[..., Any]) -> None:
    made = api.chat.completions.create(model="paint", messages=user("dog")).choices[0].message
    (message,) = listener(made.model_dump())
    before, picture = message.parts
    assert (before, picture.image.size) == ("dog", (3, 2))
    (plain,) = listener({"role": "assistant", "content": f"A ![x]({uri(png(7))}) b"})
    assert (plain.parts[0], plain.parts[1].image.size, plain.parts[2]) == ("A", (7, 2), "b")
    url = made.model_extra["media"][0]["url"]
    (asked,) = listener({"role": "user", "content": [text("this"), image(url), sound(wav())]})
    assert [part if isinstance(part, str) else part.modality for part in asked.parts] == ["this", "image", "audio"]


GONE = {"role": "assistant", "content": "", "media": [{"modality": "image", "url": "/runs/no-1/files/a.png"}]}
FETCHED = {"role": "assistant", "content": [image("http://127.0.0.1/a.png")]}
WRONG: list[tuple[str, list[Any], str]] = [
    ("say", TALK, "flow 'say' takes no dialogue: it has no node with an LLM"),
    ("ask", [SYSTEM], "the last message is the user's, not the system's"),
    ("ask", BEFORE, "the last message is the user's, not the assistant's"),
    ("ask", [*BEFORE, SYSTEM, *user("And?")], "a system prompt is the first turn"),
    ("ask", [*user(image(uri(png()))), *BEFORE[1:], *user("And?")], "and not said to see image; if it"),
    ("ask", [*user(image(uri(wav()))), *BEFORE[1:], *user("And?")], "is no picture that can be read"),
    ("ask", [*BEFORE[:1], GONE, *user("And?")], "there is no run 'no-1' on this server, or it is no longer kept"),
    ("ask", [*BEFORE[:1], FETCHED, *user("And?")], "is an address, and none are fetched here"),
    ("ask", [{"role": "tool", "content": "blue", "tool_call_id": "a"}, *user("And?")], "answers the call 'a', but"),
    ("ask", [*BEFORE * 130, *user("And?")], "messages: List should have at most 256 items"),
    ("ask", [*user(*[image(uri(png()))] * (MAX_MEDIA + 1)), *BEFORE[1:], *user("And?")], "32 are taken: send fewer"),
]  # fmt: skip


@pytest.mark.parametrize(("model", "messages", "message"), WRONG, ids=[row[2] for row in WRONG])
def test_what_is_refused(model: str, messages: list[Any], message: str, api: OpenAI, llm: ScriptedLLM) -> None:
    for stream in (False, True):
        with pytest.raises(openai.BadRequestError) as caught:
            api.chat.completions.create(model=model, messages=messages, stream=stream)
        assert message in caught.value.body["message"]
    assert llm.requests == []


def test_models_tell_who_takes_a_dialogue(api: OpenAI) -> None:
    takes = {model.id for model in api.models.list() if model.model_extra["dialogue"]}
    assert takes == {"ask", "helper"}
