"""An adapter in a bundle, looked at without loading it: what it is and whether it fits the LLM."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.errors import BundleError
from orchestrator.models import facts, weights

if TYPE_CHECKING:
    from orchestrator.models.bundle import Bundle

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
TOKENS = "signal_tokens.json"  # name -> id of those that the tokenizer lacks
KINDS = ("LORA", "TRAINABLE_TOKENS")
BEFORE = "base_model.model."  # what PEFT puts before the LLM's own names
# suffix of a tensor -> (which of its sides, which side of the LLM's weight) are of one length
SIDES = {".lora_A.weight": (1, 1), ".lora_B.weight": (0, 0)}
ROWS = (".token_adapter.trainable_tokens_delta", ".trainable_tokens_delta")


def adapter_problems(bundle: Bundle) -> list[str]:
    """What does not fit of the adapters of a bundle's LLM: their kind, the LLM that they were trained for, shapes."""
    return [f"bundle '{bundle.name}': llm.adapter {told}" for f in bundle.adapters for told in _problems(bundle, f)]


def check_tokens(folder: Path, tokenizer: Any) -> None:
    """Raises BundleError if the rows of an adapter are of tokens that have other ids now: of an LLM whose tokenizer
    lacks them, the ids follow from the order of the bundle's signals."""
    saved = facts.read(folder / TOKENS) if (folder / TOKENS).is_file() else {}
    ids = {name: tokenizer.convert_tokens_to_ids(name) for name in saved}
    if moved := [name for name in saved if ids[name] != saved[name]]:
        raise BundleError(
            f"{folder} was trained with '{moved[0]}' as token {saved[moved[0]]}, which is {ids[moved[0]]} now; "
            "put the bundle's signals in the order in which they were trained"
        )


def _problems(bundle: Bundle, folder: Path) -> Iterator[str]:
    try:
        config = facts.read(folder / CONFIG)
        tensors = weights.tensors(folder / WEIGHTS)
    except (BundleError, OSError) as error:
        yield f"{folder} is no adapter: {error}"
        return
    kind, trained_for, has = config.get("peft_type"), config.get("base_model_name_or_path"), bundle.id("llm")
    if kind not in KINDS:
        yield f"{folder} is of the kind '{kind}'; known: {', '.join(KINDS)}"
    if trained_for and trained_for != has:
        yield f"{folder} was trained for the LLM '{trained_for}', the bundle has '{has}'"
    yield from _unfit(bundle, folder, tensors, bool(config.get("fan_in_fan_out")))


def _unfit(bundle: Bundle, folder: Path, tensors: dict[str, dict[str, Any]], turned: bool) -> Iterator[str]:
    """Tensors whose sides are not those of the LLM's weights, which GPT-2 has `turned`: [in, out]."""
    files = [file for file in bundle.weights("llm") if file.suffix == ".safetensors"]
    of_llm = {name: tensor["shape"] for file in files for name, tensor in weights.tensors(file).items()}
    width = facts.llm_dim(bundle.path("llm"))
    for name, tensor in tensors.items():
        base = name.removeprefix(BEFORE)
        for suffix, (side, of_weight) in SIDES.items():
            shape = of_llm.get(f"{base.removesuffix(suffix)}.weight") if base.endswith(suffix) else None
            of_layer = shape[of_weight ^ turned] if shape else None
            if of_layer and tensor["shape"][side] != of_layer:
                yield f"{folder}: '{base}' is for {tensor['shape'][side]}, the LLM's layer has {of_layer}"
        if base.endswith(ROWS) and tensor["shape"][-1] != width:
            yield f"{folder}: '{base}' is {tensor['shape'][-1]} wide, the LLM {width}"
