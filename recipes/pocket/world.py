"""The pocket world: what can be drawn and heard, where, how it moves or is played, and the caption that says so.

A `Scene` or a `Sound` is a concept with optional attributes. Its caption is the only text the models ever learn from,
so the grammar stands here once: the recipes, the judges and the evaluation all read it.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

# concept -> emoji name (the key in every drawing set); the first 50 are those of the first bundle, in its order
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
    "church": "church", "horn": "postal horn", "microphone": "microphone", "video game": "video game",
    "wind chime": "wind chime", "fireworks": "fireworks", "alien": "alien", "airplane": "airplane", "bus": "bus",
    "tractor": "tractor", "ship": "ship", "anchor": "anchor", "chick": "baby chick", "rooster": "rooster",
    "rabbit": "rabbit face", "monkey": "monkey face", "elephant": "elephant", "tiger": "tiger face", "bear": "bear",
    "mouse": "mouse face", "horse": "horse face", "snake": "snake", "snail": "snail", "turtle": "turtle",
    "whale": "spouting whale", "bee": "honeybee", "ladybug": "lady beetle", "lemon": "lemon", "cherries": "cherries",
    "peach": "peach", "tomato": "tomato", "ice cream": "soft ice cream", "doughnut": "doughnut",
    "lollipop": "lollipop", "bread": "bread", "rose": "rose", "palm tree": "palm tree",
    "christmas tree": "Christmas tree", "ghost": "ghost", "skull": "skull", "pumpkin": "jack-o-lantern",
    "crown": "crown", "heart": "red heart", "fire": "fire", "snowflake": "snowflake", "moon": "crescent moon",
    "sun": "sun with face", "camera": "camera", "television": "television", "light bulb": "light bulb",
    "candle": "candle", "trophy": "trophy", "ferris wheel": "ferris wheel", "basketball": "basketball",
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

# concept -> the General MIDI programs (from 0) that sound like it; the generator's own is the first
SOUNDS: dict[str, tuple[int, ...]] = {
    "guitar": (24, 25, 26), "violin": (40, 41, 110), "trumpet": (56, 59), "saxophone": (65, 64, 66, 67),
    "drum": (116, 117, 118), "banjo": (105,), "accordion": (21, 23), "keyboard": (0, 1, 2), "flute": (73, 72),
    "bell": (14,), "telephone": (124,), "helicopter": (125,), "bird": (123,), "clapping hands": (126,),
    "wave": (122,), "church": (19, 20), "horn": (60,), "microphone": (52, 53, 54), "video game": (80,),
    "wind chime": (112,), "fireworks": (127,), "alien": (103,),
}  # fmt: skip

TONELESS = frozenset({"drum", "telephone", "helicopter", "bird", "clapping hands", "wave", "fireworks"})

PITCHES: dict[str, int] = {"middle": 60, "low": 48, "high": 72}  # MIDI notes, give or take four

LOUDNESSES: dict[str, float] = {"medium": 0.08, "soft": 0.025, "loud": 0.25}  # root mean square of the loudest 0.1 s

RHYTHMS: dict[str, str] = {"one": "", "two": "two notes", "three": "three notes", "fast": "fast notes"}


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


@dataclass(frozen=True)
class Sound:
    """Two seconds of sound. As in a scene, the first entry of each table is the default and is not said."""

    concept: str
    pitch: str = "middle"
    loudness: str = "medium"
    rhythm: str = "one"

    def caption(self) -> str:
        """`a low loud violin, three notes`; defaults are left out, as is the pitch of what has none."""
        pitch = "" if self.pitch == "middle" else f"{self.pitch} "
        noun = f"{pitch}{'' if self.loudness == 'medium' else self.loudness + ' '}{self.concept}"
        return f"{article(noun)} {noun}" + (f", {RHYTHMS[self.rhythm]}" if RHYTHMS[self.rhythm] else "")


PLURALS = ("clapping hands", "grapes", "fireworks", "cherries")


def article(noun: str) -> str:
    """`a`, `an`, or `some` for the plural concepts, whatever adjectives stand before them."""
    if noun.endswith(PLURALS):
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


def sample_sound(rng: random.Random, concept: str | None = None) -> Sound:
    """A random sound: half of each attribute at its default."""
    concept = concept or rng.choice(list(SOUNDS))
    pitch, loudness, rhythm = (
        rng.choice(list(table)[1:]) if rng.random() < 0.5 else next(iter(table))
        for table in (PITCHES, LOUDNESSES, RHYTHMS)
    )
    return Sound(concept, "middle" if concept in TONELESS else pitch, loudness, rhythm)
