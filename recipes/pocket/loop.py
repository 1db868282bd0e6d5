"""The training loop that all parts share: resumable, deterministic, with an average of the weights (EMA)."""

from __future__ import annotations

import dataclasses
import math
import os
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

Batch = TypeVar("Batch")
CHECKPOINT_SECONDS = 180


DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def autocast(device: str = "cpu") -> AbstractContextManager[None]:
    """bfloat16 on a GPU, and where the CPU multiplies it natively (about twice as fast), else plain float32."""
    return torch.autocast(device, torch.bfloat16, enabled=device != "cpu" or torch.cpu._is_avx512_bf16_supported())


def moved(data: Any) -> Any:
    """A batch on the device: a tensor, a tuple, or a dataclass of them."""
    if isinstance(data, tuple):
        return tuple(moved(part) for part in data)
    if dataclasses.is_dataclass(data) and not isinstance(data, type):
        return dataclasses.replace(data, **{f.name: moved(getattr(data, f.name)) for f in dataclasses.fields(data)})
    return data.to(DEVICE, non_blocking=True) if isinstance(data, Tensor) else data


def learning_rate(step: int, steps: int, warmup: int, decay: str) -> float:
    """The factor on the peak rate: linear warm-up, then `cosine`, `linear` or `constant` decay to 0."""
    if step < warmup:
        return (step + 1) / warmup
    left = (steps - step) / max(1, steps - warmup)
    return {"cosine": 0.5 - 0.5 * math.cos(math.pi * left), "linear": left, "constant": 1.0}[decay]


class Average:
    """An exponential moving average of every floating tensor of a module, buffers too."""

    def __init__(self, module: nn.Module, decay: float):
        self.decay, self.live = decay, self._tensors(module)
        self.mean = {k: v.clone() for k, v in self.live.items()}

    @staticmethod
    def _tensors(module: nn.Module) -> dict[str, Tensor]:
        return {k: v for k, v in module.state_dict().items() if v.is_floating_point()}

    def update(self, step: int) -> None:
        """Young averages forget faster, so that the random start leaves no trace."""
        weight = 1 - min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.mean.values()), list(self.live.values()), weight)

    def load_into(self, module: nn.Module) -> None:
        module.load_state_dict({**module.state_dict(), **self.mean})


def train(
    module: nn.Module,
    batch: Callable[[int], Batch],
    loss: Callable[[Batch], Tensor],
    *,
    steps: int,
    lr: float,
    path: Path,
    groups: Iterable[dict[str, Any]] | None = None,
    warmup: int = 100,
    decay: str = "cosine",
    ema: float = 0.999,
    weight_decay: float = 0.01,
    clip: float = 1.0,
    seed: int = 0,
    every: int = 50,
) -> None:
    """Train `module` for `steps` steps and leave the averaged weights in it, on the CPU.

    `batch(step)` is made on the CPU, and what `loss` takes is on the GPU if there is one. A batch must depend on the
    step alone, and the random state is set from the step, so that a resumed run is the same run. `path` names the
    checkpoint (`.ckpt`); a run that is over only loads it. `groups` are AdamW's parameter groups; a group's optional
    `scale` multiplies its rate.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    module.to(DEVICE)
    todo = [dict(g) for g in groups or [{"params": [p for p in module.parameters() if p.requires_grad]}]]
    scales = [g.pop("scale", 1.0) for g in todo]
    optimizer = torch.optim.AdamW(todo, lr=lr, betas=(0.9, 0.98), weight_decay=weight_decay, fused=True)
    average, done = Average(module, ema), 0
    if path.exists():
        saved = torch.load(path, weights_only=True, map_location=DEVICE)
        module.load_state_dict(saved["module"])
        optimizer.load_state_dict(saved["optimizer"])
        average.mean, done = saved["average"], saved["step"]

    def checkpoint(step: int) -> None:
        saved = {"module": module.state_dict(), "optimizer": optimizer.state_dict(), "average": average.mean}
        torch.save({**saved, "step": step}, path.with_suffix(".tmp"))
        os.replace(path.with_suffix(".tmp"), path)

    module.train()
    parameters = [p for g in optimizer.param_groups for p in g["params"]]
    total, count, tick, kept = 0.0, 0, time.monotonic(), time.monotonic()
    for step in range(done, steps):
        torch.manual_seed(seed * 1_000_003 + step)
        for group, scale in zip(optimizer.param_groups, scales, strict=True):
            group["lr"] = lr * scale * learning_rate(step, steps, warmup, decay)
        data = moved(batch(step))
        with autocast(DEVICE), torch.device(DEVICE):
            value = loss(data)
        value.backward()
        norm = nn.utils.clip_grad_norm_(parameters, clip)
        if norm.isfinite():
            optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        average.update(step)
        total, count = total + value.item(), count + 1
        if (step + 1) % every == 0 or step + 1 == steps:
            now = time.monotonic()
            speed = f"{count / (now - tick):.2f} steps/s"
            print(f"{path.stem} {step + 1}/{steps} loss {total / count:.4f} {speed}", flush=True)
            total, count, tick = 0.0, 0, now
        if time.monotonic() - kept > CHECKPOINT_SECONDS or step + 1 == steps:
            checkpoint(step + 1)
            kept = time.monotonic()
    average.load_into(module)
    module.to("cpu").eval()
