"""Where models run, and in which precision."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

from orchestrator.errors import UserError
from orchestrator.models.placement.placing import Device

if TYPE_CHECKING:
    import torch

BFLOAT16 = (8, 0)  # the compute capability from which a GPU has it (Ampere)


def dtype_for(device: str) -> torch.dtype:
    """Half precision where the device is made for it."""
    import torch

    return torch.float32 if device == "cpu" else torch.float16


def resolve_device(device: str) -> str:
    """`auto` is the GPU where there is one. Raises UserError for a device that is not there."""
    import torch

    known = {"cpu": "cpu"} | {f"cuda:{i}": f"cuda:{i}" for i in range(torch.cuda.device_count())}
    known |= {"cuda": "cuda:0", "auto": "cuda:0"} if torch.cuda.is_available() else {"auto": "cpu"}
    if device not in known:
        raise UserError(f"no device '{device}' on this machine; there are: {', '.join(known)}")
    return known[device]


def machine() -> list[Device]:
    """The devices of this machine, GPUs first, and what is free on each now. Loads torch only where it has a GPU's."""
    import psutil  # type: ignore[import-untyped]

    host = Device("cpu", psutil.virtual_memory().available)
    if version("torch").endswith("+cpu"):
        return [host]
    import torch

    gpus = [
        Device(f"cuda:{i}", torch.cuda.mem_get_info(i)[0], torch.cuda.get_device_capability(i) >= BFLOAT16)
        for i in range(torch.cuda.device_count())
    ]
    return [*gpus, host]


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that a device has too little memory."""
    import torch

    told = isinstance(error, RuntimeError) and "can't allocate memory" in str(error)  # torch's, of the CPU
    return told or isinstance(error, (torch.OutOfMemoryError, MemoryError))
