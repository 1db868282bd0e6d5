"""Flows as tools of an MCP server (Model Context Protocol, by its official SDK)."""

from __future__ import annotations

import asyncio
import base64
import json
import mimetypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator import __version__
from orchestrator.agents.offer import Made, Offer
from orchestrator.errors import OrchError, UserError, nearest

try:
    import mcp_types as types
    from mcp.server.lowlevel import Server
    from mcp.shared.exceptions import MCPError
except ModuleNotFoundError as error:
    raise UserError(f"an MCP server needs {error.name}; type: pip install 'orch-mm[mcp]'") from error

if TYPE_CHECKING:
    from mcp.server.context import ServerRequestContext

    from orchestrator.engine.events import Event, NodeFinished, NodeProgress, OutputReady, RunStarted

    Context = ServerRequestContext[Any, Any]

EMBEDDED = 4 << 20  # bytes; a larger file is a link that the client reads when it wants it
STEP = 0.02  # of a node: smaller progress is not told


def mcp_server(offers: Sequence[Offer], name: str = "orch") -> Server[Any]:
    """A server whose tools are these flows. Raises UserError if two have the same name.

    `await server.run(*streams, server.create_initialization_options())` serves it over streams as `mcp.stdio_server()`
    gives them, `server.streamable_http_app()` is an ASGI app.
    """
    tools = {offer.name: offer for offer in offers}
    if len(tools) < len(offers):
        raise UserError(f"two tools have the same name: {', '.join(sorted(offer.name for offer in offers))}")
    desk = _Desk(tools)
    return Server(
        name, version=__version__, on_list_tools=desk.list_tools, on_call_tool=desk.call_tool,
        on_list_resources=desk.list_resources, on_read_resource=desk.read_resource,
    )  # fmt: skip


@dataclass
class _Desk:
    """Answers the requests of clients. `files` are what was made for them, by address: nothing else can be read."""

    tools: dict[str, Offer]
    files: dict[str, Path] = field(default_factory=dict)

    async def list_tools(self, ctx: Context, params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[_tool(offer) for offer in self.tools.values()])

    async def call_tool(self, ctx: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
        """Run a flow, telling its progress. What fails is a result that says so, for the client's LLM to read."""
        if params.name not in self.tools:
            raise MCPError(types.INVALID_PARAMS, f"unknown tool '{params.name}'.{nearest(params.name, self.tools)}")
        meter = _Meter()

        async def tell(event: Event) -> None:
            if step := meter.see(event):
                await ctx.session.report_progress(*step)

        try:
            made = await self.tools[params.name].acall(params.arguments or {}, tell)
        except OrchError as error:
            return types.CallToolResult(content=[types.TextContent(text=str(error))], is_error=True)
        return await asyncio.to_thread(self._result, made)

    async def list_resources(
        self, ctx: Context, params: types.PaginatedRequestParams | None
    ) -> types.ListResourcesResult:
        return types.ListResourcesResult(
            resources=[
                types.Resource(name=path.name, uri=uri, mime_type=_mime(path), size=path.stat().st_size)
                for uri, path in self.files.items()
                if path.is_file()
            ]
        )

    async def read_resource(self, ctx: Context, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
        path = self.files.get(str(params.uri))
        if path is None or not path.is_file():
            raise MCPError(types.INVALID_PARAMS, f"there is nothing at {params.uri}: it is of no run of this server")
        return types.ReadResourceResult(contents=[await asyncio.to_thread(_contents, str(params.uri), path)])

    def _result(self, made: Made) -> types.CallToolResult:
        """First what was made, in words; then the media themselves; the structured content has it all as JSON."""
        told = types.TextContent(text=made.told())
        media = [self._medium(made.run, ready) for ready in made.outputs.values() if ready.media.modality != "text"]
        plain = json.loads(json.dumps(made.plain(), default=str))
        return types.CallToolResult(content=[told, *media], structured_content=plain)

    def _medium(self, run: str, ready: OutputReady) -> types.ContentBlock:
        path = Path(str(ready.path))
        uri, mime, size = f"orch://{run}/{path.name}", _mime(path), path.stat().st_size
        self.files[uri] = path
        if size > EMBEDDED:
            return types.ResourceLink(name=path.name, uri=uri, mime_type=mime, size=size)
        if ready.media.modality in _CONTENT:
            return _CONTENT[ready.media.modality](data=_base64(path), mime_type=mime)
        return types.EmbeddedResource(resource=_contents(uri, path))


_CONTENT: dict[str, Callable[..., types.ContentBlock]] = {"image": types.ImageContent, "audio": types.AudioContent}


class _Meter:
    """How far a run is, in nodes."""

    def __init__(self) -> None:
        self._total, self._told = 0, 0.0
        self._nodes: dict[str, float] = {}

    def see(self, event: Event) -> tuple[float, float, str] | None:
        """(nodes done, of how many, what happens), if the event brings the run forward enough to tell."""
        said = _SEEN[event.kind](self, event) if event.kind in _SEEN else ""
        done = sum(self._nodes.values())
        if not said or done < self._told + STEP:
            return None
        self._told = done
        return done, float(self._total), said

    def _begun(self, event: RunStarted) -> str:
        self._total = len(event.nodes)
        return ""

    def _within(self, event: NodeProgress) -> str:
        at = event.progress
        self._nodes[event.node] = min(at.done / max(at.total, 1), 1.0)
        return f"{event.node}: {at.done} of {at.total} {at.unit}"

    def _over(self, event: NodeFinished) -> str:
        self._nodes[event.node] = 1.0
        return f"{event.node}: {event.status}"


_SEEN: dict[str, Callable[[_Meter, Any], str]] = {
    "run_started": _Meter._begun,
    "node_progress": _Meter._within,
    "node_finished": _Meter._over,
}


def _tool(offer: Offer) -> types.Tool:
    hints = types.ToolAnnotations(destructive_hint=False, idempotent_hint=True, open_world_hint=False)
    schema = offer.arguments.model_json_schema()
    return types.Tool(name=offer.name, description=offer.description, input_schema=schema, annotations=hints)


def _contents(uri: str, path: Path) -> types.BlobResourceContents:
    return types.BlobResourceContents(uri=uri, mime_type=_mime(path), blob=_base64(path))


def _mime(path: Path) -> str:
    return mimetypes.guess_type(path.name)[0] or "application/octet-stream"


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode("ascii")
