"""The LLM's weights in 4 or 8 bits, by bitsandbytes."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from orchestrator.errors import BundleError

if TYPE_CHECKING:
    import torch

# NF4 with quantized scales is QLoRA's (arXiv 2305.14314)
CONFIGS: dict[str, Callable[[torch.dtype], dict[str, Any]]] = {
    "4bit": lambda dtype: {
        "load_in_4bit": True,
        "bnb_4bit_quant_type": "nf4",
        "bnb_4bit_use_double_quant": True,
        "bnb_4bit_compute_dtype": dtype,
    },
    "8bit": lambda dtype: {"load_in_8bit": True},
}


def options(how: str, device: str, dtype: torch.dtype) -> dict[str, Any]:
    """What `from_pretrained` takes to quantize while it loads onto `device`; nothing if `how` is ''.

    Raises BundleError, before anything is read, where it can't be: on a device without CUDA, without bitsandbytes.
    """
    if not how:
        return {}
    problems = []
    if not device.startswith("cuda"):
        problems.append(f"it needs a CUDA device, and the LLM is to run on {device}: name one, e.g. `--device cuda`")
    if find_spec("bitsandbytes") is None:
        problems.append("bitsandbytes is not installed: pip install bitsandbytes")
    if problems:
        raise BundleError("\n".join(f"llm: quantize: {how}: {told}, or leave quantize out" for told in problems))
    from transformers import BitsAndBytesConfig

    return {"quantization_config": BitsAndBytesConfig(**CONFIGS[how](dtype)), "device_map": {"": device}}
