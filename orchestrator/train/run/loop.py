"""The training loop: resumable, deterministic, the same in one process and in many.

All that is random in a step follows from the seed and the step, so a resumed run is the same run.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from orchestrator.errors import Cancelled, OrchError, OutOfMemory, TrainError
from orchestrator.train.data.sample import Sample
from orchestrator.train.run import events as ev
from orchestrator.train.run import resume
from orchestrator.train.run.checkpoint import PARTIAL, PARTS, Checkpoints, State, read_optimizer, read_state, write
from orchestrator.train.run.estimate import memory, parts, used
from orchestrator.train.run.fleet import Fleet
from orchestrator.train.run.guard import Guard
from orchestrator.train.run.interrupt import Interrupt
from orchestrator.train.run.learner import Learner, Outcome
from orchestrator.train.run.result import Status, TrainResult
from orchestrator.train.run.schedule import factor
from orchestrator.train.run.settings import LoopSettings
from orchestrator.train.run.task import Prepared, Task

Feed = Callable[[int], Iterator[tuple[int, Sequence[Sample]]]]
"""Position in the data -> this process's batches from there on, each with the position after it."""
BUNDLE, CHECKPOINTS, SAMPLES = "bundle", "checkpoints", "samples"  # folders in that of the run
STEP = "step"  # the file in a bundle that says which step's it is
OnEvent = Callable[[ev.Event], None]


@dataclass(frozen=True)
class _Load:
    """What a step is given: its batches, where the data go on, and numbers over all processes."""

    batches: list[Prepared]
    position: int
    totals: dict[str, int]
    samples: int
    stop: bool


