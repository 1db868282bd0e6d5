"""The ways in which a flow runs: once, watched, in a thread of its own, many together; each with its async twin."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from orchestrator.engine.background import Background
from orchestrator.engine.events import Event
from orchestrator.engine.result import Result
from orchestrator.engine.runner import run_session
from orchestrator.engine.session import Session
from orchestrator.errors import InputError
from orchestrator.flow.plan import Plan
from orchestrator.nodes.media import Media

Ready = tuple[Session, dict[str, Media]]  # a run that is ready to go, and its inputs


class Running(ABC):
    """What runs: a plan, its compiled graph, and sessions of it."""

    plan: Plan

    @abstractmethod
    def graph(self) -> Any:
        """The compiled LangGraph."""

    @abstractmethod
    def session(self, inputs: Mapping[str, Any], **options: Any) -> Ready:
        """A run that is ready to go, and its inputs."""

    def run(
        self,
        inputs: Mapping[str, Any] | None = None,
        /,
        *,
        seed: int = 0,
        out: str | Path | None = None,
        cache: bool = True,
        device: str = "auto",
        placement: Mapping[str, Any] | None = None,
        memory: int | str | None = None,
        on_event: Callable[[Event], None] | None = None,
        **named: Any,
    ) -> Result:
        """Run once. Inputs are paths, texts, PIL pictures, arrays or Media, by name.

        With `out`, outputs, `run.json` and the event log are written to `<out>/<run id>/` as they are made. The same
        inputs, seed and weights give the same outputs, and come from the store unless `cache` is off. `placement` maps
        parts, or `*`, to {device, dtype, offload}; `memory` (bytes, or "8GB") is the most that weights and what they
        compute may take of each GPU, or without one of the machine.

        Raises: InputError, OutputError, PlacementError before anything runs; NodeError, OutOfMemory, Cancelled with
        `.result`.
        """
        places: dict[str, Any] = {"device": device, "placement": placement, "memory": memory}
        given = {**(inputs or {}), **named}
        ready = self.session(given, seed=seed, out=out, cache=cache, on_event=on_event, **places)
        return run_session(self.graph(), *ready)

    def stream(self, inputs: Mapping[str, Any] | None = None, /, **options: Any) -> Iterator[Event]:
        """Run once, with inputs and options as for `start`, and yield events as they happen; the error of a failed run
        is raised at the end. Leaving the loop stops the run."""
        run = self.start(inputs, **options)
        try:
            yield from iter(run.events.get, None)
        finally:
            run.stop()
        run.check()

    def start(
        self,
        inputs: Mapping[str, Any] | None = None,
        /,
        *,
        seed: int = 0,
        out: str | Path | None = None,
        cache: bool = True,
        device: str = "auto",
        placement: Mapping[str, Any] | None = None,
        memory: int | str | None = None,
        run: str | None = None,
        previews: bool = True,
        **named: Any,
    ) -> Background:
        """Begin a run in a thread of its own, for who reads its events and stops it from elsewhere. `run` is its id;
        without `previews` no time goes into pictures of what is not finished."""
        places: dict[str, Any] = {"device": device, "placement": placement, "memory": memory}
        session, media = self.session({**(inputs or {}), **named}, seed=seed, out=out, cache=cache, run=run, **places)
        session.previews = previews
        return Background(self.graph(), session, media)

    def batch(self, requests: Iterable[Mapping[str, Any]], **options: Any) -> list[Result]:
        """Run many requests; one result each, in order. Options are those of `run` and of `attempt`. Raises the first
        error of any."""
        results: list[Result] = []
        for made in self.attempt(requests, **options):
            if isinstance(made, Exception):
                raise made
            results.append(made)
        return results

    def attempt(
        self,
        requests: Iterable[Mapping[str, Any]],
        *,
        seed: int = 0,
        seeds: Sequence[int] = (),
        size: int = 8,
        **options: Any,
    ) -> list[Result | Exception]:
        """`batch` with the error of a run in the place of its result: one that fails disturbs no other.

        `size` of them go together: what they ask of the same part is one batch. `seeds` are one a request, else all
        have `seed`.
        """
        from orchestrator.engine.together import run_together

        asked = list(requests)
        if seeds and len(seeds) != len(asked):
            raise InputError(f"{len(seeds)} seeds for {len(asked)} requests: give one each")
        rows = list(zip(asked, seeds or [seed] * len(asked), strict=True))
        made: list[Result | Exception] = []
        for i in range(0, len(rows), max(1, size)):
            ready = [self._ready(request, seed=one, **options) for request, one in rows[i : i + max(1, size)]]
            made += run_together(self.graph(), self.plan, ready)
        return made

    async def arun(self, inputs: Mapping[str, Any] | None = None, /, **options: Any) -> Result:
        """`run` for async code."""
        return await asyncio.to_thread(self.run, inputs, **options)

    async def abatch(self, requests: Iterable[Mapping[str, Any]], **options: Any) -> list[Result]:
        """`batch` for async code."""
        return await asyncio.to_thread(self.batch, list(requests), **options)

    async def astream(self, inputs: Mapping[str, Any] | None = None, /, **options: Any) -> AsyncGenerator[Event, None]:
        """`stream` for async code. Cancelling the task that reads stops the run, too."""
        run = await _begun(partial(self.start, inputs, **options))
        try:
            while (event := await asyncio.to_thread(run.events.get)) is not None:
                yield event
        finally:
            run.stop(wait=False)  # a task that was cancelled may not get as far as the thread
            await asyncio.to_thread(run.stop)
        run.check()

    def _ready(self, inputs: Mapping[str, Any], **options: Any) -> Ready | InputError:
        try:
            return self.session(inputs, **options)
        except InputError as error:
            return error


async def _begun(start: Callable[[], Background]) -> Background:
    """The run that `start` begins, in a thread: it reads files. If who waits is cancelled meanwhile, it is stopped."""
    begun = asyncio.ensure_future(asyncio.to_thread(start))

    def stop(done: asyncio.Future[Background]) -> None:
        if not done.cancelled() and not done.exception():
            done.result().stop(wait=False)

    try:
        return await asyncio.shield(begun)
    except asyncio.CancelledError:
        begun.add_done_callback(stop)
        raise
