"""`Flow`: a flow that runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping
from copy import copy
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from orchestrator.engine.background import Background
from orchestrator.engine.events import Event
from orchestrator.engine.folder import RunFolder, new_id
from orchestrator.engine.nested import check_called
from orchestrator.engine.pool import ModelPool
from orchestrator.engine.result import Result
from orchestrator.engine.runner import load_inputs, run_session
from orchestrator.engine.session import Session
from orchestrator.engine.store import Store
from orchestrator.errors import UserError, nearest
from orchestrator.flow import arrows, yaml_io, yaml_read
from orchestrator.flow.branches import every
from orchestrator.flow.builder import FlowBuilder
from orchestrator.flow.fit import check_fit, fitted, part_needs
from orchestrator.flow.hearing import heard
from orchestrator.flow.spec import FlowSpec, NodeSpec
from orchestrator.flow.wiring import wire
from orchestrator.models.bundle import BUNDLE_FILE, Bundle
from orchestrator.models.placement.devices import machine
from orchestrator.models.placement.memory import MemoryPlan
from orchestrator.models.placement.needs import Need
from orchestrator.models.placement.placing import choose
from orchestrator.models.placement.sizes import read_size
from orchestrator.models.placement.spec import EVERY, asked
from orchestrator.nodes.media import Media

STORE, POOL = Store(), ModelPool()  # one of each in a process: runs share results and weights


class Flow:
    """A checked flow with its bundle. Making one loads no weights; all problems are raised at once as a FlowError.

    flow = Flow.arrow("image -> text -> video")
    result = flow.run(image="cat.png", seed=7)
    result["video"].save("cat.mp4")
    """

    def __init__(self, spec: FlowSpec | FlowBuilder, bundle: str | Path | None = None) -> None:
        self.spec = spec.build() if isinstance(spec, FlowBuilder) else spec
        self.bundle = Bundle.open(bundle or self._bundle_place())
        self.plan = fitted(wire(self.spec), self.bundle)
        check_fit(self.plan, self.bundle)
        check_called(self.plan)

    @classmethod
    def load(cls, path: str | Path, bundle: str | Path | None = None) -> Flow:
        """A flow from its YAML file."""
        return cls(yaml_io.load(path), bundle)

    @classmethod
    def arrow(cls, line: str, bundle: str | Path | None = None) -> Flow:
        """A flow from an arrow line, e.g. `image -> text -> video`."""
        return cls(arrows.parse(line), bundle)

    @classmethod
    def of(cls, text: str | Path, bundle: str | Path | None = None, changes: Mapping[str, Any] | None = None) -> Flow:
        """A flow from what a user typed: an arrow line or the path of a YAML file; `changes` as in `with_fields`."""
        if arrows.is_arrow_line(str(text)):
            return cls(_changed(arrows.parse(str(text)), changes or {}), bundle)
        if not Path(text).is_file():
            known = [str(p) for p in Path("flows").glob("*.yaml")]
            raise UserError(
                f"no flow: '{text}' is neither a YAML file nor an arrow line such as 'image -> text -> video'."
                f"{nearest(str(text), known)}"
            )
        return cls(_changed(yaml_io.load(text), changes or {}), bundle)

    def with_fields(self, changes: Mapping[str, Any]) -> Flow:
        """The same flow with other config: `{"film.steps": 4}`; text values are read as YAML."""
        return Flow(_changed(self.spec, changes), self.bundle.root)

    def hearing(self) -> Flow:
        """The same flow, whose LLM is told of a dialogue before the request. Raises UserError if it can't be told which
        LLM that is."""
        made = copy(self)
        made.plan = heard(self.plan)
        made.__dict__.pop("_graph", None)
        return made

    @cached_property
    def _graph(self) -> Any:
        from orchestrator.engine.compile import compile_plan

        return compile_plan(self.plan)

    def graph(self) -> Any:
        """The compiled LangGraph; every stage is a node of it."""
        return self._graph

    @cached_property
    def _needs(self) -> list[Need]:
        return part_needs(self.plan, self.bundle)

    def memory_plan(
        self, device: str = "auto", placement: Mapping[str, Any] | None = None, memory: int | str | None = None
    ) -> MemoryPlan:
        """What a run with these options loads, and where: told from configs and headers, nothing is loaded.

        Raises: PlacementError with all problems; OutOfMemory if a node's weights can never fit.
        """
        everywhere = asked({EVERY: {"device": device}} if device != "auto" else None)
        layers = [self.bundle.spec.placement, everywhere, asked(placement)]
        devices = [replace(there, free=there.free + POOL.held(there.name)) for there in machine()]
        limit = None if memory is None else read_size(memory)
        made = choose(self._needs, devices, layers, limit, self.bundle.names())
        for node in every(self.plan):
            made.refuse(node.stage.parts(node.types))
        return made

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
        places = {"device": device, "placement": placement, "memory": memory}
        session, media = self._session({**(inputs or {}), **named}, seed, out, cache, places, on_event)
        return run_session(self.graph(), session, media)

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
        places = {"device": device, "placement": placement, "memory": memory}
        session, media = self._session({**(inputs or {}), **named}, seed, out, cache, places, run=run)
        session.previews = previews
        return Background(self.graph(), session, media)

    def batch(self, requests: Iterable[Mapping[str, Any]], **options: Any) -> list[Result]:
        """Run many requests; one result each, in order."""
        return [self.run(request, **options) for request in requests]

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

    def _session(
        self,
        inputs: Mapping[str, Any],
        seed: int,
        out: str | Path | None,
        cache: bool,
        places: Mapping[str, Any],
        listener: Callable[[Event], None] | None = None,
        run: str | None = None,
    ) -> tuple[Session, dict[str, Media]]:
        """A run that is ready to go, and its inputs."""
        media = load_inputs(self.plan, inputs)
        return self.session(seed, out, cache, places, listener, run), media

    def session(
        self,
        seed: int,
        out: str | Path | None,
        cache: bool,
        places: Mapping[str, Any],
        listener: Callable[[Event], None] | None = None,
        run: str | None = None,
    ) -> Session:
        """A run that is ready to go, whatever its inputs are. Raises PlacementError or OutputError."""
        memory, run = self.memory_plan(**places), run or new_id()
        folder = RunFolder(Path(out), run) if out is not None else None
        session = Session(run, self.plan, self.bundle, STORE, POOL, seed, memory, cache, folder, listener)
        session.places = places
        return session

    def _bundle_place(self) -> str | Path:
        """The bundle that the flow names: one that ships, or a folder, seen from the flow's file."""
        name = self.spec.bundle
        beside = Path(self.spec.source.name).parent / name
        return beside if self.spec.source.name and (beside / BUNDLE_FILE).is_file() else name


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


def _changed(spec: FlowSpec, changes: Mapping[str, Any]) -> FlowSpec:
    """A spec with other config of its nodes."""
    nodes = dict(spec.nodes)
    for target, value in changes.items():
        name, _, field = target.partition(".")
        if name not in nodes or not field:
            raise UserError(f"cannot set '{target}': write NODE.FIELD=VALUE.{nearest(name, nodes)}")
        read = yaml_read.value(value) if isinstance(value, str) else value
        nodes[name] = _node(name, nodes[name].to_plain() | {field: read})
    return spec.model_copy(update={"nodes": nodes}) if changes else spec


def _node(name: str, plain: dict[str, Any]) -> NodeSpec:
    try:
        return NodeSpec.model_validate(plain)
    except ValidationError as error:
        lines = [f"cannot set '{name}.{'.'.join(map(str, e['loc']))}': {e['msg']}" for e in error.errors()]
        raise UserError("\n".join(lines)) from None
