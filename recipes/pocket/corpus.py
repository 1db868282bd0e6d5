"""What the pocket language model reads: dialogues about things seen and heard, and what is to be made of them.

Everything is made from the grammar of `world`. The model learns to name what is shown, to bring a description into
the grammar, to ask for a picture, a sound or a film (signal tokens after the caption) exactly when one is asked for,
to follow what "it" is through several turns, and to copy words that it has never seen together.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from recipes.pocket import wordings
from recipes.pocket.wordings import MODALITIES, NOUNS
from recipes.pocket.world import CONCEPTS, GROUNDS, SOUNDS, Scene, Sound, article, sample, sample_sound

Thing = Scene | Sound


@dataclass(frozen=True)
class Shown:
    """A medium in a request: a picture or film of a scene, or a recording of a sound."""

    modality: str
    what: Thing


@dataclass(frozen=True)
class Turn:
    """A request, of texts and media, its answer, and the modalities that are made after it.

    `about` is what "it" means from now on; None if there is no such thing.
    """

    request: tuple[str | Shown, ...]
    answer: str
    makes: tuple[str, ...] = ()
    about: Thing | None = None


def held_out(scene: Scene) -> bool:
    """Concept and ground that never meet in training: a tenth of the pairs, for measuring."""
    pair = 7 * list(CONCEPTS).index(scene.concept) + 3 * list(GROUNDS).index(scene.ground)
    return scene.ground != "white" and pair % 10 == 0


def scene(rng: random.Random, moving: bool) -> Scene:
    """A scene that is not held out; attributes are said more often than in the world."""
    while True:
        found = sample(rng, moving=moving)
        if rng.random() < 0.3:
            found = replace(found, ground=rng.choice(list(GROUNDS)))
        if not held_out(found):
            return found


def sound(rng: random.Random) -> Sound:
    """A sound; half of them are plain."""
    found = sample_sound(rng)
    return Sound(found.concept) if rng.random() < 0.3 else found


def seen_as(about: Thing, modality: str) -> Thing | None:
    """A thing in another modality; None for the sound of what has none."""
    if modality == "audio":
        if isinstance(about, Sound):
            return about
        return Sound(about.concept) if about.concept in SOUNDS else None
    found = Scene(about.concept) if isinstance(about, Sound) else about
    return found if modality == "video" else found.still()


def thing(rng: random.Random, modality: str) -> Thing:
    """Something random to be made or shown in a modality; films move more often than not."""
    return sound(rng) if modality == "audio" else scene(rng, moving=modality == "video")


def describe(what: Thing, rng: random.Random) -> str:
    """The thing in other words and another order than its caption's; at times just the caption, or more than that."""
    if rng.random() < 0.35:
        return what.caption()
    found = _describe_sound(what, rng) if isinstance(what, Sound) else _describe_scene(what, rng)
    return _embellished(found, what, rng) if rng.random() < 0.2 else found


def _embellished(text: str, what: Thing, rng: random.Random) -> str:
    """A description that also says what no caption can: how the thing looks, what it does, and where."""
    more, name = wordings.PASSED_OVER, what.concept
    kind = rng.randrange(4)
    if kind == 0:
        return f"{text}{rng.choice((' ', ', '))}{rng.choice(more['ways'])}"
    if kind == 1:
        act = rng.choice(more["acts"])
        return text.replace(name, f"{name} that {act}" if act.endswith("s") else f"{name} {act}", 1)
    look = rng.choice(more["looks"])
    return re.sub(rf"\ban? {name}", f"{article(look)} {name}", text, count=1).replace(name, f"{look} {name}", 1)


def _describe_sound(what: Sound, rng: random.Random) -> str:
    said = [rng.choice(wordings.SOUND_WORDS[w]) for w in (what.pitch, what.loudness) if w in wordings.SOUND_WORDS]
    rng.shuffle(said)
    notes = rng.choice(wordings.SOUND_WORDS[what.rhythm]) if what.rhythm != "one" else ""
    if said and rng.random() < 0.25:
        parts = [f"{article(what.concept)} {what.concept}", " and ".join(said), notes]
        return ", ".join(part for part in parts if part)
    noun = " ".join([*said, what.concept])
    head = f"{rng.choice((article(noun), 'the', article(noun), ''))} {noun}".strip()
    joint = ", ", " ", " playing ", " with "
    return head + (rng.choice(joint if "notes" in notes else joint[:2]) + notes if notes else "")


def _describe_scene(what: Scene, rng: random.Random) -> str:
    small = what.size == "small"
    adjective = rng.choice(("small", "little", "tiny")) if small else rng.choice(("", "", "", "large", "big"))
    moves = rng.choice(wordings.VERBS[what.motion]) if what.motion != "still" else ""
    ing, third = moves.split(" ")[0].endswith("ing"), moves.split(" ")[0].endswith("s")
    before = ing and " " not in moves and rng.random() < 0.3
    noun = " ".join(w for w in (moves if before else "", adjective, what.concept) if w)
    head = f"{rng.choice((article(noun) if ' ' not in noun else 'a', 'the', 'a', 'one', 'some', ''))} {noun}".strip()
    if moves and not before:
        head += f" {moves}" if ing else f" that {moves}" if third else f" that can {moves}"
    tint, where = what.ground, what.place
    word = rng.choice(("ground", "background"))
    tinted = f"{article(tint)} {tint} {word}"
    grounds = (f"on {tinted}", f"on {tint}", f"with {tinted}", f"on the {tint} {word}", f"in front of {tinted}")
    places: tuple[str, ...] = ("in the middle", "in the center", "at the center")
    if where != "center":
        places = (f"at the {where}", f"on the {where}", f"in the {where}", f"on the {where} side")
    parts = [rng.choice(grounds)] if tint != "white" or rng.random() < 0.15 else []
    parts += [rng.choice(places)] if where != "center" or rng.random() < 0.15 else []
    rng.shuffle(parts)
    parts = [parts[0] + ",", head, *parts[1:]] if parts and rng.random() < 0.25 else [head, *parts]
    return rng.choice((" ", " ", ", ")).join(parts).replace(",,", ",")


