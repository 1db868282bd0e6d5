"""What a run will train and take, told before it starts."""

from __future__ import annotations

import resource
import sys
from dataclasses import dataclass

import torch

from orchestrator.models.placement.devices import dtype_for
from orchestrator.train.run.task import Task


@dataclass(frozen=True)
class Part:
    """A row of the table: a part with its parameters; `lr` is None for a frozen one."""

    name: str
    parameters: int
    lr: float | None = None


@dataclass(frozen=True)
class Memory:
    """Bytes on each device. `activations` are measured in the first step; None before."""

    weights: int
    gradients: int
    optimizer: int
    average: int = 0
    activations: int | None = None

    @property
    def total(self) -> int:
        """All of it, as far as it is known."""
        return self.weights + self.gradients + self.optimizer + self.average + (self.activations or 0)


def parts(task: Task) -> tuple[Part, ...]:
    """The table of what trains and what is frozen."""
    learning = [Part(g.name, sum(p.numel() for p in g.parameters), g.lr) for g in task.groups()]
    return (*learning, *(Part(name, count) for name, count in task.frozen().items()))


def memory(task: Task, averaged: bool, device: str) -> Memory:
    """What weights, gradients, AdamW's two moments and the average take. Not divided among processes."""
    training = sum(p.numel() * p.element_size() for g in task.groups() for p in g.parameters)
    frozen = sum(task.frozen().values()) * dtype_for(device).itemsize
    return Memory(training + frozen, training, 2 * training, training if averaged else 0)


def used(device: str) -> int:
    """The most bytes that were in use so far: on the device, or of this process on a CPU."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
