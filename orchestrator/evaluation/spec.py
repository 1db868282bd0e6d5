"""An evaluation: a bundle, seeds and what is measured, as a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, PrivateAttr, ValidationError, field_validator

from orchestrator.errors import Problem, RecipeError, nearest
from orchestrator.evaluation.measures import MEASURES, Measure
from orchestrator.flow.explain import UNKNOWN, explain
from orchestrator.flow.spec import Source
from orchestrator.flow.yaml_read import Document, read, read_file

NOISES = 1000  # a request's seed is seed * NOISES + number: no two seeds share one


class Limits(BaseModel):
    """When an evaluation gives up."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    broken: float = Field(0.01, ge=0, description="how many samples may be broken: below 1 a share, else a number")


class Evaluation(BaseModel):
    """What is measured, on which bundle."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    evaluation: str = Field(description="its name")
    doc: str = ""
    bundle: str = Field("pocket", description="one that ships, or a folder, seen from the file")
    seeds: tuple[int, ...] = Field((0, 1, 2), min_length=1, description="each gives every number once")
    noises: int = Field(NOISES, ge=1, le=NOISES, description="request i has the seed 1000 * seed + i % noises")
    batch: PositiveInt = Field(8, description="requests that a stage takes at a time")
    limits: Limits = Limits()
    measures: dict[str, Annotated[Measure, Field(discriminator="metric")]] = Field(
        min_length=1, description="name -> metric, data and settings"
    )

    _source: Source = PrivateAttr(default_factory=Source)

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(value)) < len(value) or min(value) < 0:
            raise ValueError(f"should be different numbers from 0 on, not {list(value)}")
        return value

    @classmethod
    def load(cls, path: str | Path) -> Evaluation:
        """The evaluation of a file; paths in it are relative to it. Raises RecipeError with all problems."""
        document = read(read_file(path, "evaluation", RecipeError), str(path), "file of measures", KEYS, RecipeError)
        problems = list(document.problems)
        try:
            made = cls.model_validate(document.data)
        except ValidationError as error:
            problems += _problems(document, error)
        if problems:
            raise RecipeError(sorted(problems, key=lambda p: (p.line, p.column)))
        made._source = document.source
        return made

    @property
    def folder(self) -> Path:
        """What its paths are relative to."""
        return Path(self._source.name).parent

    def problem(self, name: str, message: str, *place: str | int) -> Problem:
        """A problem of a measure, e.g. `("films", "...", "judge")`."""
        return self._source.problem(("measures", name, *place), f"measure '{name}': {message}")


KEYS = "evaluation, bundle, seeds and measures"


def _problems(document: Document, error: ValidationError) -> Iterator[Problem]:
    """Pydantic's complaints, with their places in the file and the nearest known names."""
    for place, message in explain(error):
        measure = str(place[1]) if place[0] == "measures" and len(place) > 1 else None
        if measure is None:
            yield document.source.problem(place, _say(place, message, Evaluation))
        elif len(place) == 2:
            text = _metric(document.data["measures"][measure])
            yield document.source.problem((*place, "metric"), f"measure '{measure}': {text}")
        else:  # the third is the metric
            text = _say(place[3:], message, MEASURES[str(place[2])])
            yield document.source.problem((*place[:2], *place[3:]), f"measure '{measure}': {text}")


def _metric(given: Any) -> str:
    """What is wrong with a measure whose kind cannot be told."""
    if not isinstance(given, dict) or "metric" not in given:
        return f"a measure is a mapping with metric and data; metrics: {', '.join(MEASURES)}"
    return f"unknown metric '{given['metric']}'.{nearest(str(given['metric']), MEASURES)}"


def _say(place: tuple[str | int, ...], message: str, form: type[BaseModel]) -> str:
    if message == UNKNOWN:
        return f"unknown key '{place[-1]}'.{nearest(str(place[-1]), form.model_fields)}"
    return f"'{'.'.join(map(str, place))}' {message}" if place else message