def request_for(modalities: Sequence[str], subject: str, rng: random.Random) -> str:
    """A wording that asks for media of a subject (a description, or "it"), in any order."""
    wanted = rng.sample(modalities, len(modalities))
    if len(wanted) > 1:
        asked = _joint(wanted, subject, rng)
    elif rng.random() < 0.4:
        noun = rng.choice(NOUNS[wanted[0]])
        asked = _an(rng.choice(wordings.MAKE_NOUN).format(n=noun, d=subject))
    else:
        asked = rng.choice(wordings.MAKE[wanted[0]]).format(d=subject)
    bare = asked.endswith("?") or asked.split(" ")[0] not in wordings.IMPERATIVES
    if bare or rng.random() < 0.4:
        return asked
    return rng.choice(wordings.POLITE).format(r=asked)


def request_of(modalities: Sequence[str], given: str, subject: str, rng: random.Random) -> str:
    """A wording that asks for media of what is shown in modality `given`; at times without a word for that."""
    if rng.random() < 0.5:
        return request_for(modalities, subject, rng)
    if len(modalities) == 1:
        return rng.choice(wordings.MAKE_SHOWN[given][modalities[0]])
    return rng.choice(wordings.JOINT_SHOWN["+".join(modalities)])


def _joint(wanted: Sequence[str], subject: str, rng: random.Random) -> str:
    """Several media of a subject asked for at once."""
    kind = rng.randrange(6)
    if kind == 0:
        nouns = _listed([f"{article(n)} {n}" for n in (rng.choice(NOUNS[m]) for m in wanted)])
        return rng.choice(wordings.JOINT_NOUNS).format(l=nouns, d=subject)
    if kind == 1:
        senses = _listed([rng.choice(wordings.SENSES[m]) for m in wanted])
        return rng.choice(wordings.JOINT_SENSES).format(l=senses, d=subject)
    verbs = [rng.choice(wordings.VERBS_OF[m]) for m in wanted]
    if kind == 2:
        first, *rest = verbs
        return rng.choice(wordings.JOINT_PAIRS).format(a=f"{first} {subject}", b=_listed(rest) + " it")
    if kind == 3:
        return rng.choice(wordings.JOINT_VERBS).format(l=_listed(verbs), d=subject)
    return rng.choice(wordings.JOINT["+".join(m for m in MODALITIES if m in wanted)]).format(d=subject)


def _an(text: str) -> str:
    """With `an` before the nouns that want it."""
    return text.replace("a image", "an image").replace("a audio", "an audio").replace("a animation", "an animation")


def _listed(words: Sequence[str]) -> str:
    """`a`, `a and b`, or `a, b and c`."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def ended(text: str, rng: random.Random) -> str:
    """A request with its first letter and its end as people type them; at times with something beside the point."""
    text = text if text.endswith("?") else text + rng.choice(("", ".", ".", "!"))
    if rng.random() < 0.2:
        beside = f"{chatter(rng)}."
        text = f"{beside} {text}" if rng.random() < 0.7 else f"{text} {beside}"
    return text[:1].upper() + text[1:]


def chatter(rng: random.Random) -> str:
    """Something that asks for nothing."""
    parts = rng.choice(wordings.CHATTER).split("{w}")
    return "".join(part + rng.choice(wordings.CHATTER_WORDS) for part in parts[:-1]) + parts[-1]


def several(rng: random.Random) -> tuple[str, ...]:
    """Two or three modalities, in the order of replies."""
    chosen = rng.sample(MODALITIES, rng.choice((2, 3)))
    return tuple(m for m in MODALITIES if m in chosen)


def words(vocabulary: Sequence[str], rng: random.Random, low: int, high: int) -> str:
    return " ".join(rng.choice(vocabulary) for _ in range(rng.randint(low, high)))


def make_text(vocabulary: Sequence[str], rng: random.Random) -> Turn:
    """A description to draw, play or film: of the world, or of unknown things in its grammar, to be copied."""
    wanted = several(rng) if rng.random() < 0.2 else (rng.choice(MODALITIES),)
    what: Thing = thing(rng, wanted[-1] if "audio" not in wanted else "audio")
    if "audio" in wanted and len(wanted) > 1:
        what = replace(scene(rng, moving="video" in wanted), concept=what.concept)
        what = what if rng.random() < 0.4 else Scene(what.concept)
    if rng.random() < 0.3:
        rest = what.caption().split(" ", 1)[1].replace(what.concept, words(vocabulary, rng, 1, 3), 1)
        text = answer = f"{article(rest)} {rest}"
        return Turn((ended(request_for(wanted, text, rng), rng),), answer, wanted)
    text = describe(what, rng)
    bare = len(wanted) == 1 and wanted[0] == (
        "video" if isinstance(what, Scene) and what.motion != "still" else "image"
    )
    asked = text if bare and rng.random() < 0.12 else request_for(wanted, text, rng)
    return Turn((ended(asked, rng),), what.caption(), wanted, what)
