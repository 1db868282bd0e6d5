"""What can be measured: the settings of each metric in an evaluation file."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from orchestrator.train.data.entry import DataEntry

Bridge = Literal["caption", "signal"]


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


class _Measure(BaseModel):
    """What all measures have."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    doc: str = ""
    flow: str | None = Field(None, description="An arrow line or a flow file; default: one turn on what is asked.")
    data: tuple[DataEntry, ...] = Field(min_length=1, description="As in recipes; {seed} in a path is the seed.")


class CaptionsMeasure(_Measure):
    """Media to text: exact match, the words of each group of labels named, CIDEr, BLEU."""

    metric: Literal["captions"]


class MediaMeasure(_Measure):
    """Text to media: what judges see in them, by each bridge on the same generator, seeds and captions."""

    metric: Literal["media"]
    judge: Annotated[tuple[str, ...], BeforeValidator(_listed)] = Field(
        min_length=1, description="Folders of classification checkpoints; the first that knows a group judges it."
    )
    bridges: tuple[Bridge, ...] = Field(("caption", "signal"), min_length=1, description="The ways to the generator.")


class SignalsMeasure(_Measure):
    """Whether the signals of replies are well-formed, and those that were asked for."""

    metric: Literal["signals"]


class RoutesMeasure(_Measure):
    """Whether a reply has the modalities that were asked for, and only them; beside it a router by keywords."""

    metric: Literal["routes"]


class StepsMeasure(_Measure):
    """Whether an agent makes the media that were asked for, in order and only they, and answers then."""

    metric: Literal["steps"]


Measure = CaptionsMeasure | MediaMeasure | SignalsMeasure | RoutesMeasure | StepsMeasure
MEASURES: dict[str, type[Measure]] = {
    get_args(form.model_fields["metric"].annotation)[0]: form for form in get_args(Measure)
}
