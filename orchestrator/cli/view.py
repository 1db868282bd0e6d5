"""The state of a run that its events add up to: what the trace draws."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import singledispatchmethod
from typing import Literal

from orchestrator.cli.rails import Rail, rails
from orchestrator.engine import events as ev
from orchestrator.flow.plan import owner
from orchestrator.nodes.media import Media
from orchestrator.nodes.stage import Progress

State = Literal["waiting", "loading", "running", "ran", "cached", "skipped", "failed", "stopped"]

MOVING: tuple[State, ...] = ("loading", "running")


@dataclass
class NodeView:
    """What is known of a node."""

    name: str
    stage: str
    state: State = "waiting"
    began: float = 0.0
    seconds: float = 0.0
    device: str = ""
    part: str = ""
    made: dict[str, str] = field(default_factory=dict)
    media: dict[str, Media] = field(default_factory=dict)
    reason: str = ""
    progress: Progress | None = None


class RunView:
    """What is known of a run. Events of other kinds than these are passed over."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._origin, self._latest = clock(), 0.0
        self.started: ev.RunStarted | None = None
        self.finished: ev.RunFinished | None = None
        self.nodes: dict[str, NodeView] = {}
        self.rails: dict[str, Rail] = {}
        self._edges: list[tuple[str, str]] = []
        self.outputs: list[ev.OutputReady] = []

    @property
    def now(self) -> float:
        """Seconds since the run began, at least those of the last event."""
        return max(self._latest, self._clock() - self._origin)

    def seconds(self, node: NodeView) -> float:
        """How long a node took, or has taken so far."""
        return self.now - node.began if node.state in MOVING else node.seconds

    def apply(self, event: ev.Event) -> None:
        """Take in an event."""
        self._latest = max(self._latest, event.time)
        self._apply(event)

    @singledispatchmethod
    def _apply(self, event: ev.Event) -> None:
        """Events that the trace does not show are passed over."""

    @_apply.register
    def _(self, event: ev.RunStarted) -> None:
        self.started, self._origin = event, self._clock() - event.time
        self.nodes = {name: NodeView(name, stage) for name, stage in event.nodes}
        self._edges = list(event.edges)
        self.rails = rails(list(self.nodes), self._edges)

    @_apply.register
    def _(self, event: ev.NodeStarted) -> None:
        node = self._node(event)
        node.state, node.device = "running", event.device
        node.began = node.began or event.time

    @_apply.register
    def _(self, event: ev.LoadStarted) -> None:
        node = self._node(event)
        node.state, node.part = "loading", event.part
        node.began = node.began or event.time

    @_apply.register
    def _(self, event: ev.NodeProgress) -> None:
        node = self._node(event)
        node.state, node.progress = "running", event.progress

    @_apply.register
    def _(self, event: ev.NodeFinished) -> None:
        node = self._node(event)
        node.state, node.seconds, node.device = event.status, event.seconds, event.device
        node.made, node.media, node.reason = event.made, event.media, event.reason

    def _node(self, event: ev.NodeEvent) -> NodeView:
        """The node of an event. One that nobody announced belongs to a branch: it stands before the node that it is
        of, `act` of `act.2.generate`, with a lane down to it."""
        if event.node not in self.nodes:
            of = owner(event.node)
            names = list(self.nodes)
            names.insert(names.index(of), event.node)
            self.nodes = {name: self.nodes.get(name) or NodeView(name, event.stage) for name in names}
            self._edges.append((event.node, of))
            self.rails = rails(names, self._edges)
        return self.nodes[event.node]

    @_apply.register
    def _(self, event: ev.OutputReady) -> None:
        self.outputs.append(event)

    @_apply.register
    def _(self, event: ev.RunFinished) -> None:
        self.finished = event
        for node in self.nodes.values():
            if node.state in MOVING:
                node.state, node.seconds = "stopped", event.time - node.began
