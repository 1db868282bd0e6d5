"""Previews of media for the terminal: a thumbnail in half blocks, a film strip, a sound's picture, the text.

A cell of the terminal shows two pixels, one above the other: the foreground of `▀` and its background. Where the
terminal has no colours, shades stand for them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import groupby
from typing import TYPE_CHECKING, Any

from rich.color import Color
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.segment import Segment
from rich.style import Style
from rich.text import Text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    from orchestrator.nodes.media import Audio, Media

RGB = tuple[int, int, int]

THUMBNAIL = (32, 20)  # pixels: a cell is one wide and two high
FRAME = (22, 16)
SOUND = 64
FILM, HOLE = (24, 24, 27), (161, 161, 170)
SHADES = " ░▒▓█"
PROSE_LINES = 4


@dataclass(frozen=True)
class Pixels:
    """A small RGB picture of even height, in half blocks."""

    image: Image

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(self.image.width, self.image.width)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        data, width = self.image.tobytes(), self.image.width
        rows = [
            [(data[i], data[i + 1], data[i + 2]) for i in range(start, start + 3 * width, 3)]
            for start in range(0, len(data), 3 * width)
        ]
        cell = _half_block if console.color_system else _shade
        for upper, lower in zip(rows[::2], rows[1::2], strict=True):
            for (top, bottom), run in groupby(zip(upper, lower, strict=True)):
                yield cell(top, bottom, len(list(run)))
            yield Segment.line()


def thumbnail(image: Image, limit: tuple[int, int] = THUMBNAIL) -> Pixels:
    """A picture, made to fit `limit` (pixels), never enlarged."""
    return Pixels(_fit(image, limit))


def film_strip(frames: Sequence[Image], width: int, limit: tuple[int, int] = FRAME) -> Pixels:
    """As many frames as `width` cells hold, sampled uniformly, on a strip of film."""
    from PIL import Image, ImageDraw

    first = _fit(frames[0], limit)
    step = first.width + 2
    count = max(1, min(len(frames), (width - 2) // step))
    picked = [frames[round(i * (len(frames) - 1) / max(1, count - 1))] for i in range(count)]
    strip = Image.new("RGB", (count * step + 2, first.height + 4), FILM)
    draw = ImageDraw.Draw(strip)
    for x in range(1, strip.width - 1, 3):
        draw.point([(x, 0), (x, strip.height - 1)], HOLE)
    for i, frame in enumerate(picked):
        strip.paste(_fit(frame, limit).resize(first.size), (2 + i * step, 2))
    return Pixels(strip)


def sound(audio: Audio, width: int) -> Pixels:
    """The wave form and the spectrogram of a sound."""
    from orchestrator.cli.sound import picture

    return Pixels(picture(audio.mono().samples, audio.rate, width))


def one_line(text: str) -> str:
    """A text on one line, without what would steer the terminal: a model may write anything."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in " ".join(text.split()))


def prose(text: str, width: int, lines: int = PROSE_LINES, tail: bool = False) -> Text:
    """A text in at most `lines` rows of `width` cells: its begin, or with `tail` its end."""
    shown = Text(one_line(text) or "(empty)", "italic", overflow="fold")
    rows = shown.wrap(_measuring(), max(1, width))
    if len(rows) <= lines:
        return Text("\n").join(rows)
    kept = rows[-lines:] if tail else rows[:lines]
    marked = Text.assemble("… ", kept[0]) if tail else Text.assemble(kept[-1], " …")
    marked.truncate(width, overflow="crop" if tail else "ellipsis")
    return Text("\n").join([marked, *kept[1:]] if tail else [*kept[:-1], marked])


def preview(media: Media, width: int) -> RenderableType | None:
    """What the terminal can show of a medium in `width` cells; None for a modality that it has no picture for."""
    show = PREVIEWS.get(media.modality)
    return show(media, width) if show else None


def pictures(images: Sequence[Image], width: int) -> RenderableType:
    """One picture as a thumbnail, several as a film strip."""
    return thumbnail(images[0]) if len(images) == 1 else film_strip(images, width)


PREVIEWS: dict[str, Callable[[Any, int], RenderableType]] = {
    "text": lambda media, width: prose(media.text, width),
    "image": lambda media, width: thumbnail(media.image),
    "audio": lambda media, width: sound(media.audio, min(width, SOUND)),
    "video": lambda media, width: film_strip(_pictures(media.video.frames), width),
}


def _fit(image: Image, limit: tuple[int, int]) -> Image:
    """The picture as RGB, within `limit`, its height even."""
    from PIL import Image

    scale = min(1.0, limit[0] / image.width, limit[1] / image.height)
    width, height = max(1, round(image.width * scale)), max(2, 2 * round(image.height * scale / 2))
    return image.convert("RGB").resize((width, height), Image.Resampling.LANCZOS, reducing_gap=2.0)


def _pictures(frames: NDArray[np.uint8]) -> list[Image]:
    from PIL import Image

    return [Image.fromarray(frame) for frame in frames]


@cache
def _measuring() -> Console:
    return Console()


@lru_cache(4096)
def _color(rgb: RGB) -> Color:
    return Color.from_rgb(*rgb)


def _half_block(top: RGB, bottom: RGB, count: int) -> Segment:
    return Segment("▀" * count, Style(color=_color(top), bgcolor=_color(bottom)))


def _shade(top: RGB, bottom: RGB, count: int) -> Segment:
    light = (sum(top) + sum(bottom)) / (6 * 255)
    return Segment(SHADES[round(light * (len(SHADES) - 1))] * count)
