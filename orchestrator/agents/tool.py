"""A flow as a tool of LangChain and LangGraph agents."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_core.tools import StructuredTool, ToolException
from pydantic import ValidationError

from orchestrator.agents.offer import Offer, explain
from orchestrator.errors import UserError
from orchestrator.nodes.media_intake import Intake

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.engine.flow import Flow


def as_tool(
    flow: Flow,
    name: str | None = None,
    description: str | None = None,
    *,
    out: str | Path = "runs",
    roots: Sequence[str | Path] | None = None,
    allow_urls: bool = False,
    **options: Any,
) -> StructuredTool:
    """A tool that runs the flow: its inputs are the arguments, name and doc are the flow's unless others are given.

    The model gives texts as they are and media as a path (within `roots`, if there are any), a data URI or, with
    `allow_urls`, a public http(s) address; a program may give bytes. The content of the answer says what was made and
    where the files are; its artifact is the same as plain values, as `run.json` has them. `options` are those of
    `Flow.run`: seed, device, cache ...

    What the model got wrong comes back to it as an error message of the tool (a ToolException that the tool handles);
    what else fails is raised.
    """
    places = None if roots is None else tuple(map(Path, roots))
    offer = Offer.of(flow, name, description, out, intake=Intake(places, allow_urls), options=options)

    def call(**given: Any) -> tuple[str, dict[str, Any]]:
        with _callers_fault():
            made = offer.call(given)
        return made.told(), made.plain()

    async def acall(**given: Any) -> tuple[str, dict[str, Any]]:
        with _callers_fault():
            made = await offer.acall(given)
        return made.told(), made.plain()

    def explained(error: Any) -> str:
        return explain(error, offer) if isinstance(error, ValidationError) else str(error)

    return StructuredTool.from_function(
        call, acall, name=offer.name, description=offer.description, args_schema=offer.arguments,
        response_format="content_and_artifact", handle_tool_error=True, handle_validation_error=explained,
    )  # fmt: skip


@contextmanager
def _callers_fault() -> Iterator[None]:
    try:
        yield
    except UserError as error:
        raise ToolException(str(error)) from error