class Loop:
    """Steps a task. `recipe` is what the run must be the same in to go on; `settings.steps` must be known."""

    def __init__(
        self,
        task: Task,
        feed: Feed,
        settings: LoopSettings,
        out: Path,
        fleet: Fleet,
        *,
        name: str = "run",
        recipe: Mapping[str, Any] | None = None,
    ) -> None:
        if settings.steps is None:
            raise TrainError("the loop needs steps; turn epochs into steps with the size of the data")
        self.task, self.settings, self.out, self.fleet, self.name = task, settings, out, fleet, name
        self.recipe = dict(recipe if recipe is not None else settings.model_dump(mode="json"))
        self.checkpoints = Checkpoints(out / CHECKPOINTS, settings.checkpoint.keep)
        self.steps, self.step, self.position = settings.steps, 0, 0
        self.readers: list[OnEvent] = []  # of the events; in the first process
        self._feed, self._began = feed, time.monotonic()
        saved = self._resume()
        self.learner = Learner(task, settings, fleet)
        if saved is not None:
            self.learner.load_state(saved)
        self._losses: dict[str, float] = {}
        self._pace = 0.0  # seconds a step
        self._memory = memory(task, settings.ema is not None, fleet.device)
        self._start = self._saved = self.step  # that of the last checkpoint

    def run(self) -> TrainResult:
        """Train to the end. Raises TrainError if it has to stop, Cancelled if it is asked to; both keep the state."""
        self._started()
        try:
            self._steps()
        except BaseException as error:
            stopped = isinstance(error, (Cancelled, KeyboardInterrupt))
            result = self._finished("interrupted" if stopped else "failed", str(error))
            if isinstance(error, OrchError):
                error.result = result
            raise
        return self._finished("done")

    def rehearse(self) -> TrainResult:
        """Two steps that change nothing, for the estimates of memory and time; the loop is of no use afterwards."""
        self._started()
        data = self._feed(self.position)
        for first in (True, False):
            began, load, before = time.monotonic(), self._load(data, stop=False), used(self.fleet.device)
            if not load.batches:
                raise TrainError("the data have less than two steps; lower batch_size or accumulate")
            self._gradients(load)
            self.learner.drop()
            self._pace = time.monotonic() - began
            if first:
                self._memory = replace(self._memory, activations=used(self.fleet.device) - before)
        seconds = self._pace * (self.steps - self.step)
        self._emit(ev.Measured, self._memory, seconds)
        return TrainResult(self.name, "rehearsed", self.out, self.step, self.steps, {}, 0, seconds)

    def _started(self) -> None:
        samples = self.settings.batch_size * self.settings.accumulate * self.fleet.world
        self._emit(
            ev.Started, self.name, self.out, self.step, self.steps, parts(self.task), self._memory, samples,
            self.fleet.device, self.fleet.precision, self.fleet.world,
        )  # fmt: skip

    def _resume(self) -> dict[str, Any] | None:
        """Put back the last checkpoint, if there is one."""
        place = self.checkpoints.last()
        if place is None:
            self._guard = Guard(self.settings.limits)
            return None
        state = read_state(place)
        resume.check(state, self.recipe, self.fleet.world, place)
        self.step, self.position = state.step, state.position
        self._guard = Guard(self.settings.limits, state.skipped, state.recent)
        self.task.load(place / PARTS)
        return read_optimizer(place)

    def _steps(self) -> None:
        data = self._feed(self.position)
        with Interrupt() as interrupt:
            while self.step < self.steps:
                began, first = time.monotonic(), self.step == self._start
                load = self._load(data, interrupt.asked)
                if load.stop:
                    self._save()
                    raise Cancelled(f"stopped after step {self.step}; the same command goes on from there")
                if not load.batches:
                    break
                before = used(self.fleet.device) if first else 0
                self._step(load, began)
                if first:
                    self._measured(used(self.fleet.device) - before)
                self._now_and_then()
        self._save()
        self._sample()
        with self.learner.whole(averaged=True):
            if self.fleet.main:
                self._export()

    def _export(self) -> None:
        """Write the result beside its place, then move it there. That of this very step stays as it is: runs that go on
        from it know it by its files."""
        place, partial = self.out / BUNDLE, self.out / f"{BUNDLE}{PARTIAL}"
        if (mark := place / STEP).is_file() and mark.read_text() == str(self.step):
            return
        shutil.rmtree(partial, ignore_errors=True)
        self.task.export(partial, self.step)
        (partial / STEP).write_text(str(self.step))
        shutil.rmtree(place, ignore_errors=True)
        partial.rename(place)

    def _load(self, data: Iterator[tuple[int, Sequence[Sample]]], stop: bool) -> _Load:
        """The batches of a step; none if the data are at their end."""
        taken = list(islice(data, self.settings.accumulate))
        batches = [self.task.prepare(samples) for _, samples in taken]
        names = list(self.task.weights)
        counts = [sum(batch.counts.get(name, 0) for batch in batches) for name in names]
        stops, given, samples, *sums = self.fleet.total([stop, len(taken), sum(len(s) for _, s in taken), *counts])
        if given != len(taken) * self.fleet.world:
            raise TrainError(f"process {self.fleet.rank} has {len(taken)} batches, all have {given}: not the same data")
        position = taken[-1][0] if taken else self.position
        return _Load(batches, position, dict(zip(names, sums, strict=True)), samples, stops > 0)

    def _step(self, load: _Load, began: float) -> None:
        rates = self.learner.rates(factor(self.step, self.steps, self.settings.warmup, self.settings.schedule))
        found = self._gradients(load)
        reason = self._guard.judge(found.loss if found.losses else None, found.norm)
        if reason:
            self.learner.drop()
        else:
            self.learner.take(self.step)
            self._losses = found.losses
        self.step, self.position = self.step + 1, load.position
        seconds = time.monotonic() - began
        young = self.step <= self._start + 2  # the first step of a process is slower than those that come
        self._pace = seconds if young else 0.9 * self._pace + 0.1 * seconds
        if reason:
            self._emit(ev.Skipped, self.step, reason, self._guard.skipped)
            self._give_up()
        else:
            left = self._pace * (self.steps - self.step)
            self._emit(ev.StepDone, self.step, *found, rates, load.samples, seconds, left)

    def _gradients(self, load: _Load) -> Outcome:
        number = (self.settings.seed * 1_000_003 + self.step) * self.fleet.world + self.fleet.rank
        seeds = [number * self.settings.accumulate + i for i in range(len(load.batches))]
        try:
            return self.learner.gradients(load.batches, load.totals, seeds)
        except torch.OutOfMemoryError as error:
            raise OutOfMemory(
                f"{self.fleet.device} has too little memory for step {self.step + 1} with batch_size "
                f"{self.settings.batch_size} ({error}). Lower batch_size and raise accumulate, or set "
                "gradient_checkpointing: true"
            ) from error

    def _give_up(self) -> None:
        try:
            self._guard.check()
        except TrainError as error:
            self._save()
            raise TrainError(f"{error}. The state before them is {self.checkpoints.last()}") from None

    def _now_and_then(self) -> None:
        if self.step == self.steps:
            return
        if self.step % self.settings.checkpoint.every == 0:
            self._save()
        if self.step % self.settings.sample.every == 0:
            self._sample()

    def _save(self) -> None:
        """Write a checkpoint, if there was a step since the last."""
        if self.step == self._saved:
            return
        guard = self._guard
        state = State(self.step, self.position, self.fleet.world, guard.skipped, list(guard.recent), self.recipe)
        optimizer = self.learner.state()  # all processes: each may hold a part of it
        with self.learner.whole(averaged=False):
            if self.fleet.main:
                place = self.checkpoints.save(self.step, lambda folder: self._write(folder, state, optimizer))
                self._emit(ev.CheckpointSaved, self.step, place)
        self._saved = self.step
        self.fleet.wait()

    def _write(self, folder: Path, state: State, optimizer: Mapping[str, Any]) -> None:
        self.task.save(folder / PARTS, self.step)
        write(folder, state, optimizer)

    def _sample(self) -> None:
        """Write samples of what the weights do now; where they are in parts, all processes have to take part."""
        if not self.settings.sample.count:
            return
        folder = self.out / SAMPLES / f"step-{self.step}"
        if self.fleet.main or self.fleet.sharded:
            self.task.module.eval()
            with tempfile.TemporaryDirectory() as other, self.learner.whole(averaged=True), torch.no_grad():
                written = self.task.sample(folder if self.fleet.main else Path(other))
            self._emit(ev.SamplesWritten, self.step, tuple(written))
        self.fleet.wait()

    def _measured(self, activations: int) -> None:
        self._memory = replace(self._memory, activations=max(0, activations))
        self._emit(ev.Measured, self._memory, self._pace * (self.steps - self.step))

    def _finished(self, status: Status, error: str = "") -> TrainResult:
        seconds, skipped = time.monotonic() - self._began, self._guard.skipped
        self._emit(ev.Finished, status, self.step, skipped, seconds, error)
        bundle = self.out / BUNDLE if status == "done" else None
        return TrainResult(self.name, status, self.out, self.step, self.steps, self._losses, skipped, seconds, bundle)

    def _emit(self, kind: type[ev.Event], *fields: Any) -> None:
        if self.fleet.main:
            event = kind(time.monotonic() - self._began, *fields)
            for read in self.readers:
                read(event)
