"""Dialogues of the corpus: requests about media, what follows from them, and talk."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from recipes.pocket import corpus, wordings
from recipes.pocket.corpus import Shown, Thing, Turn, ended, request_for, request_of, seen_as
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
HEARD = 0.85  # of the wishes to hear what has no sound are not uttered: who asks for a sound mostly knows of one


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


def make_of(about: Thing, subject: str, rng: random.Random, given: str = "") -> tuple[str, Turn]:
    """A request to make something of a thing that is shown (as `given`) or was spoken of, and the turn that answers."""
    wanted: tuple[str, ...] = (rng.choice(MODALITIES),)
    if rng.random() < 0.15 and about.concept in SOUNDS:
        wanted = corpus.several(rng)
    elif wanted[0] == given and rng.random() < 0.7:
        wanted = (rng.choice([m for m in MODALITIES if m != given]),)
    if wanted == ("audio",) and about.concept not in SOUNDS and rng.random() < HEARD:
        wanted = (rng.choice(("image", "video")),)
    form = "video" if "video" in wanted else wanted[0]
    target = seen_as(about, form)
    text = request_of(wanted, given, subject, rng) if given else request_for(wanted, subject, rng)
    if target is None:
        return text, Turn((), wordings.SILENT, (), about)
    if len(wanted) == 1 and rng.random() < {"image": 0.2, "audio": 0.35, "video": 0.5}[form]:
        more, target = altered(target, form, rng)
        if form == "video" and isinstance(target, Scene) and rng.random() < 0.3:
            verb = rng.choice([v for v in wordings.VERBS[target.motion] if not v.split(" ")[0].endswith(("ing", "s"))])
            text = rng.choice(wordings.MOVE).format(d=subject, v=verb)
        else:
            text = f"{wordings.VERBS_OF[form][0]} {subject}{more}"
        return text, Turn((), target.caption(), wanted, target)
    return text, Turn((), target.caption(), wanted, target)


def make_shown(rng: random.Random) -> Turn:
    """A medium, and what is to be made of it, at times described first."""
    given = rng.choice(MODALITIES)
    what = corpus.thing(rng, given)
    subject = rng.choice(SHOWN[given])
    first = rng.random() < 0.2
    text, turn = make_of(what, "it", rng) if first else make_of(what, subject, rng, given)
    if first and turn.makes and not text.endswith("?"):
        text = rng.choice(wordings.FIRST).format(d=subject, r=text)
    return replace(turn, request=ordered(Shown(given, what), ended(text, rng), rng))


def describe_shown(rng: random.Random) -> Turn:
    """A medium is to be named, at times with "no film, please", or it is asked whether it is a certain thing."""
    given = rng.choice(MODALITIES)
    what = corpus.thing(rng, given)
    kind, answer = rng.random(), what.caption()
    if kind < 0.7:
        text = rng.choice((*wordings.DESCRIBE, *wordings.DESCRIBE_OF[given], *wordings.DESCRIBE_OF[given], ""))
    elif kind < 0.9:
        text = rng.choice(wordings.ONLY_WORDS if kind < 0.8 else wordings.KIND)
    else:
        guess = what.concept if rng.random() < 0.5 else rng.choice(list(CONCEPTS))
        text = rng.choice(wordings.YES_NO).replace("{a}", f"{article(guess)} {guess}").replace("{c}", guess)
        answer = f"{'yes' if guess == what.concept else 'no'}, {answer}"
    return Turn(ordered(Shown(given, what), placed(text, given, what, rng), rng), answer, (), what)


def placed(text: str, given: str, what: Thing, rng: random.Random) -> str:
    """A question with the noun of the medium and the name of the thing in their places."""
    return text.format(n=rng.choice(NOUNS[given]), c=what.concept)


def ask(rng: random.Random) -> Turn:
    """A question about one attribute of a medium."""
    given = rng.choice(MODALITIES)
    what = corpus.thing(rng, given)
    if isinstance(what, Sound):
        answers = {"loudness": what.loudness, "rhythm": wordings.COUNTS[what.rhythm]}
        answers |= {} if what.concept in TONELESS else {"pitch": what.pitch}
    else:
        place = "in the center" if what.place == "center" else f"at the {what.place}"
        answers = {"ground": what.ground, "place": place, "size": what.size}
        answers |= {"motion": MOTIONS[what.motion] or "still"} if given == "video" else {}
    name = rng.choice(list(answers))
    text = placed(rng.choice(wordings.ASK[name]), given, what, rng)
    return Turn(ordered(Shown(given, what), text, rng), answers[name], (), what)


def ordered(shown: Shown, text: str, rng: random.Random) -> tuple[str | Shown, ...]:
    """The medium first (mostly) or the text first; no text at all when it is empty."""
    if not text:
        return (shown,)
    return (text, shown) if rng.random() < 0.25 else (shown, text)


def chat(vocabulary: Sequence[str], rng: random.Random) -> Turn:
    """Talk: what is not known, what is not shown, what makes no sound, and what has an answer of its own."""
    kind = rng.random()
    if kind < 0.3:
        question = rng.choice(wordings.QUESTIONS)
        while "{w}" in question:
            question = question.replace("{w}", corpus.words(vocabulary, rng, 1, 3), 1)
        return Turn((question,), wordings.UNKNOWN)
    if kind < 0.5:
        remark = f"{corpus.chatter(rng)}." if kind < 0.37 else rng.choice(wordings.REMARKS)
        return Turn((remark,), wordings.UNKNOWN)
    if kind < 0.65:
        modality = rng.choice(MODALITIES)
        asked = rng.choice(("Describe it.", "What is this?", request_of((modality,), modality, "it", rng)))
        return Turn((ended(asked, rng),), wordings.NOTHING)
    if kind < 0.75:
        mute = Scene(rng.choice([c for c in CONCEPTS if c not in SOUNDS]))
        return Turn((ended(request_for(("audio",), mute.caption(), rng), rng),), wordings.SILENT, (), mute)
    answer = rng.choice(list(wordings.CHAT))
    return Turn((rng.choice(wordings.CHAT[answer]),), answer)


def follow(about: Thing, rng: random.Random) -> Turn:
    """What somebody says next about the thing at hand."""
    kind = rng.random()
    if kind < 0.12:
        return Turn((rng.choice(wordings.CHAT[wordings.THANKED]),), wordings.THANKED, (), about)
    if kind < 0.22:
        return Turn((rng.choice(wordings.AGAIN),), about.caption(), (), about)
    text, turn = make_of(about, rng.choice(("it", "it", "this", "that")), rng)
    return replace(turn, request=(ended(text, rng),))


def first(vocabulary: Sequence[str], rng: random.Random) -> Turn:
    """The first turn of a dialogue; an eighth only copies."""
    kinds = ("copy", "make text", "make shown", "describe", "ask", "chat")
    kind = rng.choices(kinds, (12, 28, 24, 18, 8, 10))[0]
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
