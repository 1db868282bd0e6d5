"""Batches for the language model: dialogues as token ids, and made-up soft tokens in the places of media.

The soft tokens of a medium are noisy mixtures of the embeddings of the words that it deserves. A projector trained
later, with the language model frozen (equation 2), only has to reach some point of that family.

Shapes: b dialogues, n tokens, m media in all, p soft tokens (of the longest kind of medium), a words of a thing,
r replies that make something, k signal tokens.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from recipes.pocket import steps
from recipes.pocket.corpus import Shown, Turn
from recipes.pocket.paraphrase import AS_IS, Paraphrases
from recipes.pocket.tokens import SIGNALS, SLOTS, asked, reply, signal_tokens
from recipes.pocket.world import CONCEPTS, MOTIONS, RHYTHMS, Sound

WORDS = 12  # most words (tokens) that a thing has
BUCKET = 4  # batches are cut from so many batches' dialogues, sorted by length
GRAIN = 16  # lengths of batches are multiples of it
QUIET = 0.05  # weight of the signal tokens after the first, which the grammar forces


def said(shown: Shown) -> list[tuple[str, bool]]:
    """The words that a medium deserves, its concept first, and whether each is a default."""
    what = shown.what
    if isinstance(what, Sound):
        rhythm = RHYTHMS[what.rhythm] or "one"
        return [(what.concept, False), (what.pitch, what.pitch == "middle"), (what.loudness, what.loudness == "medium"),
                (rhythm, what.rhythm == "one")]  # fmt: skip
    found = [(what.concept, False), (what.ground, what.ground == "white"), (what.place, what.place == "center"),
             (what.size, what.size == "large" or what.place != "center")]  # fmt: skip
    moves = MOTIONS[what.motion] or "still"
    return [*found, (moves, what.motion == "still")] if shown.modality == "video" else found


def soft_plan(shown: Shown, tokenizer: PreTrainedTokenizerFast, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Token ids of a medium's words [a] and their weights in each soft token [p, a].

    Defaults are said or not; every word said is strong in at least one soft token; at times a wrong concept mixes in.
    """
    slots = SLOTS[shown.modality]
    words = [word for word, default in said(shown) if not default or rng.random() < 0.5]
    rival = rng.choice(list(CONCEPTS)) if rng.random() < 0.3 else None
    groups = [tokenizer(w, add_special_tokens=False).input_ids for w in (*words, *([rival] if rival else []))]
    logits = rng.normal(size=(slots, len(groups))) * rng.uniform(0.2, 4)
    weights = np.exp(logits - logits.max(1, keepdims=True))
    weights /= weights.sum(1, keepdims=True)
    strong, columns = rng.integers(slots, size=len(groups)), np.arange(len(groups))
    weights[strong, columns] = np.maximum(weights[strong, columns], rng.uniform(0.4, 1, len(groups)))
    if rival:
        true, wrong = weights[:, 0], weights[:, -1]
        weights[:, -1] *= rng.uniform(0, 0.5) * min(true.max() / wrong.max(), true.sum() / wrong.sum())
    ids = np.concatenate(groups)[:WORDS]
    spread = np.concatenate([np.repeat(weights[:, i : i + 1], len(g), 1) for i, g in enumerate(groups)], 1)[:, :WORDS]
    rows, pad = max(SLOTS.values()) - slots, WORDS - len(ids)
    return torch.from_numpy(np.pad(ids, (0, pad))), torch.from_numpy(np.pad(spread, ((0, rows), (0, pad)))).float()


def _padded(rows: Sequence[Tensor]) -> Tensor:
    """Rows -> [b, n] of one of few lengths: each new shape costs a CPU kernels of its own, time and memory."""
    found = torch.nn.utils.rnn.pad_sequence([*rows], batch_first=True)
    return torch.nn.functional.pad(found, (0, -found.shape[1] % GRAIN))


@dataclass(frozen=True)
class Batch:
    """Right-padded dialogues."""

    ids: Tensor  # b n
    weight: Tensor  # b n: of each token as a target
    words: Tensor  # m a: ids of the words of a medium
    mix: Tensor  # m p a: their weights
    slots: Tensor  # m: how many soft tokens a medium has
    captions: Tensor  # all signal tokens in order: the caption's token that each is to hold


class Dialogues:
    """Deterministic batches: batch `step` depends on the step alone."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, words: Sequence[str], size: int, other: Paraphrases = AS_IS):
        self.tokenizer, self.words, self.size, self.other = tokenizer, words, size, other
        self.first = tokenizer.convert_tokens_to_ids(signal_tokens(next(iter(SIGNALS)))[0])
        self.starts = {tokenizer.convert_tokens_to_ids(signal_tokens(m)[0]) for m in SIGNALS}

    def batch(self, step: int) -> Batch:
        rng = random.Random(f"dialogues {step // BUCKET}")
        drawn = [self.other.dialogue(steps.mixed(self.words, rng), rng) for _ in range(BUCKET * self.size)]
        drawn.sort(key=lambda turns: sum(len(asked(t)) + len(reply(t)) for t in turns))
        part = step % BUCKET * self.size
        return self.collate(drawn[part : part + self.size], step)

    def collate(self, todo: Sequence[Sequence[Turn]], seed: int) -> Batch:
        """Only replies are targets."""
        rng = np.random.default_rng(seed)
        rows, weights, captions, plans, slots = [], [], [], [], []
        for turns in todo:
            row, weight = [self.tokenizer.bos_token_id], [0.0]
            for turn in turns:
                given, answer = self._ids(asked(turn)), self._ids(reply(turn))
                row += given + answer
                silent = [i >= self.first and i not in self.starts for i in answer]
                weight += [0.0] * len(given) + [QUIET if quiet else 1.0 for quiet in silent]
                caption = self._ids(turn.answer)
                for modality in turn.makes:
                    count = SIGNALS[modality][1]
                    captions += (caption + [self.tokenizer.pad_token_id] * count)[:count]
                for part in turn.request:
                    if isinstance(part, Shown):
                        plans.append(soft_plan(part, self.tokenizer, rng))
                        slots.append(SLOTS[part.modality])
            rows.append(torch.tensor(row))
            weights.append(torch.tensor(weight))
        none = (torch.zeros(0, WORDS, dtype=torch.long), torch.zeros(0, max(SLOTS.values()), WORDS))
        words, mix = (torch.stack(part) for part in zip(*plans, strict=True)) if plans else none
        return Batch(
            _padded(rows),
            _padded(weights),
            words,
            mix,
            torch.tensor(slots, dtype=torch.long),
            torch.tensor(captions, dtype=torch.long),
        )

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer(text, add_special_tokens=False).input_ids
        return ids
