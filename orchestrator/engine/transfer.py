"""Values of ports between devices: a node gets its inputs where its parts are, and in their precision."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch

from orchestrator.models.placement.memory import Spot


def moved(value: Any, spot: Spot) -> Any:
    """A value with its tensors on the device of a spot, those of floating numbers in its precision. What is there
    already is not copied."""
    if isinstance(value, torch.Tensor):
        return value.to(spot.device, getattr(torch, spot.dtype) if value.is_floating_point() else value.dtype)
    if isinstance(value, tuple):
        return tuple(moved(item, spot) for item in value)
    if isinstance(value, dict):
        return {name: moved(item, spot) for name, item in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{f.name: moved(getattr(value, f.name), spot) for f in fields(value) if f.init})
    return value
