"""Media: a value of a modality, by content.

A `Media` is immutable: nobody writes into the picture, samples or frames that it hands out. Decoding and encoding are
in `media_io` and the codec modules behind it, which are imported when first needed; this module is light.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

MAX_PIXELS = 64_000_000  # of a picture or a video frame: what Pillow itself warns of starts at 89 million
MAX_CHANNELS = 32  # more "channels" than this are samples on the wrong axis


@dataclass(frozen=True, eq=False)
class Audio:
    """A sound: `samples` float32 [n] or [n, channels] in -1..1 (int16, int32 are scaled), `rate` of them a second."""

    samples: NDArray[np.float32]
    rate: int

    def __post_init__(self) -> None:
        import numpy as np

        samples: NDArray[Any] = np.asarray(self.samples)
        if samples.ndim not in (1, 2) or not samples.size:
            raise InputError(f"audio samples are [n] or [n, channels] with n >= 1, not {list(samples.shape)}")
        if samples.ndim == 2 and samples.shape[1] > MAX_CHANNELS:
            raise InputError(f"audio samples are [n, channels], not {list(samples.shape)}: transpose them")
        if samples.dtype in (np.int16, np.int32):
            samples = samples / -float(np.iinfo(samples.dtype).min)
        elif samples.dtype.kind != "f":
            raise InputError(f"audio samples are floats in -1..1, int16 or int32, not {samples.dtype}")
        if not np.isfinite(samples).all():
            raise InputError("audio samples hold NaN or infinity")
        if int(self.rate) != self.rate or self.rate < 1:
            raise InputError(f"an audio rate is a whole number >= 1, not {self.rate}")
        object.__setattr__(self, "samples", np.ascontiguousarray(samples, dtype=np.float32))
        object.__setattr__(self, "rate", int(self.rate))

    def __iter__(self) -> Iterator[Any]:
        """`samples, rate = media.audio`."""
        return iter((self.samples, self.rate))

    @property
    def channels(self) -> int:
        return 1 if self.samples.ndim == 1 else int(self.samples.shape[1])

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.rate

    def mono(self) -> Audio:
        """The mean of the channels, as samples [n]."""
        return self if self.samples.ndim == 1 else Audio(self.samples.mean(axis=1), self.rate)

    def resample(self, rate: int) -> Audio:
        """The same sound at another rate (band-limited)."""
        from orchestrator.nodes.media_audio import resample

        return self if rate == self.rate else Audio(resample(self.samples, self.rate, rate), rate)


@dataclass(frozen=True, eq=False)
class Video:
    """A film: `frames` uint8 RGB [f, height, width, 3], `fps` a second."""

    frames: NDArray[np.uint8]
    fps: float | Fraction = 8.0

    def __post_init__(self) -> None:
        import numpy as np

        frames = np.asarray(self.frames)
        if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or not frames.size:
            shape = f"{frames.dtype} {list(frames.shape)}"
            raise InputError(f"video frames are uint8 [frames, height, width, 3], none of them 0, not {shape}")
        if not (math.isfinite(self.fps) and self.fps > 0):
            raise InputError(f"a video's fps is a number > 0, not {self.fps}")
        object.__setattr__(self, "frames", np.ascontiguousarray(frames))

    def __iter__(self) -> Iterator[Any]:
        """`frames, fps = media.video`."""
        return iter((self.frames, self.fps))

    @property
    def seconds(self) -> float:
        return float(len(self.frames) / self.fps)

    def sample(self, n: int = 5) -> NDArray[np.uint8]:
        """n frames [n, height, width, 3], uniformly from the first to the last; a short video repeats some."""
        import numpy as np

        if n < 1:
            raise InputError(f"at least 1 frame can be sampled from a video, not {n}")
        return self.frames[np.linspace(0, len(self.frames) - 1, n).round().astype(int)]


class Media:
    """A value of a modality: text (str), image (PIL, RGB), audio (`Audio`) or video (`Video`).

    `key` names the content. The engine passes its own for what a node made; otherwise it is the SHA-256 of the modality
    and the source's bytes (of text: UTF-8; of objects in memory: the pixels or samples).
    """

    def __init__(self, modality: str, value: Any, key: str | None = None) -> None:
        from orchestrator.nodes import media_io

        self._modality = media_io.known(modality)
        self._codec = media_io.codec(modality)
        self._value = self._codec.accept(value)
        self._given_key = key

    @classmethod
    def load(
        cls, source: Any, modality: str | None = None, name: str = "input", *, max_pixels: int = MAX_PIXELS
    ) -> Media:
        """Media from a path, bytes, text (a str, with `modality="text"`), an object in memory, or a Media.

        Without a modality, a path's suffix or the object's type tells it. `name` is what messages call the input.
        """
        from orchestrator.nodes import media_io

        if isinstance(source, Media):
            if modality not in (None, source.modality):
                raise InputError(f"{name}: takes {modality}, but was given {source!r}")
            return source
        asked = media_io.known(modality or media_io.guess(source, name), name)
        if isinstance(source, str) and asked == "text" and modality:
            return cls("text", media_io.clean_text(source, name))
        if not isinstance(source, (str, Path, bytes)):
            with media_io.naming(name):
                return cls(asked, source)
        value, key = media_io.read(source, asked, name, max_pixels)
        return cls(asked, value, key)

    @property
    def modality(self) -> str:
        return self._modality

    @property
    def given_key(self) -> str | None:
        """The key that it was made with, if any: asking costs nothing."""
        return self._given_key

    @cached_property
    def key(self) -> str:
        """Name of the content, 64 hex digits unless the engine gave another."""
        from orchestrator.nodes import media_io

        return self._given_key or media_io.digest(self._modality, self._codec.content(self._value))

    @property
    def text(self) -> str:
        return self._get("text")

    @property
    def image(self) -> Image:
        """A PIL image, RGB."""
        return self._get("image")

    @property
    def audio(self) -> Audio:
        return self._get("audio")

    @property
    def video(self) -> Video:
        return self._get("video")

    @cached_property
    def meta(self) -> dict[str, Any]:
        """What is known without looking: size, frames, fps, rate, seconds, channels, chars."""
        return self._codec.meta(self._value)

    def describe(self) -> dict[str, Any]:
        """The JSON form: modality and meta."""
        return {"modality": self._modality, "meta": dict(self.meta)}

    def save(self, path: str | Path) -> Path:
        """Write it as the suffix says, whole or not at all; the folder has to exist."""
        from orchestrator.nodes import media_io

        return media_io.write(Path(path), self._modality, self._value)

    def _get(self, modality: str) -> Any:
        if modality != self._modality:
            raise InputError(f"{self!r} has no .{modality}: it is {self._modality}, ask for .{self._modality}")
        return self._value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Media) and (self.modality, self.key) == (other.modality, other.key)

    def __hash__(self) -> int:
        return hash((self.modality, self.key))

    def __repr__(self) -> str:
        facts = " ".join(f"{k}={v}" for k, v in self.meta.items())
        return f"<Media {self._modality} {facts}>"
