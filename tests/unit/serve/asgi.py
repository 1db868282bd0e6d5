"""A client that speaks ASGI itself: it sends a body bit by bit, and goes away when it likes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from fastapi import FastAPI


@dataclass
class Call:
    """One request. `leave` is set when the client goes away; `read` counts the bytes that the app took of the body."""

    app: FastAPI
    path: str
    body: AsyncIterator[bytes]
    headers: dict[str, str] = field(default_factory=dict)
    query: str = ""
    method: str = "POST"
    spec: str = "2.3"
    leave: asyncio.Event = field(default_factory=asyncio.Event)
    read: int = 0
    status: int = 0
    said: bytes = b""
    on_said: Callable[[bytes], None] = lambda chunk: None

    async def __call__(self) -> Call:
        headers = [(name.encode(), value.encode()) for name, value in self.headers.items()]
        scope = {
            "type": "http", "asgi": {"version": "3.0", "spec_version": self.spec}, "http_version": "1.1",
            "method": self.method, "scheme": "http", "path": unquote(self.path),
            "raw_path": self.path.encode(), "root_path": "",
            "query_string": self.query.encode(), "headers": headers, "server": ("orch.test", 80),
            "client": ("1.2.3.4", 5),
        }  # fmt: skip
        await self.app(scope, self._receive, self._send)
        return self

    async def _receive(self) -> dict[str, Any]:
        async for chunk in self.body:
            self.read += len(chunk)
            return {"type": "http.request", "body": chunk, "more_body": True}
        if not self.leave.is_set() and not self._ended:
            self._ended = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.leave.wait()
        return {"type": "http.disconnect"}

    _ended: bool = False

    async def _send(self, message: Any) -> None:
        if self.leave.is_set() and self.spec >= "2.4":
            raise OSError("the client is gone")
        self.status = message.get("status", self.status)
        self.said += message.get("body", b"")
        self.on_said(self.said)


async def once(data: bytes) -> AsyncIterator[bytes]:
    yield data


def post(app: FastAPI, path: str, content: Any, **fields: Any) -> Call:
    """A POST of some JSON."""
    headers = {"content-type": "application/json"} | fields.pop("headers", {})
    return Call(app, path, once(json.dumps(content).encode()), headers, **fields)
