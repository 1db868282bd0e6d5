"""The pocket world: what can be drawn, where, how it moves, and the caption that says so.

A `Scene` is a concept with optional attributes. Its caption is the only text the models ever learn from, so the
grammar stands here once: the recipes, the judges and the evaluation all read it.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

# concept -> emoji name (the key in every drawing set); the ones that also have a General MIDI sound come first
CONCEPTS: dict[str, str] = {
    "guitar": "guitar", "violin": "violin", "trumpet": "trumpet", "saxophone": "saxophone", "drum": "drum",
    "banjo": "banjo", "accordion": "accordion", "keyboard": "musical keyboard", "flute": "flute", "bell": "bell",
    "telephone": "telephone", "helicopter": "helicopter", "bird": "bird", "clapping hands": "clapping hands",
    "wave": "water wave", "dog": "dog face", "cat": "cat face", "cow": "cow face", "pig": "pig face", "frog": "frog",
    "duck": "duck", "owl": "owl", "penguin": "penguin", "butterfly": "butterfly", "fish": "tropical fish",
    "octopus": "octopus", "panda": "panda", "apple": "red apple", "banana": "banana", "strawberry": "strawberry",
    "grapes": "grapes", "watermelon": "watermelon", "pineapple": "pineapple", "carrot": "carrot",
    "mushroom": "mushroom", "pizza": "pizza", "hamburger": "hamburger", "cake": "birthday cake", "rocket": "rocket",
    "car": "automobile", "bicycle": "bicycle", "sailboat": "sailboat", "snowman": "snowman", "rainbow": "rainbow",
    "star": "star", "cactus": "cactus", "sunflower": "sunflower", "umbrella": "umbrella", "balloon": "balloon",
    "robot": "robot",
}  # fmt: skip

GROUNDS: dict[str, tuple[int, int, int]] = {
    "white": (255, 255, 255), "yellow": (250, 225, 120), "green": (150, 210, 140), "blue": (135, 190, 235),
    "pink": (250, 185, 205), "purple": (185, 160, 225), "orange": (250, 180, 110), "gray": (165, 165, 165),
    "black": (30, 30, 34),
}  # fmt: skip

PLACES: dict[str, tuple[float, float]] = {
    "center": (0.5, 0.5), "left": (0.29, 0.5), "right": (0.71, 0.5), "top": (0.5, 0.29), "bottom": (0.5, 0.71),
}  # fmt: skip

SIZES: dict[str, float] = {"large": 0.86, "small": 0.48}

MOTIONS: dict[str, str] = {
    "still": "", "spin": "spinning", "jump": "jumping", "shake": "shaking", "grow": "growing", "shrink": "shrinking",
    "left": "moving left", "right": "moving right",
}  # fmt: skip


@dataclass(frozen=True)
class Scene:
    """One picture or clip. The first entry of each table is the default and is not said in the caption."""

    concept: str
    ground: str = "white"
    place: str = "center"
    size: str = "large"
    motion: str = "still"

    def caption(self) -> str:
        """`a small guitar on a blue ground at the left, spinning`; defaults are left out."""
        size = "" if self.size == "large" or self.place != "center" else f"{self.size} "
        ground = "" if self.ground == "white" else f" on {article(self.ground)} {self.ground} ground"
        place = "" if self.place == "center" else f" at the {self.place}"
        motion = f", {MOTIONS[self.motion]}" if MOTIONS[self.motion] else ""
        return f"{article(size + self.concept)} {size}{self.concept}{ground}{place}{motion}"

    def still(self) -> Scene:
        """The same scene as a picture: without its motion."""
        return Scene(self.concept, self.ground, self.place, self.size)


PLURALS = frozenset({"clapping hands", "grapes"})


def article(noun: str) -> str:
    """`a`, `an`, or `some` for the plural concepts."""
    if noun.removeprefix("small ") in PLURALS:
        return "some"
    return "an" if noun[0] in "aeiou" else "a"


def sample(rng: random.Random, concept: str | None = None, moving: bool = False) -> Scene:
    """A random scene: half of them on plain white, a third off centre, one in six small; motions when `moving`."""
    place = rng.choice(list(PLACES)[1:]) if rng.random() < 0.33 else "center"
    small = place != "center" or rng.random() < 0.17
    return Scene(
        concept or rng.choice(list(CONCEPTS)),
        rng.choice(list(GROUNDS)[1:]) if rng.random() < 0.5 else "white",
        place,
        "small" if small else "large",
        rng.choice(list(MOTIONS)[1:]) if moving and rng.random() < 0.6 else "still",
    )
