"""The runs of a server: a bounded queue before worker threads, each run followed until it is over.

No event loop here: who listens to a run is called from its thread.
"""

from __future__ import annotations

import math
import queue
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from starlette.exceptions import HTTPException

from orchestrator.errors import Cancelled
from orchestrator.serve.refusals import CLIENT_GONE, LOG, Fault, fault, judged

if TYPE_CHECKING:
    from orchestrator.engine.background import Background
    from orchestrator.engine.events import Event
    from orchestrator.engine.flow import Flow
    from orchestrator.engine.result import Result
    from orchestrator.nodes.media import Media
    from orchestrator.serve.settings import Settings

    Listener = Callable[[Event | None], None]

Status = Literal["queued", "running", "done", "failed", "interrupted"]
Why = Literal["client", "timeout", "shutdown"]
STOPPED: dict[str, tuple[int, str]] = {
    "client": (CLIENT_GONE, "the run was cancelled"),
    "timeout": (504, "the run took longer than this server allows, and was stopped"),
    "shutdown": (503, "the server is shutting down"),
}


@dataclass(eq=False)
class Run:
    """A run from its request on. `outputs` are those of `run.json`; `fault` and `code` (an HTTP status) are told when
    it did not end well."""

    id: str
    flow: Flow
    seed: int
    status: Status = "queued"
    outputs: Mapping[str, Any] = field(default_factory=dict)
    code: int = 200
    fault: Fault | None = None
    why: Why | None = None  # it was asked to stop
    _begun: float | None = None
    _ended: float | None = None
    _background: Background | None = None
    _listeners: list[Listener] = field(default_factory=list)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def over(self) -> bool:
        return self.status in ("done", "failed", "interrupted")

    @property
    def seconds(self) -> float:
        """How long it has run."""
        return (self._ended or time.monotonic()) - self._begun if self._begun else 0.0

    def listen(self, listener: Listener) -> None:
        """Call `listener` with every event from now on, and with None when the run is over."""
        with self._lock:
            if not self.over:
                self._listeners.append(listener)
                return
        listener(None)

    def tell(self, event: Event | None) -> None:
        """Hand an event to the listeners."""
        with self._lock:
            listeners = list(self._listeners)
        for listener in listeners:
            listener(event)

    def begin(self, background: Background) -> None:
        """It runs."""
        with self._lock:
            self._background, self._begun, self.status = background, time.monotonic(), "running"
            if self.why:
                background.stop(wait=False)

    def ask_to_stop(self, why: Why) -> None:
        """Let it end at its next token or step."""
        with self._lock:
            self.why = self.why or why
            if self._background:
                self._background.stop(wait=False)

    def finish(self, result: Result | None, error: Exception | None) -> None:
        """It is over; media are on disk, and no longer held."""
        with self._lock:
            if self.over:
                return
            self._ended = time.monotonic()
            self.outputs = result.as_dict()["outputs"] if result else {}
            self.code, self.fault = self._end(error)
            self.status = "done" if error is None else "interrupted" if isinstance(error, Cancelled) else "failed"
            self._background = None
        self.tell(None)

    def _end(self, error: Exception | None) -> tuple[int, Fault | None]:
        if error is None:
            return 200, None
        status, message = STOPPED[self.why] if self.why and isinstance(error, Cancelled) else judged(error)
        if status == 500:
            LOG.error("run %s of flow %s failed", self.id, self.flow.spec.flow, exc_info=error)
        return status, fault(status, message)


class Runs:
    """All runs. Threads: requests come from one, runs are in others."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._workers = ThreadPoolExecutor(settings.workers, thread_name_prefix="orch-serve")
        self._runs: dict[str, tuple[Run, Future[None]]] = {}  # the oldest first
        self._usual = 1.0  # seconds of a run, the last ones weighing most
        self._lock = threading.RLock()

    def begin(self, flow: Flow, inputs: Mapping[str, Media], seed: int, listener: Listener | None = None) -> Run:
        """Queue a run. Raises HTTPException 429 when the queue is full."""
        run = Run(f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(8)}", flow, seed)
        run._listeners += [listener] if listener else []
        with self._lock:
            self.check_room()
            self._runs[run.id] = run, self._workers.submit(self._work, run, inputs)
            self._forget()
        return run

    def check_room(self) -> None:
        """Raises HTTPException 429 when as many runs are there as may be."""
        settings = self.settings
        with self._lock:
            there = sum(not run.over for run, _ in self._runs.values())
        if there >= settings.workers + settings.queue:
            wait = min(max(1, math.ceil(self._usual * there / settings.workers)), 3600)
            told = f"{there} runs are going or waiting, as many as this server takes; try again in {wait} s"
            raise HTTPException(429, told, {"Retry-After": str(wait)})

    def find(self, name: str) -> Run:
        """The run of an id. Raises HTTPException 404."""
        with self._lock:
            if name not in self._runs:
                raise HTTPException(404, f"there is no run '{name[:80]}' on this server, or it is no longer kept")
            return self._runs[name][0]

    def stop(self, run: Run, why: Why = "client") -> None:
        """Stop a run that is not over: at once if it waits, else at its next token or step."""
        run.ask_to_stop(why)
        with self._lock:
            found = self._runs.get(run.id)
        if found and found[1].cancel():
            run.finish(None, Cancelled("the run was stopped before it began"))

    def close(self) -> None:
        """Stop all runs, and wait until they are over."""
        with self._lock:
            runs = [run for run, _ in self._runs.values() if not run.over]
        for run in runs:
            self.stop(run, "shutdown")
        self._workers.shutdown()

    def folder(self, run: Run) -> Path:
        """Where a run's files are."""
        return self.settings.out / run.id

    def _work(self, run: Run, inputs: Mapping[str, Media]) -> None:
        try:
            result, error = self._watched(run, inputs), None
        except Exception as caught:
            result, error = getattr(caught, "result", None), caught
        run.finish(result, error)
        self._usual += (run.seconds - self._usual) / 4

    def _watched(self, run: Run, inputs: Mapping[str, Media]) -> Result | None:
        """Run it to its end, or until its time is over; raises its error."""
        background = run.flow.start(
            inputs, seed=run.seed, out=self.settings.out, run=run.id, previews=False, **self.settings.options
        )
        run.begin(background)
        end = time.monotonic() + self.settings.timeout
        event: Event | None
        while (event := self._next(run, background, end)) is not None:
            run.tell(event)
        background.check()
        return background.result

    def _next(self, run: Run, background: Background, end: float) -> Event | None:
        """The next event, None at the end; a run that is not over at `end` is told to stop."""
        if not run.why:
            with suppress(queue.Empty):
                if (left := end - time.monotonic()) > 0:
                    return background.events.get(timeout=left)
            run.ask_to_stop("timeout")
        return background.events.get()

    def _forget(self) -> None:
        """Drop the oldest finished runs beyond what is kept, and their folders."""
        over = [run for run, _ in self._runs.values() if run.over]
        for run in over[: max(0, len(over) - self.settings.keep)]:
            del self._runs[run.id]
            shutil.rmtree(self.folder(run), ignore_errors=True)
