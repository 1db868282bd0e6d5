"""What the pocket language model reads: requests in many words, with and without a picture, and their answers.

Everything is made from the grammar of `world`; a `Scene` inside a request stands for a picture of it. The model
learns four things: to name a picture, to bring a description into the grammar, to film (signal tokens after the
caption) exactly when asked, and to copy words that it has never seen together.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from recipes.pocket.world import CONCEPTS, GROUNDS, MOTIONS, Scene, article, sample


@dataclass(frozen=True)
class Turn:
    """One request, of texts and pictures (scenes), its answer, and whether a film follows the answer."""

    request: tuple[str | Scene, ...]
    answer: str
    film: bool = False


DESCRIBE = (
    "Describe the picture.", "Describe this picture.", "Describe it.", "Describe the image.", "describe", "",
    "Describe this image in words.", "What is this?", "What's this?", "What do you see?", "What can you see here?",
    "What is in the picture?", "What does the picture show?", "Tell me what this is.", "Say what you see.",
    "Write a caption.", "Write a caption for this picture.", "Caption this.", "Caption the image.", "Caption please",
    "Look at this. What is it?", "Which thing is this?", "Name it.", "Can you describe this?", "Put this into words.",
)  # fmt: skip
FILM_PICTURE = (
    "Describe the picture, then film it{m}.", "Describe this picture, then film it{m}.", "Describe it and film it{m}.",
    "Film it{m}.", "Film this{m}.", "Film the picture{m}.", "Animate it{m}.", "Animate this picture{m}.",
    "Animate the picture{m}.", "Make a video of this{m}.", "Make a video of it{m}.", "Make a video from this{m}.",
    "Make a clip of it{m}.", "Make a short film of it{m}.", "Turn this into a video{m}.", "Show it in motion{m}.",
    "Create a video from this{m}.", "Can you film it{m}?", "Please film it{m}.", "I want a video of this{m}.",
    "video{m}", "Say what it is, then film it{m}.", "Describe the picture, then make a video of it{m}.", "film it{m}",
)  # fmt: skip
MOVE_PICTURE = ("Make it {v}.", "Let it {v}.", "Describe the picture, then make it {v}.", "I want to see it {v}.",
                "Can you make it {v}?", "Make this {v}.")  # fmt: skip
MOVE = ("Make it move.", "Let it move.", "Bring it to life.", "Make this move.", "Animate.", "Bring this to life.")
FILM_TEXT = (
    "Film this: {d}", "Film this: {d}.", "Film {d}", "Film {d}.", "Make a video of {d}.", "Make a clip of {d}",
    "Create a video of {d}", "Generate a video of {d}.",
    "A video of {d}", "video: {d}", "Show me {d}.", "Show {d}",
    "Draw {d}.", "Draw {d}", "Paint {d}", "Animate {d}.", "I want to see {d}.", "I want a video of {d}",
    "Please film {d}.", "Can you film {d}?", "Could you show me {d}?", "Now film {d}.", "Make {d}", "Let me see {d}.",
)  # fmt: skip
VERBS = {
    "spin": ("spin", "spins", "spinning", "turn", "turns", "turning", "rotate", "rotates", "rotating"),
    "jump": ("jump", "jumps", "jumping", "hop", "hops", "hopping", "bounce", "bounces", "bouncing"),
    "shake": ("shake", "shakes", "shaking", "wobble", "wobbles", "wobbling", "tremble", "trembles", "trembling"),
    "grow": ("grow", "grows", "growing", "get bigger", "gets bigger", "getting bigger"),
    "shrink": ("shrink", "shrinks", "shrinking", "get smaller", "gets smaller", "getting smaller"),
    "left": ("move left", "moves left", "moving left", "go to the left", "goes to the left", "going left"),
    "right": ("move right", "moves right", "moving right", "go to the right", "goes to the right", "going right"),
}  # fmt: skip
CAN = "i can describe a picture and film a scene, such as a guitar on a blue ground."
UNKNOWN = "i do not know that. " + CAN
NO_PICTURE = "i see no picture. please show me one."
CHAT = {
    "hello! show me a picture or tell me what to film.": (
        "Hello", "Hello!", "Hi", "Hi there", "Hey", "Good morning", "Good evening!", "Hello, orch", "Greetings",
    ),
    CAN: ("What can you do?", "What do you do?", "Help", "help me", "How do I use you?", "What are you good at?"),
    "i am orch, a small model of pictures and videos.": ("Who are you?", "What are you?", "What is your name?"),
    "i am fine, thank you. what shall i film?": ("How are you?", "How are you today?", "How do you do?"),
    "you are welcome.": ("Thanks", "Thank you", "Thank you very much!", "Thanks a lot."),
    "goodbye!": ("Bye", "Goodbye", "See you", "Good night"),
    "i know " + ", ".join([f"{article(c)} {c}" for c in list(CONCEPTS)[:6]]) + " and more.": (
        "What do you know?", "What can you draw?", "What can you film?", "Which things do you know?",
    ),
}  # fmt: skip
QUESTIONS = (
    "Why is {w}?", "When was {w} {w}?", "How does {w} {w}?", "Who is {w}?", "Where is {w}?", "Do you like {w}?",
    "What is the {w} of {w}?", "Is {w} {w}?", "How many {w} are there?", "Tell me about {w}.", "Explain {w}.",
    "Write a poem about {w}.", "Are you {w}?", "Translate {w} {w}.",
)  # fmt: skip
COPY = ("Repeat: {d}", "Say: {d}", "Copy this: {d}", "Repeat after me: {d}")


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


def describe(scene: Scene, rng: random.Random) -> str:
    """The scene in other words and another order than its caption's."""
    if rng.random() < 0.4:
        return scene.caption()
    small = scene.size == "small"
    adjective = rng.choice(("small", "little", "tiny")) if small else rng.choice(("", "", "", "large", "big"))
    moves = rng.choice(VERBS[scene.motion]) if scene.motion != "still" else ""
    ing, third = moves.split(" ")[0].endswith("ing"), moves.split(" ")[0].endswith("s")
    before = ing and " " not in moves and rng.random() < 0.3
    noun = " ".join(w for w in (moves if before else "", adjective, scene.concept) if w)
    head = f"{rng.choice((article(noun) if ' ' not in noun else 'a', 'the', 'a', 'one', 'some', ''))} {noun}".strip()
    if moves and not before:
        head += f" {moves}" if ing else f" that {moves}" if third else f" that can {moves}"
    tint, where = scene.ground, scene.place
    word = rng.choice(("ground", "background"))
    tinted = f"{article(tint)} {tint} {word}"
    grounds = (f"on {tinted}", f"on {tint}", f"with {tinted}", f"on the {tint} {word}", f"in front of {tinted}")
    places: tuple[str, ...] = ("in the middle", "in the center", "at the center")
    if where != "center":
        places = (f"at the {where}", f"on the {where}", f"in the {where}", f"on the {where} side")
    parts = [rng.choice(grounds)] if tint != "white" or rng.random() < 0.15 else []
    parts += [rng.choice(places)] if where != "center" or rng.random() < 0.15 else []
    rng.shuffle(parts)
    if parts and rng.random() < 0.25:
        parts = [parts[0] + ",", head, *parts[1:]]
    else:
        parts = [head, *parts]
    return rng.choice((" ", " ", ", ")).join(parts).replace(",,", ",")


