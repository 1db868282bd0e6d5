"""The key, and the limit on what is read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from fastapi import FastAPI

from tests.unit.serve.asgi import Call
from tests.unit.serve.conftest import Serve, png

PATHS = ["/flows", "/runs/x", "/media/x", "/v1/models", "/openapi.json", "/docs", "/nothing"]
BAD = [{}, {"authorization": "Bearer wrong"}, {"authorization": "Bearer "}, {"authorization": "Basic s3cret"}]
BAD += [{"authorization": "s3cret"}, {"authorization": "Bearer s3cret2"}]


@pytest.mark.parametrize("headers", BAD, ids=lambda h: h.get("authorization", "none"))
def test_nobody_comes_in_without_the_key(headers: dict[str, str], serve: Serve) -> None:
    client = serve(key="s3cret")
    for path in PATHS:
        answer = client.get(path, headers=headers)
        assert (path, answer.status_code, answer.headers["www-authenticate"]) == (path, 401, "Bearer")
        assert answer.json()["error"]["type"] == "authentication_error"
        assert "s3cret" not in answer.text


def test_with_the_key(serve: Serve) -> None:
    client = serve(key="s3cret")
    assert client.get("/health").json() == {"status": "ok"}
    assert client.get("/flows", headers={"authorization": "bearer s3cret"}).status_code == 200
    schema = client.get("/openapi.json", headers={"authorization": "Bearer s3cret"}).json()
    assert schema["paths"]["/flows"]["get"]["security"] == [{"HTTPBearer": []}]
    assert "security" not in schema["paths"]["/health"]["get"]


async def megabytes(count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield bytes(1 << 20)


UPLOADS = [
    ("/media", "image/png"),
    ("/flows/look/runs", "application/json"),
    ("/v1/chat/completions", "application/json"),
]


@pytest.mark.parametrize(("path", "kind"), UPLOADS)
@pytest.mark.parametrize(("length", "taken"), [(str(100 << 20), 0), ("", 3), ("10", 3)], ids=["told", "chunked", "lie"])
def test_100_mb_are_refused_early(
    path: str, kind: str, length: str, taken: int, app_of: Callable[..., FastAPI]
) -> None:
    headers = {"content-type": kind} | ({"content-length": length} if length else {})
    call = asyncio.run(Call(app_of(max_upload=2 << 20), path, megabytes(100), headers)())
    assert (call.status, call.read >> 20) == (413, taken)
    assert b"this server takes at most 2097152 bytes at once" in call.said


def test_a_form_is_counted_too(serve: Serve) -> None:
    client = serve(max_upload=1000)
    assert client.post("/media", files={"file": ("a.png", png(), "image/png")}).status_code == 201
    answer = client.post("/media", files={"file": ("a.png", png() + bytes(1000), "image/png")})
    assert answer.status_code == 413


def test_nobody_without_the_key_makes_it_read(app_of: Callable[..., FastAPI]) -> None:
    call = asyncio.run(Call(app_of(key="s3cret"), "/media", megabytes(9), {"content-type": "image/png"})())
    assert (call.status, call.read) == (401, 0)
