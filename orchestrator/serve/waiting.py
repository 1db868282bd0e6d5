"""From the threads of runs to the coroutines of requests; a client that goes away takes its run with it."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from orchestrator.serve.runs import Run, Runs

if TYPE_CHECKING:
    from orchestrator.engine.events import Event

SILENCE, PING = 15.0, ": ping\n\n"  # seconds, and the comment that is sent then: proxies close what is silent


class Feed:
    """The events of a run, for one coroutine. Who reads slowly gets the newest progress of a node, not all of it."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._events: deque[Event | None] = deque()
        self._lock, self._filled = threading.Lock(), asyncio.Event()

    def __call__(self, event: Event | None) -> None:
        """Called from the run's thread."""
        with self._lock:
            empty = not self._events
            if not empty and _replaces(self._events[-1], event):
                self._events.pop()
            self._events.append(event)
        if empty:
            with suppress(RuntimeError):  # the loop is closed: nobody reads any more
                self._loop.call_soon_threadsafe(self._filled.set)

    async def events(self) -> AsyncIterator[Event]:
        """Every event, until the run is over."""
        while True:
            await self._filled.wait()
            self._filled.clear()
            with self._lock:
                found = list(self._events)
                self._events.clear()
            for event in found:
                if event is None:
                    return
                yield event


async def until_over(request: Request, runs: Runs, run: Run) -> None:
    """Wait for a run; if its client goes away before, it is stopped."""
    feed = Feed()
    run.listen(lambda event: None if event else feed(event))
    tasks = [asyncio.create_task(_end(feed)), asyncio.create_task(_gone(request))]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        if not run.over:
            runs.stop(run)


class EventStream(StreamingResponse):
    """Server-sent events of a run, which is stopped when the stream ends before it does."""

    def __init__(self, runs: Runs, run: Run, lines: AsyncIterator[str]) -> None:
        super().__init__(kept_alive(lines), media_type="text/event-stream", headers={"Cache-Control": "no-store"})
        self._stop: Callable[[], None] = lambda: None if run.over else runs.stop(run)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        old = {
            **scope,
            "asgi": {**scope.get("asgi", {}), "spec_version": "2.3"},
        }  # where Starlette listens for a client that goes
        try:
            await super().__call__(old, receive, send)
        finally:
            self._stop()


async def kept_alive(lines: AsyncIterator[str]) -> AsyncIterator[str]:
    """The lines of a stream, and a comment where a while goes by without one."""
    line = asyncio.ensure_future(anext(lines, None))
    try:
        while True:
            done, _ = await asyncio.wait({line}, timeout=SILENCE)
            if not done:
                yield PING
            elif (said := line.result()) is None:
                return
            else:
                yield said
                line = asyncio.ensure_future(anext(lines, None))
    finally:
        line.cancel()


async def _end(feed: Feed) -> None:
    async for _ in feed.events():
        pass


def _replaces(before: Event | None, event: Event | None) -> bool:
    """Whether an event says all that the one before it did."""
    if before is None or event is None or {before.kind, event.kind} != {"node_progress"}:
        return False
    return getattr(before, "node", "") == getattr(event, "node", "")


async def _gone(request: Request) -> None:
    """Return when the client is no longer there."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
