"""tool: what an LLM may call, and a call of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, model_validator

from orchestrator.errors import CallError, InputError, UserError, nearest
from orchestrator.models.bundle import trust
from orchestrator.models.llm.calls import MAKE, RESOURCE, Call, made
from orchestrator.nodes import functions, mcp_tools
from orchestrator.nodes.media import Media
from orchestrator.nodes.ports import Observation, Port, PortType, Tool
from orchestrator.nodes.stage import Callee, Config, Context, Flows, Inputs, Outputs, Stage

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.models.bundle import Bundle


class ToolConfig(Config):
    """What is called: exactly one of function, flow and mcp."""

    function: str = Field("", description="A Python function or LangChain tool, as module:name.")
    flow: str = Field("", description="A flow file, seen from this flow's own, or an arrow line.")
    mcp: str | tuple[str, ...] = Field("", description="An MCP server: its address, or the command that starts it.")
    only: tuple[str, ...] = Field((), description="Of an MCP server: these of its tools; default: all.")
    name: str = Field("", pattern=r"^[A-Za-z0-9_-]{0,64}$", description="What the LLM calls it; default: its own name.")
    doc: str = Field("", description="What the LLM is told that it does; default: its own description.")

    @model_validator(mode="after")
    def _one(self) -> ToolConfig:
        given = [kind for kind in ("function", "flow", "mcp") if getattr(self, kind)]
        if len(given) != 1:
            raise ValueError(f"give one of function, flow and mcp, not {' and '.join(given) or 'none'}")
        if self.only and not self.mcp:
            raise ValueError("`only` chooses among the tools of an MCP server")
        return self

    @property
    def command(self) -> tuple[str, ...]:
        """The command that starts the MCP server, if one has to be started."""
        return self.mcp if isinstance(self.mcp, tuple) else ()


class Toolbox(Stage):
    """Something that the LLM may call: a Python function, a LangChain tool, a flow, or the tools of an MCP server.

    It is connected to `reason`, which offers it to the LLM, and to `route`, which follows the calls. A function and a
    command run code that the flow names, so the user has to trust the flow with `tools`.
    """

    name: ClassVar[str] = "tool"
    pure: ClassVar[bool] = False  # a function may have been changed, a server may have other tools
    config_class = ToolConfig
    inputs: ClassVar[Mapping[str, Port]] = {}
    outputs: ClassVar[Mapping[str, Port]] = {"tool": Port(PortType("Tool"), "Its name, description and arguments.")}

    def misfits(self, bundle: Bundle, types: Mapping[str, PortType]) -> list[str]:
        config = self.config
        what = f"function {config.function}" if config.function else f"the command `{' '.join(config.command)}`"
        if (config.function or config.command) and (told := trust.missing("tools", what)):
            return [told]
        try:
            if config.function:
                functions.described(config.function)
        except UserError as error:
            return [str(error)]
        return []

    def run(self, batch: Sequence[Inputs], context: Context) -> list[Outputs]:
        """The same for every request: it has no inputs."""
        found = self._tools(context)
        return [{"tool": found if len(found) > 1 else found[0]} for _ in batch]

    def _tools(self, context: Context) -> tuple[Tool, ...]:
        config = self.config
        if config.function:
            return (functions.described(config.function, config.name, config.doc),)
        if config.flow:
            return (_flow(config, context),)
        found = mcp_tools.listed(config.mcp)
        if unknown := [name for name in config.only if name not in {tool.name for tool in found}]:
            raise UserError(f"the MCP server has no tool '{unknown[0]}'.{nearest(unknown[0], (t.name for t in found))}")
        return tuple(tool for tool in found if not config.only or tool.name in config.only)


class FollowConfig(Config):
    """What is known of a call."""

    name: str = Field("", description="How later calls refer to what it gives.")
    makes: tuple[str, ...] = Field((), description="Modalities that can be made, for who calls wrongly for one.")


class Follow(Stage):
    """One call of a tool: no stage of flows, but what a call becomes while `route` runs."""

    name: ClassVar[str] = "call"
    pure: ClassVar[bool] = False
    config_class = FollowConfig
    inputs: ClassVar[Mapping[str, Port]] = {
        "call": Port(PortType("Call"), "The tool's name and arguments."),
        "tools": Port(PortType("Tool"), "What there is to call.", many=True, optional=True),
        "results": Port(PortType("Observation"), "What calls before it gave.", many=True, optional=True),
    }
    outputs: ClassVar[Mapping[str, Port]] = {"result": Port(PortType("Observation"), "What it gave.")}

    def run(self, batch: Sequence[Inputs], context: Context) -> list[Outputs]:
        """One by one. Raises CallError for a tool that there is not, wrong arguments, and a tool that fails."""
        return [{"result": self._follow(request, context)} for request in batch]

    def _follow(self, request: Inputs, context: Context) -> Observation:
        call, results, makes = request["call"], request.get("results", ()), self.config.makes
        tools = {tool.name: tool for tool in flat(request.get("tools", ()))}
        if call.name in tools:
            given = resolved(call, results)
            tool = tools[call.name]
            return Observation(call, self.config.name, CALLED[tool.kind](tool, given, context))
        if call.name in {*makes, *(MAKE + modality for modality in makes)}:
            made(filled(call, results), makes)  # it is here because that fails
        if not call.name:
            call.read()  # a fence with broken JSON says what is wrong with it
        raise CallError(call.name, f"there is no such tool.{nearest(call.name, [*tools, *(MAKE + m for m in makes)])}")


def flat(tools: Sequence[Tool | tuple[Tool, ...]]) -> tuple[Tool, ...]:
    """The tools of a `many` port; a server gives several. Raises UserError if two have one name."""
    found = [tool for some in tools for tool in (some if isinstance(some, tuple) else (some,))]
    names = [tool.name for tool in found]
    if twice := [name for name in names if names.count(name) > 1]:
        raise UserError(f"two tools are called '{twice[0]}': give one of them another `name`")
    return tuple(found)


def resolved(call: Call, results: Sequence[Observation]) -> dict[str, Any]:
    """A call's arguments with what `<resource-NAME>` refers to: media where that is all of an argument, else its text.
    Raises CallError for what no call gave."""
    known = {name: result for result in results for name in (result.call.id, result.name) if name}

    def looked_up(name: str) -> Observation:
        if name not in known or known[name].error or not known[name].media:
            raise CallError(call.name, f"no call gave <resource-{name}>.{nearest(name, known)}")
        return known[name]

    def text(name: str) -> str:
        if not (texts := looked_up(name).of("text")):
            modality = looked_up(name).media[0].modality
            raise CallError(call.name, f"<resource-{name}> is {modality}, which can't stand in a text")
        return texts[0].text

    def put(value: Any) -> Any:
        if isinstance(value, str):
            whole = RESOURCE.fullmatch(value.strip())
            if whole and not looked_up(whole[1]).of("text"):
                return looked_up(whole[1]).media[0]
            return RESOURCE.sub(lambda match: text(match[1]), value)
        if isinstance(value, list):
            return [put(item) for item in value]
        return {key: put(item) for key, item in value.items()} if isinstance(value, dict) else value

    return {key: put(value) for key, value in call.read().items()}


def filled(call: Call, results: Sequence[Observation]) -> Call:
    """A call for media with the texts that its arguments refer to. Raises CallError as `resolved` does."""
    if not call.arguments:
        return call
    given = resolved(call, results)
    for name, value in given.items():
        if isinstance(value, Media):
            raise CallError(call.name, f"{name} is a text, not {value.modality}")
    return replace(call, arguments=json.dumps(given, ensure_ascii=False))


def _flow(config: ToolConfig, context: Context) -> Tool:
    flow = _opened(config.flow, context)
    properties = {
        name: {"type": "string", "description": doc or (modality if modality == "text" else functions.GIVEN)}
        for name, (modality, doc, _) in flow.inputs.items()
    }
    required = [name for name, (_, _, needed) in flow.inputs.items() if needed]
    schema = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    name = config.name or flow.name.replace(" ", "_")
    return Tool(name, config.doc or flow.doc or f"The flow {flow.name}.", json.dumps(schema), "flow", config.flow)


def _opened(place: str, context: Context) -> Callee:
    if not isinstance(context, Flows):
        raise UserError(f"flow '{place}' is called where no engine runs")
    return context.flow(place)


def _run_flow(tool: Tool, given: Mapping[str, Any], context: Context) -> tuple[Media, ...]:
    """Media come by reference only: an LLM names no files."""
    flow = _opened(tool.target, context)
    for name, value in given.items():
        modality = flow.inputs[name][0] if name in flow.inputs else "text"
        if modality != "text" and not isinstance(value, Media):
            raise CallError(tool.name, f"{name} is {modality}: give a <resource-NAME>, not {value!r}")
    try:
        return flow.run(given)
    except InputError as error:
        raise CallError(tool.name, str(error)) from error


CALLED: dict[str, Callable[[Tool, Mapping[str, Any], Context], tuple[Media, ...]]] = {
    "function": lambda tool, given, context: functions.call(tool, given),
    "flow": _run_flow,
    "mcp": lambda tool, given, context: mcp_tools.call(tool, given),
}
