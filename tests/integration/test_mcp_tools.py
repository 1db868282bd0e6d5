"""Tools of an MCP server: one that is started, and one at an address, called from a flow."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.engine.flow import Flow
from orchestrator.errors import CallError, RetryError, UserError
from orchestrator.models.bundle import trust
from orchestrator.nodes import mcp_tools
from orchestrator.nodes.mcp_tools import listed
from orchestrator.testing.remote import Answer, ScriptedLLM
from tests import stubs

pytest.importorskip("mcp")

SERVER = """
import io, sys
from mcp.server import MCPServer
from mcp.server.mcpserver import Image
server = MCPServer("some")

@server.tool()
def add(a: int, b: int) -> int:
    "Add two numbers."
    return a + b

@server.tool()
def draw(colour: str) -> Image:
    "Draw a square."
    from PIL import Image as Pillow
    held = io.BytesIO()
    Pillow.new("RGB", (8, 8), colour).save(held, "PNG")
    return Image(data=held.getvalue(), format="png")

@server.tool()
def fail() -> str:
    "Never works."
    raise ValueError("no luck")

port = int(sys.argv[1])
server.run("streamable-http", port=port) if port else server.run()
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mcp") / "server.py"
    path.write_text(SERVER)
    return path


@pytest.fixture(scope="module")
def address(script: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    running = subprocess.Popen([sys.executable, str(script), str(port)], stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            with socket.socket() as trial:
                if trial.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        running.terminate()
        running.wait()


def test_what_a_server_at_an_address_offers(address: str) -> None:
    tools = {tool.name: tool for tool in listed(address)}
    assert list(tools) == ["add", "draw", "fail"]
    assert (tools["add"].description, json.loads(tools["add"].schema)["required"]) == ("Add two numbers.", ["a", "b"])
    assert mcp_tools.call(tools["add"], {"a": 2, "b": 3})[0].text == "5"
    (picture,) = mcp_tools.call(tools["draw"], {"colour": "red"})
    assert (picture.modality, picture.image.size) == ("image", (8, 8))
    with pytest.raises(CallError, match=r"called 'fail': .*fail"):
        mcp_tools.call(tools["fail"], {})
    with pytest.raises(CallError, match="called 'add': "):
        mcp_tools.call(tools["add"], {"a": "two"})


def test_an_agent_calls_a_server_that_the_flow_starts(
    script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(trust.VARIABLE, "tools")
    with ScriptedLLM(Answer(calls=[("add", {"a": 2, "b": 3})]), Answer("It is 5.")) as llm:
        (tmp_path / "bundle.yaml").write_text(f"{{name: far, llm: {{url: '{llm.url}', model: scripted}}}}")
        server = [sys.executable, str(script), "0"]
        nodes = {
            "sums": {"stage": "tool", "mcp": server, "only": ["add"]},
            "agent": {"stage": "agent", "prompt": "$text", "tools": ["$sums"]},
        }
        result = Flow(stubs.flow(nodes, {"text": "$agent.text", "found": "$agent.found"}), tmp_path).run(text="2 + 3?")
    assert (result["text"].text, result["found"].text) == ("It is 5.", "5")
    assert [tool["function"]["name"] for tool in llm.requests[0]["tools"]] == ["add"]
    nodes["sums"]["only"] = ["ad"]
    with pytest.raises(UserError, match=r"the MCP server has no tool 'ad'\. Did you mean 'add'"):
        Flow(stubs.flow(nodes, {"text": "$agent.text"}), tmp_path).run(text="2 + 3?")


def test_a_server_that_is_not_there() -> None:
    with pytest.raises(RetryError, match=r"the MCP server http://127\.0\.0\.1:9/mcp failed"):
        listed("http://127.0.0.1:9/mcp")
