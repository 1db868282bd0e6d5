"""What an LLM has read, with its keys and values: a dialogue that begins with it is read on from there.

Everything goes into the LLM as embeddings, so two beginnings are the same if these are, words and soft prompts alike.
n tokens, d the LLM's width.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import torch
from transformers.cache_utils import Cache

if TYPE_CHECKING:
    from torch import Tensor


class Past:
    """The last sequence that an LLM read, for somebody who has a dialogue with it; one thread at a time.

    It holds one sequence, so never more than the LLM's context. `read` counts the positions that were fed since it was
    made, `found` those that were here already.
    """

    def __init__(self) -> None:
        self.read = self.found = 0
        self._taken = 0
        self.forget()

    def forget(self) -> None:
        """Hold nothing."""
        self._model: weakref.ref[Any] | None = None
        self._embeds: Tensor | None = None
        self._cache: Any = None

    def __len__(self) -> int:
        return 0 if self._embeds is None else len(self._embeds)

    def take(self, model: Any, whole: Tensor, most: int) -> Any:
        """The cache of as much of a sequence's beginning as is here, at most of `most` of its positions [n, d]; None if
        there is none. Who takes it changes it, so it is not here until it is given back by `keep`."""
        cache, embeds = self._cache, self._embeds
        mine = self._model is not None and self._model() is model
        self.forget()
        self._taken = 0
        if cache is None or embeds is None or not mine or embeds.device != whole.device:
            return None
        same = _alike(embeds, whole[:most])
        if same == 0 or (same < len(embeds) and not _can_be_cut(cache)):
            return None
        if same < len(embeds):
            cache.crop(same - len(embeds))  # a negative number: so many are taken away
        self.found += same
        self._taken = same
        return cache

    def keep(self, model: Any, whole: Tensor, cache: Any) -> None:
        """Hold what was read: the embeddings [n, d] and the cache that came of them, if it is one of all of them."""
        self.read += len(whole) - self._taken
        if isinstance(cache, Cache) and cache.get_seq_length() == len(whole):
            self._model, self._embeds, self._cache = weakref.ref(model), whole.detach(), cache


def _alike(one: Tensor, other: Tensor) -> int:
    """At how many positions from the first on two sequences [n, d] are the same."""
    length = min(len(one), len(other))
    same = (one[:length] == other[:length]).all(-1)
    return int(same.long().cumprod(0).sum())


def _can_be_cut(cache: Cache) -> bool:
    """Whether the last positions can be taken away: a recurrent state, or a full window, has lost what was before."""
    windows = [layer for layer in cache.layers if getattr(layer, "is_sliding", False)]
    return bool(cache.is_croppable) and all(layer.get_seq_length() < layer.sliding_window for layer in windows)


def read_on(model: Any, whole: Tensor, at: int, past: Past) -> Tensor:
    """The last layer's hidden states [n - at, d] of a sequence [n, d] from position `at` on; of what is before that,
    only what is not in the past is read."""
    cache = past.take(model, whole, at)
    begin = 0 if cache is None else cache.get_seq_length()
    kept = {} if cache is None else {"past_key_values": cache}
    mask = torch.ones(1, len(whole), dtype=torch.long, device=whole.device)
    made = model.get_decoder()(inputs_embeds=whole[None, begin:], attention_mask=mask, use_cache=True, **kept)
    past.keep(model, whole, getattr(made, "past_key_values", None))
    states: Tensor = made.last_hidden_state[0, at - begin :]
    return states
