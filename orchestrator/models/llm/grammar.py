"""The grammar of signals: a logits processor that makes malformed ones impossible.

After the first token of a signal the rest is forced; modalities that are not allowed are masked; a signal that would
not fit into the remaining budget is not begun; one that is required comes before the reply may end.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import torch
from transformers import LogitsProcessor

from orchestrator.models.llm.signals import SignalTokens

if TYPE_CHECKING:
    from torch import Tensor

NEVER = float("-inf")


class SignalGrammar(LogitsProcessor):
    """Masks scores [B, vocabulary] given the new tokens so far, `input_ids` [B, n] (empty at first: the prompt is
    given as embeddings). `budget` is the most new tokens; `ends` are the ids that end a reply."""

    def __init__(
        self, signals: SignalTokens, allowed: Collection[str], required: Sequence[str], ends: Sequence[int], budget: int
    ) -> None:
        self.signals, self.allowed, self.required = signals, {*allowed, *required}, tuple(dict.fromkeys(required))
        self.ends, self.budget = list(ends), budget
        self.all_ids = list(signals.where)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        rows = [self._row(ids, row) for ids, row in zip(input_ids.tolist(), scores, strict=True)]
        return torch.stack(rows)

    def _row(self, ids: list[int], scores: Tensor) -> Tensor:
        forced = self._inside(ids)
        if forced is not None:
            return _only(scores, forced)
        left = self.budget - len(ids)
        missing, needed = self._missing(ids, left)
        if missing and left <= needed:  # the budget is about to run out
            return _only(scores, self.signals.ids[missing[0]][0])
        out = scores.clone()
        out[self.all_ids] = NEVER
        for modality in self.allowed:
            first, count = self.signals.ids[modality][0], len(self.signals.ids[modality])
            if left >= count + needed:
                out[first] = scores[first]
        if missing:  # where the reply would end, the missing signal begins
            first = self.signals.ids[missing[0]][0]
            out[first] = torch.maximum(scores[first], scores[self.ends].max())
            out[self.ends] = NEVER
        return out

    def _missing(self, ids: list[int], left: int) -> tuple[list[str], int]:
        """The required signals that are still to come and for which there is room, and their tokens in all."""
        made = {modality for modality, _, _ in self.signals.runs(ids)}
        missing, needed = [], 0
        for modality in self.required:
            count = len(self.signals.ids[modality])
            if modality not in made and needed + count <= left:
                missing.append(modality)
                needed += count
        return missing, needed

    def _inside(self, ids: list[int]) -> int | None:
        """The next token of an unfinished signal, or None."""
        modality, index = self.signals.where.get(ids[-1], ("", -1)) if ids else ("", -1)
        run = self.signals.ids.get(modality, ())
        return run[index + 1] if 0 <= index < len(run) - 1 else None


def _only(scores: Tensor, token: int) -> Tensor:
    out = torch.full_like(scores, NEVER)
    out[token] = 0.0
    return out
