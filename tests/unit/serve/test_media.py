"""What a client may reach: uploads and outputs, and no other file or host."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from orchestrator.nodes import media_fetch
from orchestrator.nodes.modality import MODALITIES
from orchestrator.serve.media import KINDS, MAX_KEPT, TYPES, Uploads
from tests.unit.serve.asgi import Call, once, post
from tests.unit.serve.conftest import Serve, png

PUBLIC = "93.184.216.34"
NAMES = [
    "run.json", "events.jsonl", "../run.json", "..%2Frun.json", "%2e%2e/run.json", "..%252frun.json", "....//run.json",
    "..\\run.json", "%2Fetc%2Fpasswd", "/etc/passwd", "picture.png/../run.json", "picture.png%00.txt", ".", "..", "",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_no_other_file_is_reached(name: str, app_of: Callable[..., FastAPI]) -> None:
    """As the bytes of a request have it: no client tidies the path up."""
    app = app_of()

    async def get(path: str) -> Call:
        return await Call(app, path, once(b""), method="GET")()

    async def go() -> None:
        run = json.loads((await post(app, "/flows/paint/runs", {"text": "a"}, query="wait=true")()).said)["id"]
        for path in (f"/runs/{run}/files/{name}", f"/runs/{name}/files/asked.txt", f"/media/{name}", f"/{name}"):
            told = await get(path)
            assert told.status in (404, 307), path
            assert (b"root:" in told.said, b'"nodes"' in told.said) == (False, False)
        assert (await get(f"/runs/{run}/files/asked.txt")).said == b"a"

    asyncio.run(go())
    app.state.runs.close()


def test_a_link_is_not_followed(client: TestClient, tmp_path: Path) -> None:
    told = client.post("/flows/paint/runs?wait=true", json={"text": "a"}).json()
    picture = tmp_path / "runs" / told["id"] / "picture.png"
    (tmp_path / "secret").write_text("secret")
    picture.unlink()
    picture.symlink_to(tmp_path / "secret")
    assert client.get(told["outputs"]["picture"]["url"]).status_code == 404


HOSTS = {
    "example.org": [PUBLIC],
    "inside": ["10.0.0.1"],
    "half": [PUBLIC, "192.168.0.1"],
    "metadata": ["169.254.169.254"],
    "nat64": ["64:ff9b::7f00:1"],
    "six": ["2002:7f00:1::"],
    "many": ["224.0.1.1"],
    "localhost": ["127.0.0.1", "::1"],
}
PRIVATE = [
    "http://127.0.0.1/a.png", "http://127.1/a.png", "http://2130706433/a.png", "http://0x7f000001/a.png",
    "http://169.254.169.254/latest/meta-data", "http://[::1]/a.png", "http://[::ffff:127.0.0.1]/a.png", "http://0.0.0.0/",
    "http://[fe80::1]/", "http://inside/a.png", "http://half/a.png", "http://metadata/", "http://nat64/", "http://six/",
    "http://many/", "http://example.org/to-private", "http://example.org/to-loopback", "https://user:pw@inside/",
    "http://100.64.0.1/", "http://localhost/",
]  # fmt: skip
MOVED = {"/to-private": "http://inside/a.png", "/to-loopback": "http://127.0.0.1:8000/flows"}


def world(request: httpx.Request) -> httpx.Response:
    assert request.url.host == PUBLIC, f"asked {request.url}"
    if request.url.path in MOVED:
        return httpx.Response(302, headers={"location": MOVED[request.url.path]})
    return httpx.Response(200, content=png(9), headers={"content-type": "image/png"})


def resolve(host: str, port: int) -> list[str]:
    """As the system does: known names, and every way to write an address."""
    if host in HOSTS:
        return HOSTS[host]
    return [str(ipaddress.ip_address(host))] if ":" in host else [socket.inet_ntoa(socket.inet_aton(host))]


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch) -> None:
    known = partial(media_fetch.fetch, transport=httpx.MockTransport(world), resolve=resolve)
    monkeypatch.setattr(media_fetch, "fetch", known)


def asks(url: str) -> list[tuple[str, dict[str, Any]]]:
    part = {"type": "image_url", "image_url": {"url": url}}
    return [
        ("/flows/look/runs?wait=true", {"json": {"image": url}}),
        ("/flows/look/runs?wait=true", {"files": {"image": (None, url)}}),
        ("/v1/chat/completions", {"json": {"model": "look", "messages": [{"role": "user", "content": [part]}]}}),
    ]


def test_no_private_host_is_asked(serve: Serve, outside: None) -> None:
    client = serve(allow_urls=True)
    for path, request in (ask for url in PRIVATE for ask in asks(url)):
        answer = client.post(path, **request)
        assert answer.status_code in (400, 422), request
        assert "is not public" in answer.json()["error"]["message"], request


def test_public_hosts_are_asked_where_that_is_allowed(serve: Serve, outside: None) -> None:
    client = serve(allow_urls=True)
    for path, request in asks("https://example.org/a.png"):
        assert "[9, 2] what?" in client.post(path, **request).text
    for path, request in asks("https://example.org/a.png"):
        assert "none are fetched here" in serve().post(path, **request).text


def test_every_suffix_of_a_modality_has_a_type_of_it() -> None:
    suffixes = {suffix: m.name for m in MODALITIES.values() for suffix in m.suffixes}
    assert {suffix: kind.partition("/")[0] for suffix, kind in TYPES.items()} == suffixes
    assert not {"text/html", "image/svg+xml"} & {*KINDS}


def test_the_oldest_uploads_give_way() -> None:
    uploads = Uploads(limit=2 * len(png()))
    kept = [uploads.add(png(), "image/png") for _ in range(3)]
    assert not kept[0].path.exists()
    assert [uploads.find(upload.id) for upload in kept[1:]] == kept[1:]
    with pytest.raises(Exception, match="there is no upload"):
        uploads.find(kept[0].id)
    uploads.close()
    assert MAX_KEPT > 0
