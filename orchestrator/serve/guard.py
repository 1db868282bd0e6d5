"""What stands before every route: the key, and the limit on what is read. Both act before a body is in memory."""

from __future__ import annotations

import hmac

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestrator.serve.refusals import refusal

OPEN = ("/health",)  # paths that need no key


class KeyGuard:
    """Lets nobody in without `Authorization: Bearer <key>`."""

    def __init__(self, app: ASGIApp, key: str) -> None:
        self.app, self.key = app, key.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in OPEN or self._fits(Headers(scope=scope)):
            await self.app(scope, receive, send)
        else:
            told = "this server needs its key: send the header 'Authorization: Bearer <key>'"
            await refusal(401, told, {"WWW-Authenticate": "Bearer"})(scope, receive, send)

    def _fits(self, headers: Headers) -> bool:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode("latin-1"), self.key)


class SizeGuard:
    """Reads no more of a request than `limit` bytes: it is refused by its Content-Length, or while it is read."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self.app, self.limit = app, limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        length = Headers(scope=scope).get("content-length", "")
        if length.isdecimal() and int(length) > self.limit:
            await refusal(413, self._told(f"{length} bytes"))(scope, receive, send)
            return
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self.limit:
                raise HTTPException(413, self._told(f"more than {self.limit} bytes"))
            return message

        await self.app(scope, counted, send)

    def _told(self, much: str) -> str:
        return f"the request has {much}; this server takes at most {self.limit} bytes at once"
