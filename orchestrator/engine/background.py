"""A run in a thread of its own, whose events somebody reads."""

from __future__ import annotations

import queue
import threading
from collections.abc import Mapping
from typing import Any

from orchestrator.engine.events import Event
from orchestrator.engine.result import Result
from orchestrator.engine.runner import run_session
from orchestrator.engine.session import Session
from orchestrator.nodes.media import Media


class Background:
    """A run that has begun. `events` has what happens, and None when it is over; `result` is there then if it went well
    (else `check` raises its error)."""

    def __init__(self, graph: Any, session: Session, inputs: Mapping[str, Media]) -> None:
        self.events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self.result: Result | None = None
        self._session, self._failed = session, list[BaseException]()
        session.listener = self.events.put

        def work() -> None:
            try:
                self.result = run_session(graph, session, inputs)
            except BaseException as error:  # for the reader's thread
                self._failed.append(error)
            self.events.put(None)

        self._thread = threading.Thread(target=work, name=f"orch-{session.run}", daemon=True)
        self._thread.start()

    def stop(self, wait: bool = True) -> None:
        """Stop the run if it is not over, and wait until it is."""
        self._session.stop()
        if wait:
            self._thread.join()

    def check(self) -> None:
        """Raise the error of a run that failed."""
        if self._failed:
            raise self._failed[0]
