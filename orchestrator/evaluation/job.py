"""A measure that is ready to run: its samples read, its flows checked against the bundle, its judges known."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.engine.flow import Flow
from orchestrator.errors import DataError, Problem, RecipeError, UserError
from orchestrator.evaluation import flows
from orchestrator.evaluation.judge import Judge
from orchestrator.evaluation.measures import Measure
from orchestrator.evaluation.metrics import Captions, Media, Metric, Routes, SignalCounts
from orchestrator.evaluation.requests import Asked, by_inputs, collect
from orchestrator.evaluation.spec import Evaluation
from orchestrator.evaluation.steps import Steps
from orchestrator.flow.branches import every
from orchestrator.flow.spec import FlowSpec
from orchestrator.models.bundle import Bundle
from orchestrator.models.placement.devices import resolve_device
from orchestrator.train.data.batches import once
from orchestrator.train.data.report import Report

Shape = tuple[str, ...]  # the modalities that a request brings
SEED = "{seed}"  # in a path of data, stands for the seed: other samples for each
SHOWN = 5  # problems of a kind, in a message

METRICS: dict[str, Callable[[Any, Path, str], Metric]] = {  # (measure, its folder, device)
    "captions": lambda measure, folder, device: Captions(),
    "media": lambda measure, folder, device: Media(
        [Judge(folder / judge, resolve_device(device)) for judge in measure.judge], measure.bridges
    ),
    "signals": lambda measure, folder, device: SignalCounts(device),
    "routes": lambda measure, folder, device: Routes(),
    "steps": lambda measure, folder, device: Steps(),
}


@dataclass(frozen=True)
class Job:
    """What a measure runs: for each seed its requests; for each shape of request and each way a flow."""

    name: str
    measure: Measure
    metric: Metric
    requests: dict[int, list[Asked]]
    flows: dict[tuple[Shape, str], Flow]
    report: Report

    @property
    def total(self) -> int:
        """How many requests it runs."""
        return sum(map(len, self.requests.values())) * len(self.metric.ways)


def prepare(evaluation: Evaluation, bundle: Bundle, limit: int | None, device: str) -> list[Job]:
    """The jobs of an evaluation. Raises RecipeError with everything that is wrong, before any weight is loaded."""
    problems: list[Problem] = []
    made: list[Job] = []
    for name, measure in evaluation.measures.items():
        try:
            made.append(_job(evaluation, name, measure, bundle, limit, device))
        except UserError as error:
            problems += [evaluation.problem(name, line) for line in str(error).splitlines()]
    if problems:
        raise RecipeError(problems)
    return made


def _job(evaluation: Evaluation, name: str, measure: Measure, bundle: Bundle, limit: int | None, device: str) -> Job:
    """One job. Raises UserError with a line a problem."""
    metric = METRICS[measure.metric](measure, evaluation.folder, device)
    report = Report(evaluation.limits.broken)
    requests = _requests(evaluation, measure, metric, limit, report)
    first = next(iter(requests.values()))
    _raise_all(metric.misfits([asked for found in requests.values() for asked in found]))
    ready = _flows(metric, _specs(evaluation, measure, metric, first, bundle), first, bundle)
    if not _per_seed(measure) and any(node.stage.random for flow in ready.values() for node in every(flow.plan)):
        requests = dict.fromkeys(evaluation.seeds, first)
    return Job(name, measure, metric, requests, ready, report)


def _requests(
    evaluation: Evaluation, measure: Measure, metric: Metric, limit: int | None, report: Report
) -> dict[int, list[Asked]]:
    """What is asked, by seed; only the first one, if all seeds have the same samples."""
    found: dict[int, list[Asked]] = {}
    for seed in evaluation.seeds if _per_seed(measure) else evaluation.seeds[:1]:
        paths = {entry.path: entry.path.replace(SEED, str(seed)) for entry in measure.data}
        entries = [e.model_copy(update={"path": paths[e.path]}).at(evaluation.folder) for e in measure.data]
        asked = collect(once(entries, report), report, metric.merges, limit)
        found[seed] = [request for request in asked if metric.groups(request)]
        if not found[seed]:
            report.total = report.seen
            none = f"none of the {report.seen} samples has anything to measure for {measure.metric}"
            raise DataError(report.verdict() if report.count else none)
    report.total = report.seen  # known only now
    if report.count > report.allowed:
        raise DataError(report.verdict())
    return found


def _per_seed(measure: Measure) -> bool:
    return any(SEED in entry.path for entry in measure.data)


def _specs(
    evaluation: Evaluation, measure: Measure, metric: Metric, requests: list[Asked], bundle: Bundle
) -> Iterator[tuple[Shape, FlowSpec]]:
    named = flows.named(measure.flow, evaluation.folder) if measure.flow else None
    for shape, same in by_inputs(requests).items():
        yield shape, named or metric.flow(shape, same, bundle)


def _flows(
    metric: Metric, specs: Iterator[tuple[Shape, FlowSpec]], requests: list[Asked], bundle: Bundle
) -> dict[tuple[Shape, str], Flow]:
    """A checked flow for each shape and way. Raises UserError with all problems."""
    ready: dict[tuple[Shape, str], Flow] = {}
    problems: dict[str, None] = {}
    for shape, spec in specs:
        for way in metric.ways:
            try:
                flow = Flow(metric.way(spec, way), bundle.root)
                if lack := metric.lacks(flow.plan, requests):
                    raise UserError(f"flow '{spec.flow}' has {lack}")
                ready[shape, way] = flow
            except UserError as error:
                problems |= dict.fromkeys(str(error).splitlines())
    _raise_all(list(problems))
    return ready


def _raise_all(problems: list[str]) -> None:
    if problems:
        more = [f"and {len(problems) - SHOWN} more like these"] if len(problems) > SHOWN else []
        raise UserError("\n".join(problems[:SHOWN] + more))
