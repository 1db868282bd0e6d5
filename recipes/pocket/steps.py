"""Requests that an agent answers in steps: what the first has made is shown before the second, and then named.

What an agent tells of its calls is `Turn`s like any other: what was made, and the line that names it.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from recipes.pocket import corpus, dialogues, wordings
from recipes.pocket.corpus import Shown, Thing, Turn, ended, request_for, seen_as
from recipes.pocket.wordings import MODALITIES, NOUNS
from recipes.pocket.world import SOUNDS, Sound


def observed(made: Sequence[tuple[str, Thing]], number: int) -> tuple[str | Shown, ...]:
    """What an agent tells of the calls of its turn `number`, as `orchestrator.nodes.speech` words it."""
    lines = (f"{modality}: {modality} <resource-{number}-{i}>" for i, (modality, _) in enumerate(made, start=1))
    return (*(Shown(modality, what) for modality, what in made), "\n".join(lines))


def failed(modality: str, vocabulary: Sequence[str], rng: random.Random) -> Turn:
    """A call that failed, and what is to be said then."""
    return Turn((f"{modality} failed: {corpus.words(vocabulary, rng, 1, 8)}",), wordings.FAILED)


def once(turn: Turn, vocabulary: Sequence[str], rng: random.Random) -> list[Turn]:
    """A turn, what it has made, and the answer."""
    made = [(modality, form) for modality in turn.makes if turn.about and (form := seen_as(turn.about, modality))]
    if not made or len(made) < len(turn.makes):
        return [turn]
    if rng.random() < 0.06:
        return [turn, failed(made[0][0], vocabulary, rng)]
    return [turn, Turn(observed(made, 1), turn.answer)]


def subject(modality: str, rng: random.Random) -> str:
    """A request to make something of what was just made."""
    if rng.random() < 0.4:
        return rng.choice(wordings.OF_IT[modality])
    return request_for((modality,), rng.choice(("it", "it", "that", "this")), rng)


def twice(rng: random.Random) -> list[Turn]:
    """Two media, one after the other, of a description or of what was shown."""
    first, second = rng.sample(MODALITIES, 2)
    what = corpus.thing(rng, first)
    if "audio" in (first, second) and what.concept not in SOUNDS:
        what = replace(what, concept=rng.choice(list(SOUNDS)))
    target, then = seen_as(what, first), seen_as(what, second)
    if target is None or then is None:
        raise ValueError(f"{what.concept} has no sound")
    opening = request_for((first,), corpus.describe(target, rng), rng)
    asked = _joined(opening, subject(second, rng), rng)
    return [
        Turn((ended(asked, rng),), target.caption(), (first,), target),
        Turn(observed([(first, target)], 1), then.caption(), (second,), then),
        Turn(observed([(second, then)], 2), then.caption(), (), then),
    ]


def made_then_told(rng: random.Random) -> list[Turn]:
    """Something is made, and then described."""
    modality = rng.choice(MODALITIES)
    what = corpus.thing(rng, modality)
    asked = _joined(request_for((modality,), corpus.describe(what, rng), rng), rng.choice(wordings.OF_MADE), rng)
    return [
        Turn((ended(asked, rng),), what.caption(), (modality,), what),
        Turn(observed([(modality, what)], 1), what.caption(), (), what),
    ]


def shown_then_made(vocabulary: Sequence[str], rng: random.Random) -> list[Turn]:
    """`What is in this video? Play its sound.`"""
    given, wanted = rng.sample(MODALITIES, 2)
    what = corpus.thing(rng, given)
    if wanted == "audio" and not isinstance(what, Sound) and rng.random() < 0.8:
        what = replace(what, concept=rng.choice(list(SOUNDS)))
    request = subject(wanted, rng)
    text = rng.choice(wordings.ASK_THEN).format(n=rng.choice(NOUNS[given]), r=request)
    asked = dialogues.ordered(Shown(given, what), ended(text, rng), rng)
    target = seen_as(what, wanted)
    if target is None:
        return [Turn(asked, wordings.SILENT, (), what)]
    return once(Turn(asked, target.caption(), (wanted,), target), vocabulary, rng)


def _joined(first: str, second: str, rng: random.Random) -> str:
    """Two requests as one; a question stays one."""
    if first.endswith("?"):
        return f"{first} {rng.choice(('', 'then ', 'and then '))}{second}"
    return rng.choice(wordings.STEPS).format(a=first, b=second)


def dialogue(vocabulary: Sequence[str], rng: random.Random) -> list[Turn]:
    """A request to an agent, its steps, and the answer."""
    kind = rng.choices(("once", "twice", "told", "shown"), (4, 5, 2, 4))[0]
    if kind == "once":
        return once(dialogues.first(vocabulary, rng), vocabulary, rng)
    if kind == "twice":
        return twice(rng)
    return made_then_told(rng) if kind == "told" else shown_then_made(vocabulary, rng)


def mixed(vocabulary: Sequence[str], rng: random.Random) -> list[Turn]:
    """What the language model reads: talk, and one dialogue in four that of an agent."""
    return dialogue(vocabulary, rng) if rng.random() < 0.25 else dialogues.dialogue(vocabulary, rng)
