"""Flows within a run: a tool that is a flow runs as one of its own, and its events are told as those of its call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.engine.events import NodeEvent, OutputReady
from orchestrator.errors import FileError, FlowError, Problem, UserError
from orchestrator.flow import arrows
from orchestrator.flow.plan import Plan
from orchestrator.models.placement.spec import EVERY
from orchestrator.nodes.media import Media
from orchestrator.nodes.tool import ToolConfig

if TYPE_CHECKING:
    from orchestrator.engine.flow import Flow
    from orchestrator.engine.session import Session


class Nested:
    """A flow as a node calls it (`nodes.stage.Callee`)."""

    def __init__(self, place: str, session: Session, node: str) -> None:
        self.flow, self.session, self.node = opened(place, session.plan), session, node

    @property
    def name(self) -> str:
        return self.flow.spec.flow

    @property
    def doc(self) -> str:
        return self.flow.spec.doc

    @property
    def inputs(self) -> Mapping[str, tuple[str, str, bool]]:
        puts = self.flow.spec.inputs.items()
        return {name: (put.modality, put.doc, put.required) for name, put in puts}

    def run(self, inputs: Mapping[str, Any]) -> tuple[Media, ...]:
        """A run with the seed of the one that it is within, and stopped with it."""
        made: dict[str, Media] = {}
        options = {"seed": self.session.seed, "cache": self.session.cache, "previews": False, **self._places()}
        for event in self.flow.stream(dict(inputs), **options):
            self.session.check()
            if isinstance(event, OutputReady):
                made[event.name] = event.media
            elif isinstance(event, NodeEvent):
                self.session.pass_on(replace(event, node=f"{self.node}.{event.node}"))
        return tuple(made.values())

    def _places(self) -> dict[str, Any]:
        """Where its parts go: as those of the run that it is within, of the parts that its bundle has."""
        places, known = dict(self.session.places), {EVERY, *self.flow.bundle.names()}
        placement = places.get("placement") or {}
        return places | {"placement": {part: asked for part, asked in placement.items() if part in known}}


def opened(place: str, plan: Plan) -> Flow:
    """The flow that a node of a plan names: a file, seen from the flow's own, or an arrow line."""
    from orchestrator.engine.flow import Flow

    beside = Path(plan.spec.source.name).parent / place
    return Flow.of(place if arrows.is_arrow_line(place) or not beside.is_file() else beside)


def check_called(plan: Plan) -> None:
    """Raise a FlowError with what is wrong with the flows that a plan calls as tools."""
    if problems := list(_problems(plan)):
        raise FlowError(problems)


def _problems(plan: Plan) -> Iterator[Problem]:
    for node in plan.nodes:
        config = node.stage.config
        if not isinstance(config, ToolConfig) or not config.flow:
            continue
        try:
            opened(config.flow, plan)
        except RecursionError:
            yield plan.spec.source.problem(("nodes", node.name, "flow"), "the flow calls itself")
        except FileError as error:
            yield from error.problems
        except UserError as error:
            yield plan.spec.source.problem(("nodes", node.name, "flow"), str(error))
