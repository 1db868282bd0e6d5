"""The devices and processes of a run, through accelerate: one process, several (DDP), or weights in shards (FSDP2).

What `accelerate launch` (or torchrun) sets up is taken as it is; without it there is one process.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.state import AcceleratorState
from torch import Tensor, nn

from orchestrator.errors import UserError
from orchestrator.models.placement.devices import resolve_device
from orchestrator.train.run.settings import Precision

MODES = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Fleet:
    """Where a run takes place. Every process has one; what is reduced or gathered, all must reduce or gather."""

    def __init__(self, device: str = "auto", precision: Precision = "auto") -> None:
        found = resolve_device(device)
        if found != "cpu" and "LOCAL_RANK" not in os.environ:  # else each process takes the device of its rank
            os.environ["ACCELERATE_TORCH_DEVICE"] = found
        AcceleratorState._reset_state(reset_partial_state=True)  # one process may train several times
        sparse = DistributedDataParallelKwargs(find_unused_parameters=True)  # a batch may lack a modality
        self.precision = resolve(precision, found)
        self._accelerator = Accelerator(
            cpu=found == "cpu", mixed_precision=MODES[self.precision], kwargs_handlers=[sparse]
        )
        self.device = "cpu" if found == "cpu" else str(self._accelerator.device)
        self.rank: int = self._accelerator.process_index
        self.world: int = self._accelerator.num_processes
        self.sharded: bool = self._accelerator.is_fsdp2

    @property
    def main(self) -> bool:
        """Whether this is the process that writes and reports."""
        return self.rank == 0

    @property
    def dtype(self) -> torch.dtype:
        """Of frozen weights: as the run computes, but for a CPU, where operations without autocast need 32 bits."""
        return torch.float32 if self.device == "cpu" else DTYPES[self.precision]

    @property
    def scaler(self) -> Any:
        """The gradient scaler of fp16, or None."""
        return self._accelerator.scaler

    def prepare(self, module: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[nn.Module, Any]:
        """Both as they work here; the optimizer's parameters are those to use from now on."""
        module, wrapped = self._accelerator.prepare(module, optimizer)
        return module, wrapped if self.scaler else wrapped.optimizer  # the wrapper only scales, and is slow

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of a loss."""
        if self.scaler:
            self._accelerator.backward(loss)
        else:
            loss.backward()

    @contextmanager
    def accumulating(self, module: nn.Module, last: bool) -> Iterator[None]:
        """Around forward and backward of a micro-batch: gradients are exchanged in the last of a step."""
        if last or self.world == 1:
            yield
        else:
            with self._accelerator.no_sync(module):
                yield

    def clip(self, parameters: Iterable[nn.Parameter], limit: float | None) -> Tensor:
        """The norm of all gradients, which are clipped to `limit`."""
        norm: Tensor = self._accelerator.clip_grad_norm_(parameters, float("inf") if limit is None else limit)
        return norm

    def seed(self, number: int) -> None:
        """Set the random state of the CPU and of this process's device; torch.manual_seed is slow without a GPU."""
        torch.default_generator.manual_seed(number)
        if self.device != "cpu":
            torch.cuda.manual_seed(number)

    def total(self, numbers: Sequence[int]) -> list[int]:
        """Each number summed over the processes."""
        if self.world == 1:
            return list(numbers)
        summed = self._accelerator.reduce(torch.tensor(numbers, device=self.device), "sum")
        return [int(n) for n in summed.tolist()]

    def summed(self, values: Tensor) -> Tensor:
        """A tensor summed over the processes."""
        return values if self.world == 1 else self._accelerator.reduce(values, "sum")

    def wait(self) -> None:
        """Until all processes are here."""
        if self.world > 1:
            self._accelerator.wait_for_everyone()

    def close(self) -> None:
        """Let go of the processes' connection."""
        self._accelerator.end_training()


def whole(value: Tensor) -> Tensor:
    """The whole of what may be in parts in several processes."""
    gather = getattr(value, "full_tensor", None)
    return value if gather is None else gather()


def split(value: Any, like: Tensor) -> Any:
    """This process's part of a tensor that belongs to `like`, if that is in parts; anything else as it is."""
    if not (hasattr(like, "placements") and isinstance(value, Tensor) and value.shape == like.shape):
        return value
    from torch.distributed.tensor import distribute_tensor

    shards: Any = like
    return distribute_tensor(value.to(like.device), shards.device_mesh, shards.placements)


def resolve(precision: Precision, device: str) -> Precision:
    """What `auto` is on a device; and no fp16 where there is none."""
    if precision == "fp16" and device == "cpu":
        raise UserError("precision: fp16 needs a GPU, and this runs on the cpu; type auto, bf16 or fp32")
    if precision != "auto":
        return precision
    return "bf16" if _multiplies_bf16(device) else "fp32"


def _multiplies_bf16(device: str) -> bool:
    """Whether a device has instructions for it: without, bf16 is many times slower than fp32."""
    if device == "cpu":
        return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.cuda.get_device_capability(device) >= (8, 0)
