"""Flows as an MCP server, seen by the SDK's own client."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult, EmbeddedResource, ResourceLink

from orchestrator.agents import mcp as module
from orchestrator.agents.mcp import mcp_server
from orchestrator.agents.offer import Offer
from orchestrator.engine.flow import Flow
from orchestrator.errors import UserError
from orchestrator.nodes.stage import Context, Progress
from tests import stubs
from tests.unit.agents.conftest import SIDE

MakeOffer = Callable[..., Offer]
Ask = Callable[[Client], Awaitable[Any]]
MODES = pytest.mark.parametrize("mode", ["auto", "legacy"])


def served(ask: Ask, *offers: Offer, mode: str = "auto") -> Any:
    """What `ask` gets from a client of a server in this process."""

    async def main() -> Any:
        async with Client(mcp_server(offers), mode=mode) as client:
            return await ask(client)

    return asyncio.run(main())


def call(offer: Offer, mode: str = "auto", **arguments: Any) -> CallToolResult:
    """The result of one tool call."""
    result: CallToolResult = served(lambda client: client.call_tool(offer.name, arguments), offer, mode=mode)
    return result


@MODES
def test_flows_are_tools(mode: str, say: Flow, measure: Flow, offer: MakeOffer) -> None:
    offers = [offer(say, "say"), offer(measure, "measure")]
    tools = {tool.name: tool for tool in served(lambda client: client.list_tools(), *offers, mode=mode).tools}
    assert tools["say"].description == "stub. Makes out (text); media are written to files."
    assert tools["say"].input_schema == {
        "title": "say",
        "type": "object",
        "properties": {"text": {"description": "What to say.", "title": "Text", "type": "string"}},
        "required": ["text"],
        "additionalProperties": False,
    }
    assert tools["measure"].input_schema["properties"]["picture"]["type"] == "string"


@MODES
def test_media_come_as_content_of_their_kind(mode: str, studio: Flow, offer: MakeOffer) -> None:
    result = call(offer(studio, "studio"), mode, text="one of each")
    assert not result.is_error
    told, image, audio, video = result.content
    assert [c.type for c in result.content] == ["text", "image", "audio", "resource"]
    assert told.text.splitlines()[0] == "asked: one of each"
    assert (image.mime_type, audio.mime_type) == ("image/png", "audio/x-wav")
    files = {name: Path(made["path"]) for name, made in result.structured_content["outputs"].items()}
    assert base64.b64decode(image.data) == files["image"].read_bytes()
    assert base64.b64decode(audio.data) == files["audio"].read_bytes()
    assert isinstance(video, EmbeddedResource)
    assert video.resource.mime_type == "video/mp4"
    assert base64.b64decode(video.resource.blob) == files["video"].read_bytes()
    assert result.structured_content["outputs"]["asked"]["text"] == "one of each"


def test_what_is_large_is_a_link_that_can_be_read(
    studio: Flow, offer: MakeOffer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "EMBEDDED", 10)

    async def ask(client: Client) -> None:
        result = await client.call_tool("studio", {"text": "a"})
        links = [content for content in result.content if isinstance(content, ResourceLink)]
        assert [link.name for link in links] == ["image.png", "audio.wav", "video.mp4"]
        assert [r.uri for r in (await client.list_resources()).resources] == [link.uri for link in links]
        (read,) = (await client.read_resource(links[2].uri)).contents
        made = Path(result.structured_content["outputs"]["video"]["path"])
        assert base64.b64decode(read.blob) == made.read_bytes()
        for uri in (f"orch://{made.parent.name}/../../secret.txt", f"file://{made.parent}/run.json"):
            with pytest.raises(MCPError, match=f"there is nothing at {uri}: it is of no run of this server"):
                await client.read_resource(uri)

    served(ask, offer(studio, "studio"))


def test_media_go_in_and_results_go_on(measure: Flow, studio: Flow, offer: MakeOffer, png: Path) -> None:
    data = f"data:image/png;base64,{base64.b64encode(png.read_bytes()).decode()}"

    async def ask(client: Client) -> list[str]:
        made = await client.call_tool("studio", {"text": "a"})
        forms = (str(png), png.as_uri(), data, made.structured_content["outputs"]["image"]["path"])
        return [(await client.call_tool("measure", {"picture": form})).content[0].text for form in forms]

    assert served(ask, offer(measure, "measure"), offer(studio, "studio")) == [f"width: {SIDE}"] * 4


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, r"picture: Field required\.$"),
        ({"picture": 5}, r"picture: Input should be a valid string\.$"),
        ({"picture": "a.png", "size": 1}, r"size: is no argument\. Known: picture\.$"),
        ({"picture": "/etc/passwd"}, r"picture: /etc/passwd is outside the folders that may be read"),
        ({"picture": "pictures/../../x.png"}, r"is outside the folders that may be read"),
        ({"picture": "http://127.0.0.1/a.png"}, r"is an address, and none are fetched here: give a file's path or a"),
        ({"picture": "data:text/plain,hello"}, r"picture: takes image, but the data URI holds text/plain"),
    ],
)
@MODES
def test_wrong_arguments(mode: str, arguments: dict[str, Any], said: str, measure: Flow, offer: MakeOffer) -> None:
    result = call(offer(measure, "measure"), mode, **arguments)
    assert result.is_error
    with pytest.raises(AssertionError, match=said):
        raise AssertionError(result.content[0].text)


def test_a_failed_run_is_told(say: Flow, offer: MakeOffer) -> None:
    def fail(context: Context) -> None:
        raise RuntimeError("out of paper")

    stubs.HOOKS["end"] = fail
    result = call(offer(say, "say"), text="a")
    assert (result.is_error, result.content[0].text) == (True, "node 'end' (echo): out of paper")


def test_unknown_tool(say: Flow, offer: MakeOffer) -> None:
    async def ask(client: Client) -> None:
        with pytest.raises(MCPError, match=r"unknown tool 'sya'\. Did you mean 'say'\?"):
            await client.call_tool("sya", {})

    served(ask, offer(say, "say"))


@MODES
def test_progress_in_nodes(mode: str, say: Flow, offer: MakeOffer) -> None:
    told: list[tuple[float, float | None, str | None]] = []

    async def note(*step: Any) -> None:
        told.append(step)

    served(lambda client: client.call_tool("say", {"text": "a"}, progress_callback=note), offer(say, "say"), mode=mode)
    assert told[0] == (1.0, 2.0, "start: ran")
    assert (1.5, 2.0, "end: 2 of 4 steps") in told
    assert [step[0] for step in told] == sorted(step[0] for step in told)
    assert told[-1][0] == 2.0


@MODES
def test_cancelling_stops_the_run(mode: str, say: Flow, offer: MakeOffer, tmp_path: Path) -> None:
    started = threading.Event()

    def work(context: Context) -> None:
        started.set()
        while True:
            context.report(0, Progress("steps", 1, 2))
            started.wait()

    stubs.HOOKS["end"] = work

    async def ask(client: Client) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.call_tool, "say", {"text": "a"})
            await asyncio.to_thread(started.wait, 20)
            tasks.cancel_scope.cancel()
        with anyio.fail_after(20):
            while _status(tmp_path / "runs") == "running":
                await anyio.sleep(0.01)

    served(ask, offer(say, "say"), mode=mode)
    assert _status(tmp_path / "runs") == "interrupted"


def _status(runs: Path) -> str:
    (folder,) = runs.iterdir()
    status: str = json.loads((folder / "run.json").read_text())["status"]
    return status


def test_ten_at_once(say: Flow, offer: MakeOffer) -> None:
    async def ask(client: Client) -> list[str]:
        found = dict[str, str]()

        async def one(word: str) -> None:
            found[word] = (await client.call_tool("say", {"text": word})).content[0].text

        async with anyio.create_task_group() as tasks:
            for i in range(10):
                tasks.start_soon(one, f"word {i}")
        return [found[f"word {i}"] for i in range(10)]

    assert served(ask, offer(say, "say")) == [f"out: word {i}?" for i in range(10)]


def test_over_streamable_http(say: Flow, offer: MakeOffer) -> None:
    server = mcp_server([offer(say, "say")])
    app = server.streamable_http_app()

    async def main() -> tuple[str, int]:
        transport = httpx2.ASGITransport(app)
        async with server.session_manager.run(), httpx2.AsyncClient(transport=transport) as http:
            async with Client(streamable_http_client("http://127.0.0.1:1/mcp", http_client=http)) as client:
                result = await client.call_tool("say", {"text": "a"})
            foreign = await http.post("http://evil.example/mcp", json={})  # a page that lets its name lead here
            return result.content[0].text, foreign.status_code

    assert asyncio.run(main()) == ("out: a?", 421)


def test_names_are_told_apart(say: Flow, offer: MakeOffer) -> None:
    with pytest.raises(UserError, match="two tools have the same name: say, say"):
        mcp_server([offer(say, "say"), offer(say, "say")])


def test_without_the_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mcp_types", None)
    monkeypatch.delitem(sys.modules, "orchestrator.agents.mcp")
    with pytest.raises(UserError, match=r"an MCP server needs mcp_types; type: pip install 'orch-mm\[mcp\]'"):
        __import__("orchestrator.agents.mcp")
