"""Functions as tools: schemas from signatures, checked arguments, what they return; references to results."""

from __future__ import annotations

import json
from typing import Any

import pytest
from PIL import Image
from pydantic import BaseModel

from orchestrator.errors import CallError, UserError
from orchestrator.models.bundle import trust
from orchestrator.models.llm.calls import Call
from orchestrator.nodes import functions
from orchestrator.nodes.media import Media
from orchestrator.nodes.ports import Observation, Tool
from orchestrator.nodes.tool import Follow, FollowConfig, Toolbox, ToolConfig, filled, resolved
from orchestrator.testing import StageContext, check_stage

PICTURE = Media.load(Image.new("RGB", (4, 4), "red"), "image")
RESULTS = [
    Observation(Call("look", id="a"), "1", (Media.load("a dog", "text"),)),
    Observation(Call("draw"), "2", (PICTURE,)),
    Observation(Call("fail"), "3", error="no"),
]


class Box(BaseModel):
    side: int


def measure(picture: Media, factor: float = 1.0, box: Box | None = None) -> str:
    """How wide a picture is.

    Details.
    """
    return f"{picture.image.width * factor:g}"


async def later(text: str) -> str:
    """A coroutine."""
    return text[::-1]


def untyped(text):  # type: ignore[no-untyped-def]
    return text


def starred(*texts: str) -> str:
    return "".join(texts)


def entry(name: str) -> str:
    return f"{__name__}:{name}"


def test_a_signature_is_a_schema() -> None:
    tool = functions.described(entry("measure"))
    schema = json.loads(tool.schema)
    assert (tool.name, tool.description, schema["required"]) == ("measure", "How wide a picture is.", ["picture"])
    assert schema["properties"]["picture"]["type"] == "string"
    assert schema["properties"]["factor"]["default"] == 1.0
    named = functions.described(entry("measure"), "width", "Tells the width.")
    assert (named.name, named.description) == ("width", "Tells the width.")


def test_arguments_are_converted_and_coroutines_awaited() -> None:
    tool = functions.described(entry("measure"))
    assert functions.call(tool, {"picture": PICTURE, "factor": 2, "box": {"side": 1}})[0].text == "8"
    assert functions.call(functions.described(entry("later")), {"text": "abc"})[0].text == "cba"
    with pytest.raises(CallError, match=r"picture: Input should be an instance of Media, not 'x'; box\.side: "):
        functions.call(tool, {"picture": "x", "box": {"side": "wide"}})


@pytest.mark.parametrize(
    ("returned", "modalities"),
    [("a", ["text"]), ([1, 2], ["text"]), ({"a": 1}, ["text"]), (None, ["text"]), (Box(side=1), ["text"]),
     (PICTURE.image, ["image"]), (["a", PICTURE], ["text", "image"]), ((PICTURE, PICTURE.image), ["image", "image"])],
)  # fmt: skip
def test_what_a_function_returns(returned: Any, modalities: list[str]) -> None:
    assert [medium.modality for medium in functions.media(returned)] == modalities


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("untyped", r"parameter 'text' has no type; write text: str"),
        ("starred", r"parameter '\*texts.*' has no name that an LLM could give it by"),
        ("nothing", r"no function '.*:nothing'.*write module:function"),
    ],
)
def test_functions_that_are_no_tools(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        functions.described(entry(name))


def test_a_langchain_tool() -> None:
    pytest.importorskip("langchain_core.tools")
    tool = functions.described(entry("langchain_echo"))
    assert (tool.name, list(json.loads(tool.schema)["properties"])) == ("echo", ["text"])
    assert functions.call(tool, {"text": "hi"})[0].text == "hi!"
    with pytest.raises(CallError, match=r"called 'echo': wrong arguments: text: Field required"):
        functions.call(tool, {})


def __getattr__(name: str) -> Any:
    """The LangChain tool is made when it is asked for."""
    if name != "langchain_echo":
        raise AttributeError(name)
    from langchain_core.tools import tool

    @tool
    def echo(text: str) -> str:
        """Say it again."""
        return f"{text}!"

    return echo


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"text": "<resource-a> runs"}, {"text": "a dog runs"}),
        ({"text": "<resource-1>"}, {"text": "a dog"}),
        ({"picture": "<resource-2>"}, {"picture": PICTURE}),
        ({"deep": [{"x": "<resource-a>"}], "n": 3}, {"deep": [{"x": "a dog"}], "n": 3}),
    ],
)
def test_references(given: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert resolved(Call("t", arguments=json.dumps(given)), RESULTS) == wanted


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<resource-9>", r"no call gave <resource-9>"),
        ("<resource-3>", r"no call gave <resource-3>"),
        ("see <resource-2>", r"<resource-2> is image, which can't stand in a text"),
    ],
)
def test_references_to_nothing(text: str, message: str) -> None:
    with pytest.raises(CallError, match=message):
        resolved(Call("t", arguments=json.dumps({"text": text})), RESULTS)


def test_a_caption_is_a_text() -> None:
    with pytest.raises(CallError, match="caption is a text, not image"):
        filled(Call("make_image", arguments='{"caption": "<resource-2>"}'), RESULTS)


def test_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(trust.VARIABLE, "tools")
    check_stage(Toolbox(ToolConfig(function=entry("measure"))), requests=[{}, {}])
    tool = functions.described(entry("later"))
    calls = [{"call": Call("later", arguments=json.dumps({"text": text})), "tools": (tool,)} for text in ("ab", "cd")]
    check_stage(Follow(FollowConfig(name="1")), requests=calls)


def test_a_flow_needs_an_engine() -> None:
    with pytest.raises(UserError, match=r"flow 'x\.yaml' is called where no engine runs"):
        Toolbox(ToolConfig(flow="x.yaml")).run([{}], StageContext())


def test_an_mcp_server_that_is_not_there() -> None:
    pytest.importorskip("mcp")
    tool = Tool("t", "", "{}", "mcp", json.dumps(["/no/such/command"]))
    from orchestrator.errors import RetryError
    from orchestrator.nodes import mcp_tools

    with pytest.raises(RetryError, match=r"the MCP server `/no/such/command` failed: .*No such file"):
        mcp_tools.call(tool, {})
    with pytest.raises(CallError, match="picture: an MCP tool takes JSON, no image"):
        mcp_tools.call(tool, {"picture": PICTURE})
