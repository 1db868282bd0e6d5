from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from orchestrator.cli import previews
from orchestrator.nodes.media import Audio, Media, Video

Draw = Callable[..., str]


@pytest.mark.parametrize(
    ("size", "cells"),
    [((64, 64), (20, 10)), ((320, 64), (32, 3)), ((4, 4), (4, 2)), ((1, 1), (1, 1)), ((20000, 1), (32, 1)),
     ((1, 20000), (1, 10))],
)  # fmt: skip
def test_a_thumbnail_keeps_its_shape(size: tuple[int, int], cells: tuple[int, int], drawn: Draw) -> None:
    rows = drawn(previews.thumbnail(Image.new("RGB", size, "red"))).splitlines()
    assert (len(rows[0]), len(rows)) == cells
    assert set("".join(rows)) == {"▀"}


def test_two_pixels_a_cell() -> None:
    image = Image.new("RGB", (1, 2))
    image.putdata([(255, 0, 0), (0, 0, 255)])
    from rich.console import Console

    console = Console(force_terminal=True, color_system="truecolor")
    (segment, *_) = console.render(previews.thumbnail(image))
    assert segment.text == "▀"
    assert (segment.style.color.triplet, segment.style.bgcolor.triplet) == ((255, 0, 0), (0, 0, 255))


def test_shades_where_there_is_no_colour(drawn: Draw) -> None:
    image = Image.new("RGB", (2, 2), "white")
    image.paste("black", (0, 0, 1, 2))
    assert drawn(previews.thumbnail(image), color_system=None) == " █\n"


@pytest.mark.parametrize(("width", "frames", "cells"), [(80, 8, 74), (30, 8, 26), (10, 8, 18), (80, 1, 18)])
def test_a_film_strip_shows_as_many_frames_as_fit(width: int, frames: int, cells: int, drawn: Draw) -> None:
    strip = previews.film_strip([Image.new("RGB", (64, 64))] * frames, width)
    rows = drawn(strip).splitlines()
    assert (len(rows[0]), len(rows)) == (strip.image.width, 10)
    assert strip.image.width <= max(width, 20)


def test_a_film_strip_has_the_first_and_the_last_frame() -> None:
    frames = [Image.new("RGB", (64, 64), (i, i, i)) for i in range(50, 58)]
    strip = previews.film_strip(frames, 60).image
    assert strip.getpixel((4, 8)) == (50, 50, 50)
    assert strip.getpixel((strip.width - 5, 8)) == (57, 57, 57)


def test_a_sound_is_as_wide_as_it_may_be(drawn: Draw) -> None:
    for width, cells in ((80, 64), (30, 30)):
        rows = drawn(previews.preview(Media("audio", Audio(np.ones(90, np.float32), 100)), width)).splitlines()
        assert (len(rows), {len(row) for row in rows}) == (10, {cells})


@pytest.mark.parametrize(
    ("text", "options", "shown"),
    [
        ("short", {}, "short"),
        ("", {}, "(empty)"),
        ("two\nlines", {}, "two lines"),
        ("\x1b[31mred", {}, "\ufffd[31mred"),
        ("aaa bbb ccc ddd eee", {"lines": 2}, "aaa bbb\nccc ddd …"),
        ("aaa bbb ccc ddd eee", {"lines": 2, "tail": True}, "… ccc ddd\neee"),
    ],
)
def test_prose_keeps_to_its_rows(text: str, options: dict[str, int], shown: str) -> None:
    assert [row.rstrip() for row in previews.prose(text, 9, **options).plain.splitlines()] == shown.splitlines()


@pytest.mark.parametrize(
    ("media", "sign"),
    [
        (Media("text", "a fox"), "a fox"),
        (Media("image", Image.new("RGB", (8, 8))), "▀▀▀▀▀▀▀▀"),
        (Media("audio", Audio(np.ones((90, 2), np.float32), 100)), "▀▀▀▀"),
        (Media("video", Video(np.zeros((3, 8, 8, 3), np.uint8))), "▀▀▀▀"),
    ],
)
def test_every_modality_has_a_preview(media: Media, sign: str, drawn: Draw) -> None:
    assert sign in drawn(previews.preview(media, 60))
