"""Requests in other words: rare words give way to words like them, so that no sentence is known by one word alone.

What a request is about, and what it asks for, stays: the words of the grammar, of the answer, and frequent ones.
"""

from __future__ import annotations

import itertools
import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from recipes.pocket import steps, wordings, world
from recipes.pocket.corpus import Turn
from recipes.pocket.sources import vocabulary
from recipes.pocket.vectors import Vectors, vectors
from recipes.pocket.world import article

WORD = re.compile(r"[a-z]+", re.IGNORECASE)
DRAWN = 20_000  # dialogues in which words are counted
FREQUENT = 300  # words that are never replaced
NEIGHBOURS, LEAST = 8, 0.55  # words that may stand for another, and the smallest cosine to it
SHARE, RATE = 0.6, 0.25  # of the dialogues in other words, and of their rare words replaced
LOOKS, PLAIN = 0.25, 12_000  # the share of turns about a thing that say how it looks, and the frequent words for that


def words_of(found: Any) -> Iterator[str]:
    """All words of the keys and values of nested tables, in lower case."""
    if isinstance(found, str):
        yield from (word.lower() for word in WORD.findall(found))
    elif isinstance(found, Iterable):
        for part in itertools.chain.from_iterable(found.items()) if isinstance(found, Mapping) else found:
            yield from words_of(part)


def counted(vocabulary: Sequence[str]) -> Counter[str]:
    """How often each word stands in requests."""
    rng, found = random.Random(0), Counter[str]()
    for _ in range(DRAWN):
        for turn in steps.mixed(vocabulary, rng):
            found.update(word for part in turn.request if isinstance(part, str) for word in words_of(part))
    return found


def kept() -> set[str]:
    """The words of the grammar: they say what is wanted, and of what."""
    return set(words_of((
        wordings.NOUNS, wordings.SHOWN, wordings.SENSES, wordings.VERBS_OF, wordings.VERBS, wordings.SOUND_WORDS,
        wordings.COUNTS, wordings.IMPERATIVES, wordings.PASSED_OVER, world.CONCEPTS, world.GROUNDS, world.PLACES,
        world.SIZES, world.MOTIONS, world.PITCHES, world.LOUDNESSES, world.RHYTHMS,
    )))  # fmt: skip


@dataclass(frozen=True)
class Paraphrases:
    """Words, and those that may stand in their place, the likeliest first."""

    others: dict[str, list[str]]
    looks: tuple[str, ...] = ()  # any words at all: before a thing they are passed over

    @classmethod
    def read(cls, cache: Path) -> Paraphrases:
        """Those of the corpus, by the vectors in the cache."""
        return cls.of(vectors(cache), counted(vocabulary(cache)))

    @classmethod
    def of(cls, known: Vectors, counts: Counter[str]) -> Paraphrases:
        """Words that are neither frequent nor of the grammar, by others of that kind in `known`."""
        fixed = kept() | {word for word, _ in counts.most_common(FREQUENT)}
        free = known.only([word for word in known.words if word not in fixed])
        there = set(free.words)
        todo = [word for word in counts if word in there]
        near = free.near(todo, NEIGHBOURS, LEAST)
        others = {word: [other for other, _ in pairs] for word, pairs in zip(todo, near, strict=True) if pairs}
        return cls(others, tuple(word for word in known.words[:PLAIN] if word not in fixed and len(word) > 3))

    def dialogue(self, turns: Sequence[Turn], rng: random.Random) -> list[Turn]:
        """The same dialogue, at times in other words."""
        return [self.turn(turn, rng) for turn in turns] if rng.random() < SHARE else list(turns)

    def turn(self, turn: Turn, rng: random.Random) -> Turn:
        """The same turn, its request in other words, and what it is about with a look that the answer does not tell."""
        fixed, about = set(words_of(turn.answer)), turn.about
        look = rng.choice(self.looks) if self.looks and about and rng.random() < LOOKS else ""

        def other(found: re.Match[str]) -> str:
            word = found[0].lower()
            choices = [] if word in fixed else self.others.get(word, [])
            return rng.choice(choices) if choices and rng.random() < RATE else found[0]

        def said(text: str) -> str:
            text = WORD.sub(other, text)
            return _looking(text, about.concept, look) if about and look else text

        return replace(turn, request=tuple(said(part) if isinstance(part, str) else part for part in turn.request))


def _looking(text: str, name: str, look: str) -> str:
    """`an owl on pink` -> `a grumpy owl on pink`."""
    found = re.compile(rf"\b(an? )?{name}\b", re.IGNORECASE)
    return found.sub(lambda m: f"{article(look) + ' ' if m[1] else ''}{look} {name}", text, count=1)


AS_IS = Paraphrases({})
