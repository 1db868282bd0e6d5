"""A run as server-sent events: the engine's own, without what is not for clients, and at last the run itself."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.serve.runs import Run
from orchestrator.serve.shapes import run_body, url
from orchestrator.serve.waiting import Feed

if TYPE_CHECKING:
    from orchestrator.engine.events import Event

Plain = dict[str, Any]


def line(kind: str, data: Mapping[str, Any]) -> str:
    """One server-sent event."""
    return f"event: {kind}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"


async def lines(run: Run, feed: Feed) -> AsyncIterator[str]:
    """The stream of a run; its last event is `run`, with what GET /runs/<id> tells."""
    async for event in feed.events():
        yield line(event.kind, public(run, event))
    yield line("run", run_body(run).model_dump(mode="json"))


def public(run: Run, event: Event) -> Plain:
    """An event's JSON form for clients: no paths of this machine, no errors (the last event has the one to tell)."""
    plain = event.as_dict()
    return PUBLIC[event.kind](run, event, plain) if event.kind in PUBLIC else plain


def _without(*fields: str) -> Callable[[Run, Any, Plain], Plain]:
    return lambda run, event, plain: {name: value for name, value in plain.items() if name not in fields}


def _output(run: Run, event: Any, plain: Plain) -> Plain:
    """The text itself, or where the medium is."""
    path = plain.pop("path")
    return plain | ({"text": event.media.text} if event.media.modality == "text" else {"url": url(run, Path(path))})


def _node(run: Run, event: Any, plain: Plain) -> Plain:
    return plain if event.status != "failed" else plain | {"reason": ""}


PUBLIC: dict[str, Callable[[Run, Any, Plain], Plain]] = {
    "run_started": _without("folder"),
    "node_finished": _node,
    "output_ready": _output,
    "run_finished": _without("error"),
}
