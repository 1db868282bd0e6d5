"""Rows of the embedding and of the head for signal tokens that a checkpoint does not have.

Every loading gives the same rows: the mean of the old ones, so that a new token is as likely as a token is on average,
until an adapter brings rows that were trained. A saved LLM says in its config which of its rows are of signal tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from orchestrator.errors import BundleError

if TYPE_CHECKING:
    from torch import nn

ADDED = "signal_tokens"  # name -> id, in the config of an LLM whose tokenizer lacks them


def give_rows(model: Any, added: Mapping[str, int]) -> None:
    """Give tokens that were `added` to the tokenizer (name -> id) rows in the embedding and the head, tied or not.

    Spare rows of the checkpoint are used, and no row is taken away. Raises BundleError if the LLM was saved with these
    tokens under other ids.
    """
    saved = getattr(model.config, ADDED, None) or {}
    if moved := [name for name, token in added.items() if saved.get(name, token) != token]:
        was, now = saved[moved[0]], added[moved[0]]
        raise BundleError(
            f"{model.config.name_or_path}: '{moved[0]}' is token {was} of this LLM, but {now} in the order of the "
            "bundle's signals; put them in the order in which they were trained"
        )
    if new := [token for name, token in added.items() if name not in saved]:
        grown = _grow(model, max(new) + 1)
        for layer in (model.get_input_embeddings(), model.get_output_embeddings()):
            _start_at_the_mean(layer, sorted({*new, *grown}))
    if added:
        setattr(model.config, ADDED, {**saved, **added})


def _grow(model: Any, size: int) -> range:
    """Make that many rows, if there are less; returns the new ones."""
    before = len(model.get_input_embeddings().weight)
    if size > before:
        with torch.random.fork_rng():  # transformers draws the new rows
            model.resize_token_embeddings(size, mean_resizing=False)
    return range(before, size)


@torch.no_grad()
def _start_at_the_mean(layer: nn.Module, tokens: list[int]) -> None:
    for name, values in layer.named_parameters(recurse=False):  # weight, and of some heads a bias
        if name in ("weight", "bias"):
            values[tokens] = values[: tokens[0]].mean(0, dtype=torch.float32).to(values.dtype)
