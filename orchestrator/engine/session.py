"""A session: what the nodes of one run share. It turns what happens into events, and stops the run when asked."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from orchestrator.engine.events import Event, NodeFinished, NodeProgress, OutputReady
from orchestrator.engine.folder import RunFolder
from orchestrator.engine.pool import ModelPool
from orchestrator.engine.store import Store
from orchestrator.engine.summary import numbered
from orchestrator.errors import Cancelled
from orchestrator.flow.plan import Plan, WiredNode, owner
from orchestrator.models.bundle import Bundle
from orchestrator.models.placement.memory import MemoryPlan, Spot
from orchestrator.nodes.media import Media
from orchestrator.nodes.stage import Callee, Inputs, Progress

if TYPE_CHECKING:
    from orchestrator.engine.together import Together
    from orchestrator.models.llm.past import Past


@dataclass
class Session:
    """One run. Nodes run in threads: everything here may be called from any of them."""

    run: str
    plan: Plan
    bundle: Bundle
    store: Store
    pool: ModelPool
    seed: int = 0
    memory: MemoryPlan = field(default_factory=MemoryPlan)
    cache: bool = True
    folder: RunFolder | None = None
    listener: Callable[[Event], None] | None = None
    previews: bool = True
    places: Mapping[str, Any] = field(default_factory=dict)  # device, placement, memory: what flows within get, too
    pasts: Mapping[str, Past] = field(
        default_factory=dict
    )  # node -> what its LLM has read of the dialogue it goes on with
    together: Together | None = None  # the runs that this one shares batches with
    handles: dict[str, str] = field(default_factory=dict)  # all that was made, once the run is done
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
            self._tell(kind(run=self.run, time=self.clock(), **fields))

    def pass_on(self, event: Event) -> None:
        """Tell them of an event of a flow within: it becomes one of this run, now."""
        with self._lock:
            self._tell(replace(event, run=self.run, time=self.clock()))

    def _tell(self, event: Event) -> None:
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
            for named, medium in numbered(name, media).items():  # a reply may ask for several
                path = str(self.folder.save(named, medium)) if self.folder else None
                self.emit(OutputReady, name=named, media=medium, path=path)

    def seeded(self, seed: int) -> Session:
        """The same run with another seed, for one of its branches."""
        return replace(self, seed=seed)

    def stop(self) -> None:
        """Ask running nodes to stop; they do at their next token or step."""
        self._stop.set()

    def check(self) -> None:
        """Raises Cancelled when the run was asked to stop."""
        if self._stop.is_set():
            raise Cancelled("the run was stopped")


@dataclass(frozen=True)
class Ask:
    """What a node of a run asks of its stage."""

    node: WiredNode
    session: Session
    request: Inputs


@dataclass(frozen=True)
class NodeContext:
    """What a stage sees of the engine while it runs (nodes.stage.Context)."""

    asks: Sequence[Ask]
    spot: Spot
    models: Mapping[str, Any]

    @property
    def bundle(self) -> Bundle:
        return self.asks[0].session.bundle

    @property
    def seeds(self) -> Sequence[int]:
        return [ask.session.seed for ask in self.asks]

    @property
    def device(self) -> str:
        return self.spot.device

    @property
    def past(self) -> Past | None:
        (ask, *more) = self.asks
        return None if more else ask.session.pasts.get(owner(ask.node.name))

    @property
    def watched(self) -> bool:
        """A preview of an offloaded pipeline would fetch its decoder, and push the denoiser out, between steps."""
        seen = any(ask.session.listener is not None and ask.session.previews for ask in self.asks)
        return seen and self.spot.offload == "none"

    def load(self, part: str) -> Any:
        return self.models[part]

    def flow(self, place: str) -> Callee:
        from orchestrator.engine.nested import Nested

        return Nested(place, self.asks[0].session, self.asks[0].node.name)

    def report(self, request: int, progress: Progress) -> None:
        node, session = self.asks[request].node, self.asks[request].session
        session.check()
        session.emit(NodeProgress, node=node.name, stage=node.stage.name, progress=progress)
