"""Parts that wait in host memory and are on a GPU only while they run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from torch import nn

if TYPE_CHECKING:
    from torch import Tensor

    from orchestrator.models.placement.memory import Spot

WHOLE = ["MultiheadAttention"]  # they read weights of layers within them without calling these


def attach(part: Any, spot: Spot) -> None:
    """Prepare a part that was loaded on the CPU for its spot, once. The results do not change."""
    if spot.offload == "sequential":
        for module in modules(part):
            stream(module, spot.device)
    elif spot.offload == "model" and hasattr(part, "pipe"):
        part.pipe.enable_model_cpu_offload(device=spot.device)


@contextmanager
def present(part: Any, spot: Spot) -> Iterator[None]:
    """While a node uses the part: a model that is offloaded as a whole is on its device. A pipeline sees to its models
    by itself."""
    here = spot.offload == "model" and not hasattr(part, "pipe")
    kept = [(tensor, tensor.data) for module in modules(part) for tensor in _tensors(module)] if here else []
    try:
        for tensor, host in kept:
            tensor.data = _to(host, spot.device)
        yield
    finally:
        for tensor, host in kept:  # they are frozen: nothing is copied back
            tensor.data = host


def modules(part: Any) -> list[nn.Module]:
    """The modules of a part: itself (a projector), its model (LLM, encoder), or the models of its pipeline."""
    if isinstance(part, nn.Module):
        return [part]
    found = part.pipe.components.values() if hasattr(part, "pipe") else [part.model]
    return [module for module in found if isinstance(module, nn.Module)]


def stream(module: nn.Module, device: str) -> None:
    """Keep the blocks of a model (its lists of layers) in host memory, each layer copied to the device for its forward;
    everything else is there for good."""
    from accelerate import cpu_offload

    blocks = [block for child in _lists(module) for block in child]
    within = {id(inner) for block in blocks for inner in block.modules()}
    for block in blocks:
        cpu_offload(block, execution_device=device, offload_buffers=True, preload_module_classes=WHOLE)
    for inner in module.modules():
        if id(inner) not in within:
            inner._apply(partial(_to, device=device), recurse=False)


def _lists(module: nn.Module) -> Iterator[nn.ModuleList]:
    """The outermost lists of layers."""
    for child in module.children():
        if isinstance(child, nn.ModuleList):
            yield child
        else:
            yield from _lists(child)


def _to(tensor: Tensor, device: str) -> Tensor:
    return tensor.to(device)


def _tensors(module: nn.Module) -> Iterator[Tensor]:
    yield from module.parameters()
    yield from module.buffers()