def words(vocabulary: Sequence[str], rng: random.Random, low: int, high: int) -> str:
    return " ".join(rng.choice(vocabulary) for _ in range(rng.randint(low, high)))


def film_text(vocabulary: Sequence[str], rng: random.Random) -> Turn:
    """A description to film: of the world, or of unknown things in the world's grammar, to be copied."""
    picked = scene(rng, moving=True)
    if rng.random() < 0.35:
        rest = picked.caption().split(" ", 1)[1].replace(picked.concept, words(vocabulary, rng, 1, 3), 1)
        text = answer = f"{article(rest)} {rest}"
    else:
        text, answer = describe(picked, rng), picked.caption()
    request = "{d}" if rng.random() < 0.15 else rng.choice(FILM_TEXT)
    request = request.format(d=text)
    if rng.random() < 0.15:  # what a flow hands on may be a request itself
        request = f"Film this: {request}"
    return Turn((request,), answer, film=True)


def film_picture(rng: random.Random) -> Turn:
    """A picture to describe and film, often with a motion, at times with another ground."""
    picked = scene(rng, moving=False)
    motion = rng.choice(list(MOTIONS)[1:]) if rng.random() < 0.5 else "still"
    if motion == "still" and rng.random() < 0.1:
        ground = rng.choice([g for g in GROUNDS if not held_out(replace(picked, ground=g))])
        text = rng.choice(FILM_PICTURE).format(m=f" on {article(ground)} {ground} ground")
        return Turn(ordered(picked, text, rng), replace(picked, ground=ground).caption(), film=True)
    if motion == "still":
        text = rng.choice((*FILM_PICTURE, *FILM_PICTURE, *MOVE)).replace("{m}", "")
        return Turn(ordered(picked, text, rng), picked.caption(), film=True)
    verb = rng.choice(VERBS[motion])
    first = verb.split(" ")[0]
    if first.endswith("ing"):
        text = rng.choice(FILM_PICTURE).format(m=rng.choice((" ", ", ")) + verb)
    elif first.endswith("s"):
        text = rng.choice(FILM_PICTURE).format(m=rng.choice((" so that it ", ", and it ")) + verb)
    else:
        text = rng.choice((*MOVE_PICTURE, rng.choice(FILM_PICTURE).format(m=" and make it {v}"))).format(v=verb)
    return Turn(ordered(picked, text, rng), replace(picked, motion=motion).caption(), film=True)


