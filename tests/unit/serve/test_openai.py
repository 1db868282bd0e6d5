"""What OpenAI's own client sees."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from collections.abc import Callable
from typing import Any

import openai
import pytest
from fastapi import FastAPI
from openai import OpenAI
from starlette.testclient import TestClient

from orchestrator.engine.flow import Flow
from orchestrator.nodes.media import Media
from orchestrator.nodes.stage import Progress
from orchestrator.serve import chat
from tests import stubs
from tests.unit.serve.asgi import post
from tests.unit.serve.conftest import Serve, png, uri, wav


def connect(client: TestClient, key: str = "none") -> OpenAI:
    return OpenAI(base_url="http://orch.test/v1", api_key=key, http_client=client, max_retries=0)


@pytest.fixture
def api(client: TestClient) -> OpenAI:
    return connect(client)


def user(*content: Any) -> list[Any]:
    return [{"role": "user", "content": content[0] if isinstance(content[0], str) else list(content)}]


def image(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def sound(data: bytes) -> dict[str, Any]:
    return {"type": "input_audio", "input_audio": {"data": base64.b64encode(data).decode(), "format": "wav"}}


def text(said: str) -> dict[str, Any]:
    return {"type": "text", "text": said}


def test_models(api: OpenAI) -> None:
    serves = {model.id: model.model_extra["serves"] for model in api.models.list()}
    both, chats = ["/v1/chat/completions", "/v1/images/generations"], ["/v1/chat/completions"]
    assert serves == {"paint": both} | dict.fromkeys(("say", "look", "hear", "words", "dice", "slow"), chats)
    assert api.models.retrieve("paint").owned_by == "orch"


@pytest.mark.parametrize(
    ("model", "content", "said"),
    [
        ("say", ["hi"], "hi!"),
        ("say", [text("one"), text("two")], "one\ntwo!"),
        ("look", [image(uri(png(5)))], "[5, 2] what?"),
        ("look", [text("why?"), image(uri(png(5)))], "[5, 2] why?"),
        ("hear", [sound(wav(16000))], "16000"),
        ("words", ["one two"], "one\n\ntwo"),
    ],
)
def test_chat(model: str, content: list[Any], said: str, api: OpenAI) -> None:
    answer = api.chat.completions.create(model=model, messages=user(*content))
    (choice,) = answer.choices
    assert (choice.message.role, choice.message.content, choice.finish_reason) == ("assistant", said, "stop")
    assert (answer.object, answer.model) == ("chat.completion", model)
    chunks = list(api.chat.completions.create(model=model, messages=user(*content), stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == said
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices[0].finish_reason] == ["stop"]
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}


def test_media_come_as_addresses_of_this_server_or_as_data(api: OpenAI, client: TestClient) -> None:
    message = api.chat.completions.create(model="paint", messages=user("dog")).choices[0].message
    (made,) = message.model_extra["media"]
    assert (made["name"], made["modality"]) == ("picture", "image")
    assert message.content == f"dog\n\n![picture]({made['url']})"
    assert made["url"].startswith("http://orch.test/runs/")
    assert Media.load(client.get(made["url"]).content, "image").image.size == (3, 2)
    data = api.chat.completions.create(model="paint", messages=user("dog"), extra_body={"media": "data"})
    assert data.choices[0].message.model_extra["media"][0]["url"].startswith("data:image/png;base64,")
    chunks = api.chat.completions.create(model="paint", messages=user("dog"), stream=True)
    assert [m["name"] for c in chunks for m in c.choices[0].delta.model_extra.get("media", ())] == ["picture"]


def test_tokens_are_told_as_they_come(app_of: Callable[..., FastAPI]) -> None:
    heard = threading.Event()

    def speak(context: Any) -> None:
        context.report(0, Progress("tokens", 1, 2, "h "))
        assert heard.wait(30)
        context.report(0, Progress("tokens", 2, 2, "h i\ufffd"))

    stubs.HOOKS["say"] = speak
    app = app_of()
    content = {"model": "say", "messages": user("h i"), "stream": True}
    call = post(app, "/v1/chat/completions", content, on_said=lambda s: heard.set() if b'"h"' in s else None)
    asyncio.run(call())
    chunks = [json.loads(line[6:]) for line in call.said.decode().split("\n\n") if line.startswith("data: {")]
    said = [chunk["choices"][0]["delta"].get("content", "") for chunk in chunks]
    assert said[:2] == ["", "h"]
    assert "".join(said) == "h i!"
    app.state.runs.close()


def test_whose_tokens_are_the_answer(flows: list[Flow]) -> None:
    assert [chat.speakers(flow) for flow in flows[:2]] == [{"a"}, frozenset()]


def test_seed(api: OpenAI) -> None:
    said = [api.chat.completions.create(model="dice", messages=user("a"), seed=s).choices[0].message for s in (1, 2)]
    assert [message.content for message in said] == ["a1", "a2"]


def test_images(api: OpenAI, client: TestClient) -> None:
    (made,) = api.images.generate(model="paint", prompt="a dog", response_format="b64_json").data
    assert Media.load(base64.b64decode(made.b64_json), "image").image.size == (5, 2)
    two = api.images.generate(model="paint", prompt="dog", n=2).data
    assert [client.get(made.url).headers["content-type"] for made in two] == ["image/png"] * 2


def test_key(serve: Serve) -> None:
    client = serve(key="s3cret")
    assert connect(client, "s3cret").models.list().data
    with pytest.raises(openai.AuthenticationError, match="this server needs its key"):
        connect(client, "other").models.list()


WRONG: list[tuple[dict[str, Any], type[openai.APIStatusError], str]] = [
    ({"model": "sya"}, openai.NotFoundError, "there is no flow 'sya'. Did you mean 'say'?"),
    ({"model": "two"}, openai.BadRequestError, "it has several inputs of text; call POST /flows/two/runs"),
    ({"messages": []}, openai.BadRequestError, "messages: List should have at least 1 item"),
    ({"messages": user(text("a"), image(uri(png())))}, openai.BadRequestError, "takes text, but a message has image"),
    (
        {"messages": user({"type": "file", "file": {}})},
        openai.BadRequestError,
        "does not match any of the expected tags",
    ),
    (
        {"model": "look", "messages": user(image(uri(png())), image(uri(png())))},
        openai.BadRequestError,
        "takes one image",
    ),
    ({"model": "look"}, openai.BadRequestError, "input 'image' (image) is missing"),
    ({"model": "look", "messages": user(image(uri(wav())))}, openai.BadRequestError, "is no picture that can be read"),
    ({"model": "look", "messages": user(image("http://x/"))}, openai.BadRequestError, "none are fetched here"),
    ({"model": "hear", "messages": user(sound(png()))}, openai.BadRequestError, "is no sound that can be read"),
    ({"tools": [{"type": "function", "function": {"name": "f"}}]}, openai.BadRequestError, "tools: not available"),
    ({"n": 2}, openai.BadRequestError, "n: not available"),
]


@pytest.mark.parametrize(("change", "error", "message"), WRONG, ids=[row[2] for row in WRONG])
def test_what_is_refused(change: dict[str, Any], error: type[openai.APIStatusError], message: str, api: OpenAI) -> None:
    for stream in (False, True):
        with pytest.raises(error) as caught:
            api.chat.completions.create(**({"model": "say", "messages": user("hi"), "stream": stream} | change))
        assert message in caught.value.body["message"]
    assert stubs.RUNS == []


IMAGES: list[tuple[dict[str, Any], str]] = [
    ({"model": "say"}, "flow 'say' does not serve /v1/images/generations: it makes no image"),
    ({"size": "1024x1024"}, "size: Input should be 'auto'"),
    ({"n": 9}, "n: Input should be less than or equal to 4"),
]


@pytest.mark.parametrize(("change", "message"), IMAGES, ids=[row[1] for row in IMAGES])
def test_images_that_are_refused(change: dict[str, Any], message: str, api: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        api.images.generate(**({"model": "paint", "prompt": "a dog"} | change))
    assert message in caught.value.body["message"]


def test_a_run_that_fails(api: OpenAI) -> None:
    def fail(_: Any) -> None:
        raise ValueError("secret")

    stubs.HOOKS["say"] = fail
    with pytest.raises(openai.InternalServerError, match="the server's log says why"):
        api.chat.completions.create(model="say", messages=user("hi"))
    with pytest.raises(openai.APIError, match="the server's log says why"):
        list(api.chat.completions.create(model="say", messages=user("hi"), stream=True))
