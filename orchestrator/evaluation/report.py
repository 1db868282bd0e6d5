"""What an evaluation found: numbers with their spread over seeds, and every reply that they come of."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from orchestrator.errors import OutputError
from orchestrator.evaluation.metrics import POINTS, Case, Score

Unit = Literal["share", "points"]


@dataclass(frozen=True)
class Advanced:
    """How far an evaluation is: requests done of those of a measure. The one event that it has."""

    measure: str
    done: int
    total: int


@dataclass(frozen=True)
class Number:
    """A number: its mean over seeds, and their standard deviation (None: the flow has no chance in it, or there is one
    seed). A share is from 0 to 1; `of` samples a seed, `count` in all. `way` is the bridge, `signal - caption`, or
    the baseline."""

    name: str
    modality: str
    way: str
    unit: Unit
    mean: float
    spread: float | None
    of: int
    count: int
    seeds: Mapping[int, float]

    def __str__(self) -> str:
        scale, sign = (100, " %") if self.unit == "share" else (1, "")
        points = " points" if self.way == DIFFERENCE and self.unit == "share" else sign
        plus = "+" if self.way == DIFFERENCE else ""
        spread = f" ± {scale * self.spread:.1f}" if self.spread is not None else ""
        return f"{scale * self.mean:{plus}.1f}{spread}{points}"


DIFFERENCE = "signal - caption"
COLUMNS = ("measure", "modality", "way", "number", "value", "of")


def number(name: str, modality: str, way: str, scores: Mapping[int, Score]) -> Number:
    """The number of some scores by seed."""
    values = {seed: score.value for seed, score in scores.items()}
    return Number(
        name,
        modality,
        way,
        "points" if name in POINTS else "share",
        statistics.mean(values.values()),
        statistics.stdev(values.values()) if len(values) > 1 else None,
        max(score.of for score in scores.values()),
        sum(score.of for score in scores.values()),
        values,
    )


def difference(signal: Number, caption: Number) -> Number:
    """How much better the signal is than the caption, seed by seed."""
    both = signal.seeds.keys() & caption.seeds.keys()
    scores = {seed: Score(signal.seeds[seed] - caption.seeds[seed], signal.of) for seed in sorted(both)}
    return number(signal.name, signal.modality, DIFFERENCE, scores)


@dataclass(frozen=True)
class Measured:
    """The numbers of one measure, what was broken in its data, and its cases: what was noted of every reply."""

    name: str
    metric: str
    doc: str
    numbers: tuple[Number, ...]
    broken: Mapping[str, Any]
    cases: tuple[Case, ...]

    def __getitem__(self, name: str) -> list[Number]:
        """The numbers of that name: one a modality and way."""
        return [number for number in self.numbers if number.name == name]


@dataclass(frozen=True)
class Evaluated:
    """What an evaluation found. `as_dict()` is its JSON form."""

    evaluation: str
    bundle: str
    device: str
    seeds: Sequence[int]
    limit: int | None
    version: str
    seconds: float
    measures: tuple[Measured, ...]

    def __getitem__(self, name: str) -> Measured:
        """A measure by its name."""
        return next(measure for measure in self.measures if measure.name == name)

    def rows(self) -> list[tuple[str, str, str, str, str, str]]:
        """Every number for a table, as text: COLUMNS."""
        return [
            (measure.name, found.modality, found.way, found.name, str(found), str(found.count))
            for measure in self.measures
            for found in measure.numbers
        ]

    def as_dict(self) -> dict[str, Any]:
        """Everything, as plain values."""
        return asdict(self) | {"seconds": round(self.seconds, 1)}

    def write(self, path: str | Path) -> None:
        """As JSON. Raises OutputError."""
        try:
            Path(path).write_text(json.dumps(self.as_dict(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        except OSError as error:
            raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from None
