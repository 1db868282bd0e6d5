"""What can be trained of a bundle, and how; everything else is frozen."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from orchestrator.errors import nearest
from orchestrator.models.llm.adapter import LoraOptions, RowOptions
from orchestrator.nodes.modality import MODALITIES
from orchestrator.projectors import projectors


class Tuning(BaseModel):
    """Base of what can be trained: with a learning rate of its own, or the recipe's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    lr: float | None = Field(None, gt=0, description="peak learning rate; default: the recipe's")


class ProjectorTuning(Tuning):
    """A projector: a new one of a kind, or (without `kind`) the bundle's goes on."""

    kind: str | None = Field(None, description="a new projector of this kind")
    config: dict[str, Any] = Field({}, description="its sizes, but those that follow from the bundle's parts")

    @field_validator("kind")
    @classmethod
    def _known_kind(cls, value: str | None) -> str | None:
        if value is not None and value not in (known := projectors()):
            raise ValueError(f"unknown projector '{value}'.{nearest(value, known)}")
        return value


class LoraTuning(Tuning, LoraOptions):
    """LoRA on the LLM (equation 8 of the survey), merged into it when the result runs."""


class SignalTuning(Tuning, RowOptions):
    """The rows of the signal tokens in the LLM's embedding and head, and no others."""


class LlmTuning(Tuning):
    """All weights of the LLM."""


NOT_TEXT = [name for name in MODALITIES if name != "text"]
TUNINGS: dict[str, type[Tuning]] = {
    **{f"input_projectors.{modality}": ProjectorTuning for modality in NOT_TEXT},
    "llm": LlmTuning,
    "llm.lora": LoraTuning,
    "llm.signals": SignalTuning,
    **{f"output_projectors.{modality}": ProjectorTuning for modality in NOT_TEXT},
}
