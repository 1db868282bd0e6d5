"""`Flow`: a flow that runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from orchestrator.engine.events import Event
from orchestrator.engine.folder import RunFolder, new_id
from orchestrator.engine.nested import check_called
from orchestrator.engine.pool import ModelPool
from orchestrator.engine.runner import load_inputs
from orchestrator.engine.running import Ready, Running
from orchestrator.engine.session import Session
from orchestrator.engine.store import Store
from orchestrator.errors import UserError, nearest
from orchestrator.flow import arrows, history, yaml_io
from orchestrator.flow.branches import every
from orchestrator.flow.builder import FlowBuilder
from orchestrator.flow.changes import changed
from orchestrator.flow.fit import check_fit, fitted, part_needs
from orchestrator.flow.spec import FlowSpec
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


class Flow(Running):
    """A checked flow with its bundle. Making one loads no weights; all problems are raised at once as a FlowError.

    flow = Flow.arrow("image -> text -> video")
    result = flow.run(image="cat.png", seed=7)
    result["video"].save("cat.mp4")
    """

    def __init__(self, spec: FlowSpec | FlowBuilder, bundle: str | Path | None = None) -> None:
        self.spec = spec.build() if isinstance(spec, FlowBuilder) else spec
        self.bundle = Bundle.open(bundle or self._bundle_place())
        self.plan = fitted(wire(self.spec), self.bundle)
        self.given: Mapping[str, Media] = {}  # inputs that a run need not give: media of the dialogue before it
        self._talk: tuple[Flow, tuple[Any, ...]] | None = None  # the flow without a dialogue, and the dialogue
        check_fit(self.plan, self.bundle)
        check_called(self.plan)

    @classmethod
    def load(cls, path: str | Path, bundle: str | Path | None = None) -> Flow:
        """A flow from its YAML file."""
        return cls(yaml_io.load(path), bundle)

    @classmethod
    def arrow(cls, line: str, bundle: str | Path | None = None) -> Flow:
        """A flow from an arrow line, e.g. `image -> text -> video`."""
        return cls(_line(line, bundle), bundle)

    @classmethod
    def of(cls, text: str | Path, bundle: str | Path | None = None, changes: Mapping[str, Any] | None = None) -> Flow:
        """A flow from what a user typed: an arrow line or the path of a YAML file; `changes` as in `with_fields`."""
        if arrows.is_arrow_line(str(text)):
            return cls(changed(_line(str(text), bundle), changes or {}), bundle)
        if not Path(text).is_file():
            known = [str(p) for p in Path("flows").glob("*.yaml")]
            raise UserError(
                f"no flow: '{text}' is neither a YAML file nor an arrow line such as 'image -> text -> video'."
                f"{nearest(str(text), known)}"
            )
        return cls(changed(yaml_io.load(text), changes or {}), bundle)

    def with_fields(self, changes: Mapping[str, Any]) -> Flow:
        """The same flow with other config: `{"film.steps": 4}`; text values are read as YAML."""
        if self._talk:
            return self._talk[0].with_fields(changes).after(self._talk[1])
        return Flow(changed(self.spec, changes), self.bundle.root)

    @cached_property
    def _graph(self) -> Any:
        from orchestrator.engine.compile import compile_plan

        return compile_plan(self.plan)

    def after(self, messages: Iterable[Any]) -> Flow:
        """The flow that goes on from a dialogue: its LLM is told it before what a run asks.

        Messages are (role, text) or (role, [texts, paths and media]), role being system (the first), user or assistant,
        or a `Message`. Inputs that the dialogue has shown may be left out where only the LLM would miss them.

            flow.after([("user", [Path("dog.png"), "What is it?"]), ("assistant", "A dog.")]).run(text="What colour?")

        Raises InputError if the flow takes no dialogue, or its LLM can't be told this one.
        """
        begun, said = self._talk or (self, ())
        talk = copy(begun)
        for made in ("_graph", "_needs"):
            talk.__dict__.pop(made, None)
        talk._talk = begun, (*said, *messages)
        talk.spec, talk.given = history.after(begun.plan, self.bundle, talk._talk[1])
        talk.plan = fitted(wire(talk.spec), self.bundle)
        check_fit(talk.plan, self.bundle)
        return talk

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

    @contextmanager
    def lend(self, part: str, device: str = "auto") -> Iterator[Any]:
        """A loaded part of the bundle that the flow uses, for the time of the `with`."""
        with POOL.lend(self.bundle, [part], self.memory_plan(device), lambda part: None) as models:
            yield models[part]

    def session(
        self,
        inputs: Mapping[str, Any],
        *,
        seed: int = 0,
        out: str | Path | None = None,
        cache: bool = True,
        on_event: Callable[[Event], None] | None = None,
        run: str | None = None,
        **places: Any,
    ) -> Ready:
        """A run that is ready to go, and its inputs; options are those of `run` and `start`."""
        media, memory = load_inputs(self.plan, {**self.given, **inputs}), self.memory_plan(**places)
        run = run or new_id()
        folder = RunFolder(Path(out), run) if out is not None else None
        session = Session(run, self.plan, self.bundle, STORE, POOL, seed, memory, cache, folder, on_event)
        session.places = places
        return session, media

    def _bundle_place(self) -> str | Path:
        """The bundle that the flow names: one that ships, or a folder, seen from the flow's file."""
        name = self.spec.bundle
        beside = Path(self.spec.source.name).parent / name
        return beside if self.spec.source.name and (beside / BUNDLE_FILE).is_file() else name


def _line(line: str, bundle: str | Path | None) -> FlowSpec:
    """The flow of an arrow line, which shows media to the LLM of a bundle as it takes them."""
    return arrows.parse(line, direct=Bundle.open(bundle).sees if bundle else ())
