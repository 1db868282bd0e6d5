"""A flow as a tool of LangChain's agents."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, ToolMessage
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode

from orchestrator.agents import as_tool
from orchestrator.engine.flow import Flow
from orchestrator.errors import NodeError, UserError
from orchestrator.nodes.stage import Context
from tests import stubs
from tests.unit.agents.conftest import SIDE
from tests.unit.engine.conftest import Make, echo


def called(tool: Any, **arguments: Any) -> ToolMessage:
    message: ToolMessage = tool.invoke({"type": "tool_call", "id": "1", "name": tool.name, "args": arguments})
    return message


def test_says_of_itself_what_the_flow_says(say: Flow, make: Make) -> None:
    spec = say.spec.model_copy(update={"flow": "say-it", "doc": "Says it again."})
    tool = as_tool(Flow(spec, say.bundle.root))
    assert tool.name == "say_it"
    assert tool.description == "Says it again. Makes out (text); media are written to files."
    assert tool.args == {"text": {"description": "What to say.", "title": "Text", "type": "string"}}
    assert as_tool(say, "speak", "Speaks.").name == "speak"
    assert as_tool(say, "speak", "Speaks.").description == "Speaks."


def test_arguments_of_media_say_how_they_are_given(measure: Flow) -> None:
    assert as_tool(measure).args["picture"]["type"] == "string"
    assert as_tool(measure).args["picture"]["description"] == "A picture: a file's path or a data URI."
    assert "an http(s) address" in as_tool(measure, allow_urls=True).args["picture"]["description"]


def test_content_tells_what_was_made_and_the_artifact_has_it(studio: Flow, tmp_path: Path) -> None:
    message = called(as_tool(studio, out=tmp_path), text="one of each")
    folder = message.artifact["folder"]
    assert message.content == (
        f"asked: one of each\n"
        f"image: image in {folder}/image.png (size 4x4)\n"
        f"audio: audio in {folder}/audio.wav (rate 8000, seconds 0.01, channels 1)\n"
        f"video: video in {folder}/video.mp4 (size 16x16, frames 2, fps 8.0, seconds 0.25)"
    )
    assert json.loads(json.dumps(message.artifact["outputs"]["image"]))["path"] == f"{folder}/image.png"
    assert message.artifact["outputs"]["asked"]["text"] == "one of each"
    assert Path(folder, "run.json").is_file()


def test_tells_what_was_not_made(make: Make, tmp_path: Path) -> None:
    nodes = {"s": {"stage": "sieve", "text": "$text"}, "e": echo("$s.match")}
    tool = as_tool(make(nodes, {"out": "$e"}), out=tmp_path)
    assert tool.invoke({"text": "no"}) == "out: was not made: no s.match"


@pytest.mark.parametrize("form", ["path", "bytes", "data"])
def test_forms_of_media(form: str, measure: Flow, png: Path, tmp_path: Path) -> None:
    encoded = base64.b64encode(png.read_bytes()).decode()
    given = {"path": str(png), "bytes": png.read_bytes(), "data": f"data:image/png;base64,{encoded}"}[form]
    assert as_tool(measure, out=tmp_path).invoke({"picture": given}) == f"width: {SIDE}"


def test_seed_where_something_is_random(make: Make, say: Flow, tmp_path: Path) -> None:
    tool = as_tool(make({"a": echo("$text", dice=True)}, {"out": "$a"}), out=tmp_path, seed=3)
    assert tool.args["seed"]["default"] == 3
    assert [tool.invoke({"text": "n"} | more) for more in ({}, {"seed": 8})] == ["out: n3", "out: n8"]
    assert "seed" not in as_tool(say).args


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"pictur": "a.png"}, "picture: Field required.\npictur: is no argument. Did you mean 'picture'?"),
        ({"picture": 5}, "picture: Input should be a valid string."),
        ({"picture": "nowhere.png"}, "picture: {cwd}/nowhere.png: no such file; give the picture as a file: "),
        ({"picture": "/etc/passwd"}, "picture: /etc/passwd is outside the folders that may be read ({cwd})"),
        ({"picture": "../x.png"}, "picture: ../x.png is outside the folders that may be read ({cwd})"),
        ({"picture": "https://example.org/a.png"}, "picture: https://example.org/a.png is an address, and none are"),
        ({"picture": "data:audio/wav;base64,AAAA"}, "picture: takes image, but the data URI holds audio/wav"),
        ({"picture": "data:image/png;base64,?"}, "picture: the data URI is no base64: "),
    ],
)
def test_the_callers_mistakes_are_told_to_it(
    arguments: dict[str, Any], said: str, measure: Flow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    message = called(as_tool(measure, roots=["."]), **arguments)
    assert message.status == "error"
    assert str(message.content).startswith(said.format(cwd=tmp_path).replace(f"({tmp_path})", "(.)"))


def test_what_is_no_fault_of_the_caller_is_raised(say: Flow, tmp_path: Path) -> None:
    def fail(context: Context) -> None:
        raise RuntimeError("out of paper")

    stubs.HOOKS["end"] = fail
    with pytest.raises(NodeError, match="out of paper"):
        as_tool(say, out=tmp_path).invoke({"text": "a"})


def test_async_in_an_agents_tool_node(say: Flow, tmp_path: Path) -> None:
    tool = as_tool(say, "say", out=tmp_path)
    graph = StateGraph(MessagesState).add_node("tools", ToolNode([tool])).add_edge(START, "tools").compile()
    calls = [{"name": "say", "args": {"text": word}, "id": word} for word in ("a", "b")]
    state = asyncio.run(graph.ainvoke({"messages": [AIMessage("", tool_calls=calls)]}))
    assert [message.content for message in state["messages"][1:]] == ["out: a?", "out: b?"]


def test_a_name_that_agents_do_not_take(say: Flow) -> None:
    with pytest.raises(UserError, match="1 to 64 letters, digits, '_' and '-', not 'say it'; pass name="):
        as_tool(say, "say it")
