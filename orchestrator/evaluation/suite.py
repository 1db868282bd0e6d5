"""Runs an evaluation: every measure's flow over its samples, batch by batch, and the numbers that come of it."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import orchestrator
from orchestrator.engine.flow import Flow
from orchestrator.engine.result import Result
from orchestrator.errors import CallError, InputError
from orchestrator.evaluation.answers import Values
from orchestrator.evaluation.job import Job, prepare
from orchestrator.evaluation.metrics import Case, Score
from orchestrator.evaluation.report import Advanced, Evaluated, Measured, Number, difference, number
from orchestrator.evaluation.requests import Asked, batches, by_inputs
from orchestrator.evaluation.spec import NOISES, Evaluation
from orchestrator.models.bundle import BUNDLE_FILE, Bundle
from orchestrator.models.placement.devices import resolve_device
from orchestrator.train.data.report import DAMAGED

ALL = "all"  # the modality of a number over all of them
Key = tuple[str, str, int]  # modality, way, seed


def evaluate(
    evaluation: Evaluation | str | Path,
    *,
    bundle: str | Path | None = None,
    limit: int | None = None,
    device: str = "auto",
    on_progress: Callable[[Advanced], None] | None = None,
) -> Evaluated:
    """Run an evaluation, or the file of one.

    `bundle` takes the place of its own; with `limit` only so many samples of each measure (and seed) run: for a quick
    look. Everything is checked before anything is loaded.

    Raises: RecipeError with all problems; DataError if too many samples are broken; NodeError, OutOfMemory.
    """
    spec = evaluation if isinstance(evaluation, Evaluation) else Evaluation.load(evaluation)
    begun, place = time.monotonic(), resolve_device(device)
    opened = Bundle.open(bundle if bundle is not None else _bundle(spec))
    jobs = prepare(spec, opened, limit, device)
    measured = tuple(_Running(spec, job, device, on_progress).measured() for job in jobs)
    seconds = time.monotonic() - begun
    return Evaluated(
        spec.evaluation, opened.name, place, spec.seeds, limit, orchestrator.__version__, seconds, measured
    )


def _bundle(spec: Evaluation) -> str | Path:
    beside = spec.folder / spec.bundle
    return beside if (beside / BUNDLE_FILE).is_file() else spec.bundle


class _Running:
    """One measure while it runs."""

    def __init__(self, spec: Evaluation, job: Job, device: str, on_progress: Callable[[Advanced], None] | None) -> None:
        self.spec, self.job, self.device, self.on_progress = spec, job, device, on_progress
        self.noted: dict[Key, list[tuple[Asked, Case]]] = defaultdict(list)
        self.done = 0

    def measured(self) -> Measured:
        """Run everything, and count."""
        self._tell(0)
        for seed, requests in self.job.requests.items():
            for way in self.job.metric.ways:
                self._run(seed, way, requests)
            self._guess(seed, requests)
        job, numbers, cases = self.job, list(self._numbers()), tuple(self._cases())
        numbers += _differences(numbers)
        return Measured(job.name, job.measure.metric, job.measure.doc, tuple(numbers), job.report.as_dict(), cases)

    def _run(self, seed: int, way: str, requests: Sequence[Asked]) -> None:
        for shape, same in by_inputs(requests).items():
            flow = self.job.flows[shape, way]
            for batch in batches(same, self.spec.batch):
                answered = list(self._answers(flow, seed, batch))
                for modality in dict.fromkeys(m for asked, *_ in answered for m in self.job.metric.groups(asked)):
                    rows = [row for row in answered if modality in self.job.metric.groups(row[0])]
                    asked, made, failed = zip(*rows, strict=True)
                    cases = self.job.metric.see(flow, asked, made, modality)
                    told = [case | ({"failed": said} if said else {}) for case, said in zip(cases, failed, strict=True)]
                    self.noted[modality, way, seed] += zip(asked, told, strict=True)
                self._tell(len(batch))

    def _guess(self, seed: int, requests: Sequence[Asked]) -> None:
        """The ways for which no flow runs."""
        metric = self.job.metric
        for way in metric.baselines:
            for asked in requests:
                for modality in metric.groups(asked):
                    self.noted[modality, way, seed].append((asked, metric.baseline(way, asked)))

    def _answers(self, flow: Flow, seed: int, batch: Sequence[Asked]) -> Iterator[tuple[Asked, Values, str]]:
        """What a flow makes of each request, and why not all of it. One that cannot be run is reported, and left out;
        one whose LLM asked for what cannot be done has made nothing."""
        takes = {name: put.modality for name, put in flow.spec.inputs.items()}
        ready: list[tuple[Asked, dict[str, Any]]] = []
        for asked in batch:
            try:
                ready.append((asked, asked.values(takes)))
            except InputError as error:
                self.job.report.broken(asked.sample, error)
        seeds = [NOISES * seed + asked.number % self.spec.noises for asked, _ in ready]
        made = flow.attempt([values for _, values in ready], seeds=seeds, size=self.spec.batch, device=self.device)
        for (asked, _), result in zip(ready, made, strict=True):
            if isinstance(result, Result):
                yield asked, result.values, ""
            elif isinstance(result, InputError):
                self.job.report.add(asked.where, str(result), DAMAGED)
            elif isinstance(result.__cause__, CallError):
                yield asked, {}, str(result)
            else:
                raise result

    def _tell(self, requests: int) -> None:
        self.done += requests
        if self.on_progress:
            self.on_progress(Advanced(self.job.name, self.done, self.job.total))

    def _numbers(self) -> Iterator[Number]:
        """The numbers of every modality and way, and over all modalities where that means something."""
        noted = dict(self.noted)
        if self.job.metric.total and len({modality for modality, _, _ in noted}) > 1:
            over: dict[Key, list[tuple[Asked, Case]]] = defaultdict(list)
            for (_, way, seed), rows in self.noted.items():
                over[ALL, way, seed] += rows
            noted |= over
        scores: dict[tuple[str, str, str], dict[int, Score]] = defaultdict(dict)
        for (modality, way, seed), rows in noted.items():
            for name, score in self.job.metric.scores(rows).items():
                scores[modality, name, way][seed] = score
        yield from (number(name, modality, way, found) for (modality, name, way), found in scores.items())

    def _cases(self) -> Iterator[Case]:
        for (modality, way, seed), rows in self.noted.items():
            for asked, case in rows:
                yield {"where": asked.where, "seed": seed, "modality": modality, "way": way, **case}


def _differences(numbers: Sequence[Number]) -> list[Number]:
    """Signal minus caption, for what judges saw."""
    shown = {(n.modality, n.name, n.way): n for n in numbers if n.name.startswith("shows ")}
    pairs = ((n, shown.get((n.modality, n.name, "caption"))) for n in shown.values() if n.way == "signal")
    return [difference(signal, caption) for signal, caption in pairs if caption]
