"""The objectives by name, as in the survey (arXiv 2401.13601), each owned by the stage that computes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from orchestrator.models.llm import learning


class Options(BaseModel):
    """Base of the objectives' options. A bare number in a recipe is the weight."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    weight: float = Field(1.0, gt=0, description="what its mean is multiplied by")


class MseOptions(Options):
    """Options of equation 4."""

    distance: Literal["mse", "l2", "relative"] = Field(
        "mse", description="l2: mean over positions of the norm (GILL, NExT-GPT); relative: of its square over tau's"
    )


class XGenOptions(Options):
    """Options of equation 5."""

    snr_gamma: float | None = Field(5.0, gt=0, description="min-SNR weights, null: none; not used by flow matching")
    drop: float = Field(0.1, ge=0, lt=1, description="share of signals that give no condition, for guidance")


class DpoOptions(Options, learning.DpoOptions):
    """Options of preference tuning (arXiv 2305.18290)."""


@dataclass(frozen=True)
class Objective:
    """An objective: the stage that owns it, its options, and what it is."""

    stage: str
    options: type[Options]
    doc: str


OBJECTIVES: dict[str, Objective] = {
    "txt_gen": Objective("reason", Options, "L_txt-gen, equation 2: cross-entropy of what the assistant says"),
    "mse": Objective("output_project", MseOptions, "L_mse(H_X, tau_X(t)), equation 4: needs captions only"),
    "x_gen": Objective("generate", XGenOptions, "L_X-gen, equation 5: denoising under H_X by the frozen generator"),
    "dpo": Objective("reason", DpoOptions, "preference of one last turn over another, over a multimodal prefix"),
    "itc": Objective("project", Options, "Q-Former: features and text are told apart in a batch (BLIP-2)"),
    "itm": Objective("project", Options, "Q-Former: whether features and text belong together (BLIP-2)"),
    "itg": Objective("project", Options, "Q-Former: the text is written from what the queries took (BLIP-2)"),
}
