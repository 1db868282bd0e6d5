"""The tools of MCP servers (Model Context Protocol), by its official SDK. A server stays as it was between calls."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

from orchestrator.errors import CallError, InputError, RetryError, UserError
from orchestrator.nodes.media import Media
from orchestrator.nodes.ports import Tool

EXTRA = "pip install 'orch-mm[mcp]'"
SECONDS = 60.0  # for an answer
IDLE = 60.0  # without a question, until a line is closed
Server = str | tuple[str, ...]  # an address, or the command that starts it
T = TypeVar("T")
Ask = Callable[[Any], Coroutine[Any, Any, T]]
LOCK = threading.Lock()
LINES: dict[Server, _Line] = {}


def listed(server: Server) -> tuple[Tool, ...]:
    """What a server offers. Raises UserError if it has no tools, RetryError if it can't be reached."""

    async def ask(client: Any) -> tuple[Tool, ...]:
        found = (await client.list_tools()).tools
        target = json.dumps(server)
        return tuple(Tool(t.name, t.description or "", json.dumps(t.input_schema), "mcp", target) for t in found)

    if not (tools := _asked(server, ask)):
        raise UserError(f"the MCP server {_shown(server)} has no tools")
    return tools


def call(tool: Tool, given: Mapping[str, Any]) -> tuple[Media, ...]:
    """Call a tool; pictures and sounds that it gives become media. Raises CallError for what it says went wrong."""
    place = json.loads(tool.target)
    for name, value in given.items():
        if isinstance(value, Media):
            raise CallError(tool.name, f"{name}: an MCP tool takes JSON, no {value.modality}")

    async def ask(client: Any) -> Any:
        return await client.call_tool(tool.name, dict(given))

    answer = _asked(place if isinstance(place, str) else tuple(place), ask)
    found = tuple(_media(answer.content))
    if answer.is_error:
        said = " ".join(medium.text for medium in found if medium.modality == "text")
        raise CallError(tool.name, said or "it failed and does not say why")
    return found


def _media(content: Any) -> Iterator[Media]:
    for block in content:
        if block.type == "text":
            yield Media.load(block.text, "text")
        elif block.type in ("image", "audio"):
            yield _decoded(block.data, block.mime_type)
        elif block.type == "resource" and hasattr(block.resource, "text"):
            yield Media.load(block.resource.text, "text")
        elif block.type == "resource":
            yield _decoded(block.resource.blob, block.resource.mime_type or "")
        else:
            yield Media.load(f"{block.name}: {block.uri}", "text")


def _decoded(data: str, mime: str) -> Media:
    modality = mime.partition("/")[0]
    try:
        return Media.load(base64.b64decode(data), modality)
    except InputError as error:
        raise RetryError(f"the MCP server sent {mime or 'something'} that can't be read: {error}") from None


def _asked(server: Server, ask: Ask[T]) -> T:
    """What a server answers, over its open line or a new one. A line over which something failed is closed."""
    with LOCK:
        line = LINES.get(server)
        if line is None or not line.open:
            line = LINES[server] = _Line(server)
        answer = line.post(ask)
    try:
        return answer.result(SECONDS)
    except UserError:
        raise
    except Exception as error:  # of the SDK, its transports, or the server
        line.close()
        why = f"did not answer within {SECONDS:g} s" if isinstance(error, TimeoutError) else f"failed: {_first(error)}"
        raise RetryError(f"the MCP server {_shown(server)} {why}") from error


class _Line:
    """A connection in a thread of its own, whoever asks; it ends when nobody has asked for a while."""

    def __init__(self, server: Server) -> None:
        self.server, self.open = server, True
        self._loop = asyncio.new_event_loop()
        self._posted: asyncio.Queue[tuple[Ask[Any], Future[Any]] | None] = asyncio.Queue()
        threading.Thread(target=self._run, name="orch-mcp", daemon=True).start()

    def post(self, ask: Ask[T]) -> Future[T]:
        """Ask, while it is open; under LOCK."""
        done: Future[T] = Future()
        self._loop.call_soon_threadsafe(self._posted.put_nowait, (ask, done))
        return done

    def close(self) -> None:
        """End it, once what was asked before is on its way."""
        with LOCK:
            if self.open:
                self._loop.call_soon_threadsafe(self._posted.put_nowait, None)
            self.open = False

    def _run(self) -> None:
        ended: BaseException = RetryError(f"the line to {_shown(self.server)} was closed")
        try:
            self._loop.run_until_complete(self._serve())
        except BaseException as error:  # handed to who waits
            ended = error
        with LOCK:
            self.open = False
        self._loop.run_until_complete(asyncio.sleep(0))  # what was posted arrives
        while not self._posted.empty():
            if posted := self._posted.get_nowait():
                posted[1].set_exception(ended)
        self._loop.close()

    async def _serve(self) -> None:
        try:
            import mcp
        except ImportError as error:
            raise UserError(f"tools of MCP servers need the mcp SDK: {EXTRA}") from error
        with Path(os.devnull).open("w") as nowhere:
            place: Any = self.server
            if not isinstance(self.server, str):
                command, *rest = self.server
                place = mcp.stdio_client(mcp.StdioServerParameters(command=command, args=rest), errlog=nowhere)
            async with mcp.Client(place) as client, asyncio.TaskGroup() as answering:
                while posted := await self._next():
                    answering.create_task(_answer(client, *posted))

    async def _next(self) -> tuple[Ask[Any], Future[Any]] | None:
        try:
            return await asyncio.wait_for(self._posted.get(), IDLE)
        except TimeoutError:
            return None


async def _answer(client: Any, ask: Ask[Any], done: Future[Any]) -> None:
    try:
        done.set_result(await asyncio.wait_for(ask(client), SECONDS))
    except Exception as error:  # handed to who waits
        done.set_exception(error)


def _first(error: BaseException) -> BaseException:
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


def _shown(server: Server) -> str:
    return server if isinstance(server, str) else f"`{' '.join(server)}`"
