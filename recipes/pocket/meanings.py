"""Embeddings that begin with what words mean: a map of their vectors, and a little of each token's own.

Words that few sentences have are moved with those that they are like. In the end the embeddings are a plain table.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from recipes.pocket.tokens import SPACE
from recipes.pocket.vectors import Vectors

OWN_SCALE, OWN_DECAY = 0.2, 2.0  # rate and decay of what a token has of its own


class Meanings(nn.Module):
    """A parametrization of embeddings [v, d]: what a token has of its own, plus a map of its vector [v, 100]."""

    known: Tensor

    def __init__(self, known: Tensor, width: int):
        super().__init__()
        self.register_buffer("known", known, persistent=False)
        self.map = nn.Linear(known.shape[1], width, bias=False)
        nn.init.normal_(self.map.weight, std=0.02)

    def forward(self, own: Tensor) -> Tensor:
        found: Tensor = own + self.map(self.known)
        return found


def begin(llm: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, known: Vectors) -> None:
    """Let the embeddings be learnt by what words mean. Words that have a vector start as that alone."""
    tokens = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    found = torch.from_numpy(known.of([token[1:] if token.startswith(SPACE) else "" for token in tokens]))
    table = llm.get_input_embeddings()
    with torch.no_grad():
        table.weight[found.any(1)] = 0
    parametrize.register_parametrization(table, "weight", Meanings(found, llm.config.hidden_size))


def groups(module: nn.Module, llm: LlamaForCausalLM) -> list[dict[str, Any]]:
    """AdamW's parameter groups of a module with the model in it: what each token has of its own is held small."""
    own = llm.get_input_embeddings().parametrizations.weight.original
    others = [p for p in module.parameters() if p is not own]
    return [{"params": others}, {"params": [own], "scale": OWN_SCALE, "weight_decay": OWN_DECAY}]


def end(llm: LlamaForCausalLM) -> None:
    """Make the embeddings plain again; the head's weight is theirs."""
    parametrize.remove_parametrizations(llm.get_input_embeddings(), "weight")
    llm.tie_weights()
