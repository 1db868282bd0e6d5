"""Dialogues of the corpus: requests about media, what follows from them, and talk."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from recipes.pocket import corpus, wordings
from recipes.pocket.corpus import Shown, Thing, Turn, ended, request_for, seen_as
from recipes.pocket.wordings import MODALITIES, NOUNS, SHOWN
from recipes.pocket.world import (
    CONCEPTS,
    GROUNDS,
    LOUDNESSES,
    MOTIONS,
    PITCHES,
    RHYTHMS,
    SOUNDS,
    TONELESS,
    Scene,
    Sound,
    article,
)

MOST_TURNS = 3


def altered(about: Thing, modality: str, rng: random.Random) -> tuple[str, Thing]:
    """A change that a request asks for in passing, and the thing so changed."""
    if isinstance(about, Sound):
        return _altered_sound(about, rng)
    if modality == "video":
        motion = rng.choice(list(MOTIONS)[1:])
        verb = rng.choice(wordings.VERBS[motion])
        first = verb.split(" ")[0]
        joint = (" ", ", ") if first.endswith("ing") else (" so that it ", ", and it ") if first.endswith("s") else ()
        text = rng.choice(joint) + verb if joint else f" and make it {verb}"
        return text, replace(about, motion=motion)
    ground = rng.choice([g for g in GROUNDS if not corpus.held_out(replace(about, ground=g))])
    return f" on {article(ground)} {ground} {rng.choice(('ground', 'background'))}", replace(about, ground=ground)


def _altered_sound(about: Sound, rng: random.Random) -> tuple[str, Sound]:
    tables = {"loudness": list(LOUDNESSES), "rhythm": list(RHYTHMS), "pitch": list(PITCHES)}
    name = rng.choice(("loudness", "rhythm") if about.concept in TONELESS else list(tables))
    value = rng.choice(tables[name][1:])
    said = rng.choice(wordings.SOUND_WORDS[value])
    joint = (", ", " ") if name == "rhythm" else (" ", ", ", ", but ")
    changed = {"pitch": about.pitch, "loudness": about.loudness, "rhythm": about.rhythm, name: value}
    return rng.choice(joint) + said, Sound(about.concept, **changed)


def make_of(about: Thing, subject: str, rng: random.Random, from_modality: str = "") -> tuple[str, Turn]:
    """A request to make something of a thing that was shown or spoken of, and the turn that answers it."""
    wanted: tuple[str, ...] = (rng.choice(MODALITIES),)
    if rng.random() < 0.15 and about.concept in SOUNDS:
        wanted = corpus.several(rng)
    elif wanted[0] == from_modality and rng.random() < 0.7:
        wanted = (rng.choice([m for m in MODALITIES if m != from_modality]),)
    form = "video" if "video" in wanted else wanted[0]
    target = seen_as(about, form)
    if target is None:
        return request_for(wanted, subject, rng), Turn((), wordings.SILENT, (), about)
    if len(wanted) == 1 and rng.random() < {"image": 0.2, "audio": 0.35, "video": 0.5}[form]:
        more, target = altered(target, form, rng)
        if form == "video" and isinstance(target, Scene) and rng.random() < 0.3:
            verb = rng.choice([v for v in wordings.VERBS[target.motion] if not v.split(" ")[0].endswith(("ing", "s"))])
            text = rng.choice(wordings.MOVE).format(d=subject, v=verb)
        else:
            text = f"{wordings.VERBS_OF[form][0]} {subject}{more}"
        return text, Turn((), target.caption(), wanted, target)
    return request_for(wanted, subject, rng), Turn((), target.caption(), wanted, target)


def make_shown(rng: random.Random) -> Turn:
    """A medium, and what is to be made of it, at times described first."""
    given = rng.choice(MODALITIES)
    what = corpus.thing(rng, given)
    subject = rng.choice(SHOWN[given])
    first = rng.random() < 0.2
    text, turn = make_of(what, "it" if first else subject, rng, given)
    if first and turn.makes and not text.endswith("?"):
        text = rng.choice(wordings.FIRST).format(d=subject, r=text)
    return replace(turn, request=ordered(Shown(given, what), ended(text, rng), rng))


def describe_shown(rng: random.Random) -> Turn:
    given = rng.choice(MODALITIES)
    what = corpus.thing(rng, given)
    text = rng.choice((*wordings.DESCRIBE, *wordings.DESCRIBE_OF[given], *wordings.DESCRIBE_OF[given], ""))
    return Turn(ordered(Shown(given, what), text.format(n=rng.choice(NOUNS[given])), rng), what.caption(), (), what)


def ask(rng: random.Random) -> Turn:
    """A question about one attribute of a medium."""
    given = rng.choice(MODALITIES)
    what = corpus.thing(rng, given)
    table: dict[str, tuple[str, ...]]
    if isinstance(what, Sound):
        table = {
            what.loudness: ("How loud is it?", "Is it loud or soft?", "Was that loud?"),
            wordings.COUNTS[what.rhythm]: (
                "How many notes are there?", "How many notes do you hear?", "Count the notes.",
            ),
        }  # fmt: skip
        if what.concept not in TONELESS:
            table[what.pitch] = ("How high is it?", "Is it high or low?", "What is the pitch?", "Is this low?")
    else:
        hue = rng.choice(("color", "colour"))
        table = {
            what.ground: (f"What {hue} is the ground?", f"Which {hue} is the background?", f"The {hue} of the ground?",
                          f"What {hue} is behind it?"),
            "in the center" if what.place == "center" else f"at the {what.place}": (
                "Where is it?", f"Where in the {rng.choice(NOUNS[given])} is it?", f"Where is the {what.concept}?",
                "On which side is it?", "In which part is it?",
            ),
            what.size: ("How large is it?", "What size is it?", "How big is it?"),
        }  # fmt: skip
        if given == "video":
            table[MOTIONS[what.motion] or "still"] = (
                "How does it move?",
                "What does it do?",
                "Which way does it move?",
            )
    answer = rng.choice(list(table))
    return Turn(ordered(Shown(given, what), rng.choice(table[answer]), rng), answer, (), what)


def ordered(shown: Shown, text: str, rng: random.Random) -> tuple[str | Shown, ...]:
    """The medium first (mostly) or the text first; no text at all when it is empty."""
    if not text:
        return (shown,)
    return (text, shown) if rng.random() < 0.25 else (shown, text)


def chat(vocabulary: Sequence[str], rng: random.Random) -> Turn:
    if rng.random() < 0.4:
        question = rng.choice(wordings.QUESTIONS)
        while "{w}" in question:
            question = question.replace("{w}", corpus.words(vocabulary, rng, 1, 3), 1)
        return Turn((question,), wordings.UNKNOWN)
    if rng.random() < 0.15:
        return Turn((f"{corpus.chatter(rng)}.",), wordings.UNKNOWN)
    if rng.random() < 0.25:
        asked = rng.choice((wordings.DESCRIBE[0], "What is this?", request_for((rng.choice(MODALITIES),), "it", rng)))
        return Turn((ended(asked, rng),), wordings.NOTHING)
    if rng.random() < 0.15:
        mute = Scene(rng.choice([c for c in CONCEPTS if c not in SOUNDS]))
        return Turn((ended(request_for(("audio",), mute.caption(), rng), rng),), wordings.SILENT, (), mute)
    answer = rng.choice(list(wordings.CHAT))
    return Turn((rng.choice(wordings.CHAT[answer]),), answer)


def follow(about: Thing, rng: random.Random) -> Turn:
    """What somebody says next about the thing at hand."""
    kind = rng.random()
    if kind < 0.12:
        answer = "you are welcome."
        return Turn((rng.choice(wordings.CHAT[answer]),), answer, (), about)
    if kind < 0.22:
        asked = rng.choice(("What is it?", "What was that?", "What is it again?", "Say it again.", "Describe it."))
        return Turn((asked,), about.caption(), (), about)
    text, turn = make_of(about, rng.choice(("it", "it", "this", "that")), rng)
    return replace(turn, request=(ended(text, rng),))


def first(vocabulary: Sequence[str], rng: random.Random) -> Turn:
    """The first turn of a dialogue; a sixth only copies."""
    kinds = ("copy", "make text", "make shown", "describe", "ask", "chat")
    kind = rng.choices(kinds, (16, 28, 24, 18, 6, 8))[0]
    if kind == "copy":
        text = corpus.words(vocabulary, rng, 2, 12)
        return Turn((rng.choice(wordings.COPY).format(d=text),), text)
    if kind == "make text":
        return corpus.make_text(vocabulary, rng)
    if kind == "chat":
        return chat(vocabulary, rng)
    return {"make shown": make_shown, "describe": describe_shown, "ask": ask}[kind](rng)


def dialogue(vocabulary: Sequence[str], rng: random.Random) -> list[Turn]:
    """One to three turns."""
    turns = [first(vocabulary, rng)]
    while len(turns) < MOST_TURNS and rng.random() < 0.35:
        about = turns[-1].about
        if about is None:
            break
        turns.append(follow(about, rng))
    return turns
