"""What happens in a run, as one typed stream.

The terminal trace, the JSONL log and `flow.stream()` are only readers of it. Every event knows its run and the time
(seconds since the run began); `as_dict()` is its JSON form (previews are left out).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal

from orchestrator.nodes.media import Media
from orchestrator.nodes.stage import Progress

Status = Literal["ran", "cached", "skipped", "failed", "stopped"]


@dataclass(frozen=True)
class Event:
    """Base class: something happened in run `run`, `time` seconds after it began."""

    kind: ClassVar[str] = "event"
    run: str
    time: float

    def as_dict(self) -> dict[str, Any]:
        """The JSON form: `kind` and the plain fields."""
        return {"kind": self.kind} | {f.name: _plain(getattr(self, f.name)) for f in fields(self)}


@dataclass(frozen=True)
class RunStarted(Event):
    """A run begins. `nodes` are (name, stage) in topological order; `edges` are (from node or input, to node)."""

    kind: ClassVar[str] = "run_started"
    flow: str
    bundle: str
    seed: int
    inputs: dict[str, Media]
    nodes: tuple[tuple[str, str], ...]
    edges: tuple[tuple[str, str], ...]
    folder: str | None


@dataclass(frozen=True)
class NodeEvent(Event):
    """Something happened in a node."""

    node: str
    stage: str


@dataclass(frozen=True)
class CallStarted(NodeEvent):
    """A call of a reply is followed: `node` is its branch, and the begin of the names of the nodes that run for it."""

    kind: ClassVar[str] = "call_started"
    name: str
    arguments: str
    place: int


@dataclass(frozen=True)
class NodeStarted(NodeEvent):
    """A node begins to run on `device`; its parts are loaded."""

    kind: ClassVar[str] = "node_started"
    device: str


@dataclass(frozen=True)
class LoadStarted(NodeEvent):
    """A node waits for a part of the bundle to be loaded."""

    kind: ClassVar[str] = "load_started"
    part: str


@dataclass(frozen=True)
class NodeProgress(NodeEvent):
    """Tokens or denoising steps of a running node."""

    kind: ClassVar[str] = "node_progress"
    progress: Progress


@dataclass(frozen=True)
class NodeFinished(NodeEvent):
    """A node is done. `made` maps its ports to a short description (type and shape); `media` to what can be shown.
    `batch` is how many requests its stage was called with, those of other runs among them."""

    kind: ClassVar[str] = "node_finished"
    status: Status
    seconds: float
    device: str
    made: dict[str, str]
    media: dict[str, Media]
    reason: str = ""  # why it was skipped, or what failed
    batch: int = 1


@dataclass(frozen=True)
class OutputReady(Event):
    """An output of the flow is there; `path` when the run has a folder."""

    kind: ClassVar[str] = "output_ready"
    name: str
    media: Media
    path: str | None


@dataclass(frozen=True)
class RunFinished(Event):
    """A run ends. `status` is done, failed or interrupted; `error` the message of a failed one."""

    kind: ClassVar[str] = "run_finished"
    status: Literal["done", "failed", "interrupted"]
    seconds: float
    error: str = ""


def _plain(value: Any) -> Any:
    """JSON-able form of an event's field."""
    if isinstance(value, Media):
        return value.describe()
    if isinstance(value, Progress):
        return {"unit": value.unit, "done": value.done, "total": value.total, "text": value.text}
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, (tuple, list)) else value
