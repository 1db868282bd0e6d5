"""The shipped bundle over HTTP: a picture goes in, a text comes out."""

from __future__ import annotations

import base64
from pathlib import Path

from openai import OpenAI
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
