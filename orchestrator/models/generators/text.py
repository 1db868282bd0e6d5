"""tau_X: captions -> conditions, by each pipeline's own text encoders. Rows have batch size 1: [1, L, d], masks [1, L],
single vectors [1, 1, d]."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from orchestrator.models.generators.family import Encode

if TYPE_CHECKING:
    from torch import Tensor

T5 = ("prompt_embeds", "attention_mask")


def states(*names: str, vectors: Sequence[str] = (), **options: Any) -> Encode:
    """What a pipeline's `encode_prompt` gives, under these names, in its order ("": no part of a condition). An option
    that can be called is asked of the pipeline."""

    def encode(pipe: Any, captions: Sequence[str]) -> list[dict[str, Tensor]]:
        chosen = {name: option(pipe) if callable(option) else option for name, option in options.items()}
        made = dict(zip(names, pipe.encode_prompt(list(captions), **chosen), strict=False))
        return [{name: _row(made[name], i, name in vectors) for name in names if name} for i in range(len(captions))]

    return encode


def t5(pipe: Any, captions: Sequence[str]) -> list[dict[str, Tensor]]:
    """The states of T5, padded to the tokenizer's length: StableAudio's condition before its projection."""
    words = pipe.tokenizer
    told = {"padding": "max_length", "max_length": words.model_max_length, "truncation": True}
    tokens = words(list(captions), return_tensors="pt", **told).to(pipe._execution_device)
    made = pipe.text_encoder(tokens.input_ids, attention_mask=tokens.attention_mask)[0]
    return [
        {"prompt_embeds": _row(made, i), "attention_mask": _row(tokens.attention_mask, i)} for i in range(len(captions))
    ]


def t5_and_gpt2(pipe: Any, captions: Sequence[str]) -> list[dict[str, Tensor]]:
    """One by one: what GPT-2 writes after padded captions depends on how far they are padded."""
    names = (*T5, "generated_prompt_embeds")
    each = {c: pipe.encode_prompt([c], pipe._execution_device, 1, False) for c in dict.fromkeys(captions)}
    return [dict(zip(names, each[caption], strict=True)) for caption in captions]


def _row(made: Tensor, index: int, vector: bool = False) -> Tensor:
    return made[index : index + 1, None] if vector else made[index : index + 1]
