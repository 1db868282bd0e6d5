"""The shipped bundle over HTTP: a picture goes in, a text comes out."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from openai import BadRequestError, OpenAI
from starlette.testclient import TestClient

from orchestrator import Flow
from orchestrator.serve.app import create_app
from orchestrator.serve.settings import Settings

DOG = Path(__file__).parents[2] / "flows" / "media" / "dog.png"


def test_a_picture_is_described(tmp_path: Path) -> None:
    app = create_app([Flow.arrow("image -> text")], Settings(out=tmp_path))
    uri = f"data:image/png;base64,{base64.b64encode(DOG.read_bytes()).decode()}"
    content = [{"type": "image_url", "image_url": {"url": uri}}]
    with TestClient(app) as local:
        client = OpenAI(base_url="http://testserver/v1", api_key="none", http_client=local, max_retries=0)
        asked = {"model": "image-to-text", "messages": [{"role": "user", "content": content}]}
        said = client.chat.completions.create(**asked).choices[0].message.content
        chunks = list(client.chat.completions.create(**asked, stream=True))
    assert "dog" in said
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == said


def test_a_dialogue_about_a_picture(tmp_path: Path) -> None:
    """The picture of the first message is seen in the second, which has none, and is not encoded again."""
    flow = Flow.arrow("image + text -> text")
    app = create_app([flow], Settings(out=tmp_path))
    uri = f"data:image/png;base64,{base64.b64encode(DOG.read_bytes()).decode()}"
    shown = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": uri}}]
    messages: list[Any] = [{"role": "user", "content": shown}]
    with TestClient(app) as local:
        client = OpenAI(base_url="http://testserver/v1", api_key="none", http_client=local, max_retries=0)
        for question in ("What colour is it?", ""):
            said = client.chat.completions.create(model="image-and-text-to-text", messages=messages).choices[0].message
            messages += [said.model_dump(), {"role": "user", "content": question}]
        system = {"role": "system", "content": "Be kind."}
        with pytest.raises(BadRequestError, match=r"has no place for a turn of the system; leave out what it has"):
            client.chat.completions.create(model="image-and-text-to-text", messages=[system, *messages[:1]])
    talk = flow.after([("user", [DOG, "What is it?"]), ("assistant", messages[1]["content"])])
    result = talk.run(text="What colour is it?")
    assert result["text"].text == messages[3]["content"]
    status = {node.name: node.status for node in result.nodes}
    assert (status["encode"], status["history-1-encode"], status["reason"]) == ("skipped", "cached", "cached")
