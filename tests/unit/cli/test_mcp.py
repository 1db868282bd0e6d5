"""`orch mcp`: its arguments. The server itself is tested in tests/unit/agents, the command in tests/integration."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from orchestrator.cli import mcp
from orchestrator.errors import UserError


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    mcp.arguments(parser)
    return parser.parse_args(words)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("127.0.0.1:8000", ("127.0.0.1", 8000)),
        (":80", ("127.0.0.1", 80)),
        ("8000", ("127.0.0.1", 8000)),
        ("[::1]:8000", ("::1", 8000)),
        ("0.0.0.0:1", ("0.0.0.0", 1)),
    ],
)
def test_address(text: str, place: tuple[str, int]) -> None:
    assert mcp.address(text) == place


@pytest.mark.parametrize("text", ["localhost", "host:", "host:x", "host:70000", "host:-1", "host:²"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(UserError, match=f"--http {text}: not HOST:PORT; type for example --http 127.0.0.1:8000"):
        mcp.address(text)


@pytest.mark.parametrize(
    ("words", "roots"),
    [
        ((), [".", "runs"]),
        (("--http", ":80"), ["runs"]),
        (("--http", ":80", "--root", "a", "--root", "b"), ["a", "b", "runs"]),
        (("--root", "a", "--out", "made"), ["a", "made"]),
    ],
)
def test_where_media_may_be_read(
    words: tuple[str, ...], roots: list[str], flow: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (offer,) = mcp.offers(parsed("image -> text", *words))
    assert [root.resolve() for root in offer.intake.roots or ()] == [(tmp_path / root).resolve() for root in roots]
    assert (offer.name, offer.intake.urls) == ("image_to_text", False)


@pytest.fixture
def served(flow: None, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What `orch mcp --http` would serve, and where."""
    found: dict[str, Any] = {}
    monkeypatch.setattr("uvicorn.run", lambda app, **where: found.update(app=app, **where))
    return found


def test_http_without_a_key(
    served: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("ORCH_API_KEY", raising=False)
    assert mcp.main(parsed("image -> text", "--http", ":8000")) == 0
    assert (served["host"], served["port"]) == ("127.0.0.1", 8000)
    assert capsys.readouterr().err == "serving at http://127.0.0.1:8000/mcp\n"
    assert mcp.main(parsed("image -> text", "--http", "0.0.0.0:8000")) == 0
    assert "warning: ORCH_API_KEY is not set: whoever reaches 0.0.0.0 may use" in capsys.readouterr().err


def test_http_with_a_key(served: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCH_API_KEY", "secret")
    monkeypatch.setattr(mcp, "MAX_BODY", 100)
    assert mcp.main(parsed("image -> text", "--http", ":8000")) == 0
    with TestClient(served["app"], base_url="http://127.0.0.1:8000") as client:
        assert client.post("/mcp", json={}).status_code == 401
        key = {"Authorization": "Bearer secret", "Accept": "application/json, text/event-stream"}
        assert client.post("/mcp", json={}, headers=key).status_code == 400
        assert client.post("/mcp", json={"a": "b" * 100}, headers=key).status_code == 413