def ask(rng: random.Random) -> Turn:
    """A question about one attribute of a picture."""
    picked = scene(rng, moving=False)
    place = "in the center" if picked.place == "center" else f"at the {picked.place}"
    hue = rng.choice(("color", "colour"))
    table = {
        picked.ground: (f"What {hue} is the ground?", f"Which {hue} is the background?", f"The {hue} of the ground?"),
        place: ("Where is it?", "Where in the picture is it?", f"Where is the {picked.concept}?"),
        picked.size: ("How large is it?", "What size is it?", "How big is it?"),
    }
    answer = rng.choice(list(table))
    return Turn(ordered(picked, rng.choice(table[answer]), rng), answer)


def chat(vocabulary: Sequence[str], rng: random.Random) -> Turn:
    if rng.random() < 0.4:
        question = rng.choice(QUESTIONS)
        while "{w}" in question:
            question = question.replace("{w}", words(vocabulary, rng, 1, 3), 1)
        return Turn((question,), UNKNOWN)
    if rng.random() < 0.2:
        return Turn((rng.choice((*DESCRIBE[:5], *DESCRIBE[6:], *MOVE, "Film it.", "Animate it.")),), NO_PICTURE)
    answer = rng.choice(list(CHAT))
    return Turn((rng.choice(CHAT[answer]),), answer)


def ordered(picture: Scene, text: str, rng: random.Random) -> tuple[str | Scene, ...]:
    """The picture first (mostly) or the text first; no text at all when it is empty."""
    if not text:
        return (picture,)
    return (text, picture) if rng.random() < 0.25 else (picture, text)


def turn(vocabulary: Sequence[str], rng: random.Random) -> Turn:
    """One random turn; a quarter only copies."""
    kind = rng.choices(("copy", "film text", "film picture", "describe", "ask", "chat"), (25, 28, 18, 15, 6, 8))[0]
    if kind == "film text":
        return film_text(vocabulary, rng)
    if kind == "film picture":
        return film_picture(rng)
    if kind == "describe":
        picked = scene(rng, moving=False)
        return Turn(ordered(picked, rng.choice(DESCRIBE), rng), picked.caption())
    if kind == "ask":
        return ask(rng)
    if kind == "chat":
        return chat(vocabulary, rng)
    text = words(vocabulary, rng, 2, 12)
    return Turn((rng.choice(COPY).format(d=text),), text)
