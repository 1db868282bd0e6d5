"""Media of the published test: in styles that no training has, and what is asked and known of each.

Pictures and films are Twemoji's drawings; sounds are of the test font, at pitches between those of the trainings.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

import numpy as np

from orchestrator.nodes.media import Audio, Media
from orchestrator.train.data.sample import MediaRef, Sample, Turn
from recipes.pocket import playing, scenes, sounds, world
from recipes.pocket.corpus import Thing, seen_as
from recipes.pocket.sources import TEST_SET, drawings
from recipes.pocket.studio import write_film

SUFFIXES = {"image": ".png", "audio": ".flac", "video": ".mkv"}  # all without loss
NOUNS = {"image": "picture", "audio": "sound", "video": "film"}
VERBS = {"image": "draw", "audio": "play", "video": "film"}
PHRASES: Mapping[str, Mapping[str, str]] = {  # attribute -> its word -> what a caption says for it, where that is more
    "ground": {name: f"{name} ground" for name in world.GROUNDS},
    "place": {name: f"at the {name}" for name in world.PLACES},
    "motion": world.MOTIONS,
    "rhythm": world.RHYTHMS,
}


class TestStyles:
    """Makes media of things. Place, size, angle and level vary a little by `rng`, as they do in the trainings."""

    __test__ = False  # no test of pytest's

    def __init__(self, cache: Path, rng: random.Random, font: str = sounds.TEST_FONT) -> None:
        self.cache, self.rng, self.font = cache, rng, font
        self.drawn = drawings(TEST_SET, cache)

    def knows(self, modality: str) -> list[str]:
        """The concepts that it can show in a modality."""
        if modality == "audio":
            return [concept for concept in world.SOUNDS if sounds.programs(self.font, concept)]
        return [concept for concept, name in world.CONCEPTS.items() if name in self.drawn]

    def make(self, modality: str, what: Thing, file: Path) -> Path:
        """Write a medium of a thing, the suffix being the modality's; returns the file."""
        file = file.with_name(file.name + SUFFIXES[modality])
        getattr(self, f"_{modality}")(what, file)
        return file

    def plain(self, concept: str, file: Path) -> Path:
        """Write the picture of a concept as it is: on white, in the centre, nothing varied."""
        drawing, scene = self.drawn[world.CONCEPTS[concept]], world.Scene(concept)
        return Media.load(scenes.picture(drawing, scene), "image").save(file.with_name(f"{file.name}.png"))

    def _image(self, scene: world.Scene, file: Path) -> None:
        drawing = self.drawn[world.CONCEPTS[scene.concept]]
        Media.load(scenes.picture(drawing, scene, self.rng), "image").save(file)

    def _video(self, scene: world.Scene, file: Path) -> None:
        write_film(scenes.clip(self.drawn[world.CONCEPTS[scene.concept]][None], scene, self.rng), file)

    def _audio(self, sound: world.Sound, file: Path) -> None:
        wave = playing.play(sound, self.font, self.cache, self.rng, sounds.TEST_OFFSETS)
        coarse = np.round(wave * 2**15) / 2**15  # as 16 bits have it: half the file
        Media.load(Audio(coarse.astype(np.float32), sounds.RATE), "audio").save(file)


def draw(modality: str, concept: str, rng: random.Random) -> Thing:
    """A random scene or sound of a concept; films move more often than not."""
    if modality == "audio":
        return world.sample_sound(rng, concept)
    return world.sample(rng, concept, moving=modality == "video")


def said(what: Thing) -> dict[str, str]:
    """What the caption says: attribute -> its word. What is as always it does not say."""
    usual = {field.name: field.default for field in fields(what)}
    if isinstance(what, world.Scene) and what.place != "center":
        usual["size"] = what.size  # at a side, all are small
    found = {name: getattr(what, name) for name in usual}
    return {name: word for name, word in found.items() if word != usual[name]}


def shown(modality: str, what: Thing, file: Path) -> Sample:
    """A medium is to be described. Its labels are what the caption says, in the caption's words."""
    labels = {name: (PHRASES.get(name, {}).get(word, word),) for name, word in said(what).items()}
    asked = Turn("user", (MediaRef(modality, file), f"Describe the {NOUNS[modality]}."))
    return Sample((asked, Turn("assistant", (what.caption(),))), labels=labels)


def wanted(modality: str, what: Thing) -> Sample:
    """A thing is to be drawn, played or filmed. Its labels are what the caption says, in the judges' words."""
    labels = {name: (word,) for name, word in said(what).items()}
    asked = Turn("user", (f"{VERBS[modality].capitalize()} this: {what.caption()}",))
    return Sample((asked, made((modality,), what.caption())), labels=labels)


def made(modalities: tuple[str, ...], caption: str) -> Turn:
    """The answer to a request: a caption, and media of it."""
    return Turn("assistant", (caption, *(MediaRef(modality, None, caption) for modality in modalities)))


def answer(modalities: tuple[str, ...], about: Thing) -> Turn:
    """The answer that makes media of what was shown, or that describes it."""
    form = seen_as(about, modalities[-1]) if modalities else about
    return made(modalities, (form or about).caption())
