"""A session: what the nodes of one run share. It turns what happens into events, and stops the run when asked."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from orchestrator.engine.events import Event, NodeFinished, NodeProgress, OutputReady
from orchestrator.engine.folder import RunFolder
from orchestrator.engine.pool import ModelPool
from orchestrator.engine.store import Store
from orchestrator.errors import Cancelled
from orchestrator.flow.plan import Plan
from orchestrator.models.bundle import Bundle
from orchestrator.nodes.media import Media
from orchestrator.nodes.stage import Progress


@dataclass
class Session:
    """One run. Nodes run in threads: everything here may be called from any of them."""

    run: str
    plan: Plan
    bundle: Bundle
    store: Store
    pool: ModelPool
    seed: int = 0
    device: str = "cpu"
    cache: bool = True
    folder: RunFolder | None = None
    listener: Callable[[Event], None] | None = None
    finished: dict[str, NodeFinished] = field(default_factory=dict)
    outputs: dict[str, tuple[Media, ...]] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)
    _stop: threading.Event = field(default_factory=threading.Event)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def clock(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self.started

    def emit(self, kind: Callable[..., Event], **fields: Any) -> None:
        """Tell readers of the run, one event at a time, in order."""
        with self._lock:
            event = kind(run=self.run, time=self.clock(), **fields)
            if isinstance(event, NodeFinished):
                self.finished[event.node] = event
            if self.folder:
                self.folder.log(event)
            if self.listener:
                self.listener(event)

    def deliver(self, source: str, value: Any) -> None:
        """Write and announce the flow's outputs that come from a source (`split.text`), as soon as they are there."""
        for name, (wanted, _) in self.plan.outputs.items():
            if wanted != source:
                continue
            media = value if isinstance(value, tuple) else (value,)
            with self._lock:
                self.outputs[name] = media
                paths = self.folder.save(name, media) if self.folder else ()
            self.emit(OutputReady, name=name, media=media[0], path=str(paths[0]) if paths else None)

    def stop(self) -> None:
        """Ask running nodes to stop; they do at their next token or step."""
        self._stop.set()

    def check(self) -> None:
        """Raises Cancelled when the run was asked to stop."""
        if self._stop.is_set():
            raise Cancelled("the run was stopped")


@dataclass
class NodeContext:
    """What a stage sees of the engine while it runs (nodes.stage.Context)."""

    session: Session
    node: str
    stage: str
    models: Mapping[str, Any]
    seeds: Sequence[int]

    @property
    def bundle(self) -> Bundle:
        return self.session.bundle

    @property
    def device(self) -> str:
        return self.session.device

    @property
    def watched(self) -> bool:
        return self.session.listener is not None

    def load(self, part: str) -> Any:
        return self.models[part]

    def report(self, request: int, progress: Progress) -> None:
        self.session.check()
        self.session.emit(NodeProgress, node=self.node, stage=self.stage, progress=progress)
