"""The studio: media of scenes and sounds as files, as people show them or as the generators are to make them."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import av
import numpy as np

from orchestrator.nodes.media import Audio, Media
from recipes.pocket import augment, autoencoder, encoder, playing, scenes, sounds, world
from recipes.pocket.sources import TRAIN_SETS, drawings

SUFFIXES = {"image": ".png", "video": ".mkv", "audio": ".wav"}


class Studio:
    """Makes media of things. `own` is in the style of the generators; else in any training style, and changed as other
    artists, players and cameras would have it."""

    def __init__(self, cache: Path, rng: random.Random) -> None:
        self.cache, self.rng = cache, rng
        self.styles = [drawings(style, cache) for style in ("3d", *TRAIN_SETS)]
        self.moving = drawings("animated", cache)

    def make(self, modality: str, what: world.Scene | world.Sound, file: Path, own: bool = False) -> Path:
        """Write a medium of a thing, the suffix being the modality's; returns the file."""
        file = file.with_suffix(SUFFIXES[modality])
        getattr(self, f"_{modality}")(what, file, own)
        return file

    def _image(self, scene: world.Scene, file: Path, own: bool) -> None:
        Media.load(scenes.picture(self._drawn(scene, own)[0], scene, self.rng), "image").save(file)

    def _video(self, scene: world.Scene, file: Path, own: bool) -> None:
        write_film(scenes.clip(self._drawn(scene, own, moving=True), scene, self.rng), file)

    def _drawn(self, scene: world.Scene, own: bool, moving: bool = False) -> np.ndarray:
        """The frames [1 or 8, S, S, 4] of a drawing of the thing."""
        name = world.CONCEPTS[scene.concept]
        if own or (moving and self.rng.random() < 0.2):
            return autoencoder.film(name, self.styles[0], self.moving if moving else {}, self.rng)
        found = self.rng.choice([style[name] for style in self.styles if name in style])
        return augment.restyled(found[None], encoder.STRENGTH)

    def _audio(self, sound: world.Sound, file: Path, own: bool) -> None:
        given = (sound, self.cache, self.rng)
        wave = playing.own(*given) if own else playing.varied(*given, fontless=playing.FONTLESS)
        Media.load(Audio(wave.astype(np.float32), sounds.RATE), "audio").save(file)


def write_film(frames: np.ndarray, file: Path) -> None:
    """Frames uint8 [F, H, W, 3] as a file without loss: at this size an ordinary codec blurs the colours."""
    with av.open(str(file), "w") as container:
        stream: Any = container.add_stream("ffv1", rate=8)
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "bgr0"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
