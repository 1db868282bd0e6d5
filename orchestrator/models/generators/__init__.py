"""Generators MG_X: diffusers pipelines behind one adapter, a row of a table for each family.

A condition is a dict of the pipeline's own keyword tensors with batch size 1, e.g. {"prompt_embeds": [1, L, d]} (a
single vector is [1, 1, d]): H_X from the output projector or tau_X(t) from the pipeline's text encoder, no difference
to the pipeline. What a condition lacks is the pipeline's own encoding of an empty caption.
"""

from __future__ import annotations

from orchestrator.models.generators.families import FAMILIES
from orchestrator.models.generators.family import ConditionTensors, Family, Step
from orchestrator.models.generators.generator import Generator, OnStep, Preview

__all__ = ["FAMILIES", "ConditionTensors", "Family", "Generator", "OnStep", "Preview", "Step"]
