"""Runs that go together: what several of them ask of the same part is one batch of its stage.

Each run has a thread. A node with parts does not call its stage there: it asks, and waits. Who leads waits until every
run has asked or is over, and calls the stage once for all that ask for the same, first for those that are least far in
the flow. So batches follow from the flow and the requests, never from timing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

from orchestrator.engine.result import Result
from orchestrator.engine.runner import run_session
from orchestrator.engine.session import Ask, Session
from orchestrator.engine.worker import call
from orchestrator.errors import Cancelled
from orchestrator.flow.plan import Plan, WiredNode, owner
from orchestrator.nodes.media import Media
from orchestrator.nodes.stage import Outputs

Ready = tuple[Session, Mapping[str, Media]]
Answer = tuple[Outputs, int]  # what a stage gave, and how many requests its batch had


def run_together(graph: Any, plan: Plan, ready: Sequence[Ready | Exception]) -> list[Result | Exception]:
    """Run a compiled graph for all that are ready, as `run_session` does; what each gave, or its error, in order."""
    together, works = Together(plan), dict[str, Callable[[], Result]]()
    for entry in ready:
        if not isinstance(entry, Exception):
            session, media = entry
            session.together = together
            works[session.run] = partial(run_session, graph, session, media)
    made = iter(together.run(works))
    return [entry if isinstance(entry, Exception) else next(made) for entry in ready]


class Together:
    """Runs of one plan that go at once, and where they meet."""

    def __init__(self, plan: Plan) -> None:
        self._order = {node.name: i for i, node in enumerate(plan.nodes)}
        self._going: dict[str, int] = {}  # run -> its place among them
        self._asks: dict[Future[Answer], Ask] = {}
        self._stopped = False
        self._turn = threading.Condition()

    def run(self, works: Mapping[str, Callable[[], Result]]) -> list[Result | Exception]:
        """Do the work of every run (by its id), each in a thread, and lead them; what each gave, or its error, in
        order. What ends this thread (Ctrl-C) ends them all."""
        self._going = {run: place for place, run in enumerate(works)}
        with ThreadPoolExecutor(max(1, len(works)), thread_name_prefix="orch") as threads:
            done = [threads.submit(self._work, run, work) for run, work in works.items()]
            asks: dict[Future[Answer], Ask] = {}
            try:
                while asks := self._next():
                    _answer(asks)
            except BaseException:
                self._stop(asks)
                raise
        return [future.result() for future in done]

    def ask(self, ask: Ask) -> Answer:
        """What the stage gives, once it was called. Raises what it raises, and Cancelled once all is to end."""
        answer: Future[Answer] = Future()
        with self._turn:
            if self._stopped:
                raise Cancelled("the run was stopped")
            self._asks[answer] = ask
            self._turn.notify_all()
        return answer.result()

    def _work(self, run: str, work: Callable[[], Result]) -> Result | Exception:
        try:
            return work()
        except Exception as error:
            return error
        finally:
            with self._turn:
                del self._going[run]
                self._turn.notify_all()

    def _next(self) -> dict[Future[Answer], Ask]:
        """The next batch, once every run has asked; nothing when all are over."""
        with self._turn:
            self._turn.wait_for(lambda: self._going.keys() <= {ask.session.run for ask in self._asks.values()})
            asks = sorted(self._asks.items(), key=lambda item: self._place(item[1]))
            chosen = {answer: ask for answer, ask in asks if _same(ask.node, asks[0][1].node)}
            for answer in chosen:
                del self._asks[answer]
            return chosen

    def _place(self, ask: Ask) -> tuple[int, list[int], int]:
        """How far an ask is: its node's place in the flow, turn and call within it, and the place of its run."""
        within = [int(part) for part in ask.node.name.split(".")[1:] if part.isdigit()]
        return self._order[owner(ask.node.name)], within, self._going[ask.session.run]

    def _stop(self, asks: Mapping[Future[Answer], Ask]) -> None:
        """Let nobody wait any longer, those of the batch that was running included."""
        with self._turn:
            self._stopped = True
            for answer, ask in (*asks.items(), *self._asks.items()):
                ask.session.stop()
                if not answer.done():
                    answer.set_exception(Cancelled("the run was stopped"))
            self._asks.clear()


def _same(one: WiredNode, other: WiredNode) -> bool:
    """Whether two nodes do the same: the same stage, settings and parts."""
    stages = (one.stage, other.stage)
    parts = [node.stage.parts(node.types) for node in (one, other)]
    return type(stages[0]) is type(stages[1]) and stages[0].config == stages[1].config and parts[0] == parts[1]


def _answer(asks: Mapping[Future[Answer], Ask]) -> None:
    """Call the stage for all of them. If that fails they are called one by one, so that each has an error of its own,
    and what is too much for the memory together may still go."""
    if not _tried(asks):
        for answer, ask in asks.items():
            _tried({answer: ask})


def _tried(asks: Mapping[Future[Answer], Ask]) -> bool:
    """Whether that gave an answer; the error of one alone is its answer."""
    try:
        made: Sequence[Outputs] = call(tuple(asks.values()))
    except Exception as error:
        for answer in asks if len(asks) == 1 else ():
            answer.set_exception(error)
        return len(asks) == 1
    for answer, outputs in zip(asks, made, strict=True):
        answer.set_result((outputs, len(asks)))
    return True
