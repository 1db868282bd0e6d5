"""Pictures of every kind become one upright RGB picture of 8 bits."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from orchestrator.nodes.media import Media

RAMP = np.linspace(0, 255, 16 * 16 * 3).astype(np.uint8).reshape(16, 16, 3)


def load(image: Image.Image, suffix: str, **options: Any) -> NDArray[np.uint8]:
    """What is loaded of an image saved as a file."""
    data = io.BytesIO()
    image.save(data, Image.registered_extensions()[suffix], **options)
    loaded = Media.load(data.getvalue(), "image").image
    assert loaded.mode == "RGB"
    return np.asarray(loaded)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".webp"])
def test_saved_and_loaded_is_the_same(suffix: str, tmp_path: Path) -> None:
    assert (np.asarray(Media.load(Media.load(RAMP).save(tmp_path / f"x{suffix}")).image) == RAMP).all()


def test_jpeg_is_close(tmp_path: Path) -> None:
    loaded = np.asarray(Media.load(Media.load(RAMP).save(tmp_path / "x.jpg")).image)
    assert np.abs(loaded.astype(int) - RAMP).mean() < 3


@pytest.mark.parametrize("size", [(1, 1), (20000, 1), (1, 20000)])
def test_extremes_of_size(size: tuple[int, int], tmp_path: Path) -> None:
    path = Media.load(Image.new("RGB", size, "red")).save(tmp_path / "x.png")
    assert Media.load(path).meta == {"size": list(size)}


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_first_frame_of_an_animation(suffix: str) -> None:
    first, *rest = (Image.new("RGB", (8, 8), colour) for colour in ("red", "green", "blue"))
    loaded = load(first, suffix, save_all=True, append_images=rest, duration=100)
    assert np.abs(loaded.astype(int) - (255, 0, 0)).max() <= 3


def test_cmyk() -> None:
    loaded = load(Image.new("CMYK", (4, 4), (0, 255, 255, 0)), ".tif")
    assert (loaded == (255, 0, 0)).all()


def test_grey_of_16_bits_is_scaled_not_clipped() -> None:
    grey = np.array([[0, 257, 32896, 65535]], np.uint16)
    loaded = load(Image.fromarray(grey), ".png")
    assert loaded[0].tolist() == [[v] * 3 for v in (0, 1, 128, 255)]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0, 32896, 65535]], np.int32), [0, 128, 255]),
        (np.array([[0, 2**30, 2**31 - 1]], np.int32), [0, 128, 255]),
        (np.array([[0.0, 0.5, 1.0]], np.float32), [0, 128, 255]),
        (np.array([[-3.0, 128.0, 255.0]], np.float32), [0, 128, 255]),
    ],
)
def test_grey_of_more_bits(values: Any, expected: list[int]) -> None:
    assert load(Image.fromarray(values), ".tif")[0, :, 0].tolist() == expected


@pytest.mark.parametrize("mode", ["1", "L", "P", "YCbCr", "RGBX"])
def test_other_modes(mode: str) -> None:
    assert (np.asarray(Media.load(Image.new("RGB", (4, 4), "white").convert(mode)).image) == 255).all()


@pytest.mark.parametrize(("mode", "colour"), [("RGBA", (255, 0, 0, 0)), ("LA", (9, 0)), ("RGBA", (255, 255, 255, 99))])
def test_transparency_lies_over_white(mode: str, colour: Any) -> None:
    assert (load(Image.new(mode, (4, 4), colour), ".png") == 255).all()


def test_half_transparency_mixes() -> None:
    assert np.abs(load(Image.new("RGBA", (4, 4), (255, 0, 0, 128)), ".png").astype(int) - (255, 127, 127)).max() <= 1


@pytest.mark.parametrize("transparency", [0, b"\x00\xff"])
def test_transparent_colours_of_a_palette(transparency: Any) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putdata([0, 1])
    assert load(image, ".png", transparency=transparency)[0].tolist() == [[255, 255, 255], [0, 0, 255]]


@pytest.mark.parametrize(("mode", "colour"), [("RGB", (10, 20, 30)), ("L", 77)])
def test_a_colour_that_is_named_transparent(mode: str, colour: Any) -> None:
    assert (load(Image.new(mode, (4, 4), colour), ".png", transparency=colour) == 255).all()


@pytest.mark.parametrize(
    ("orientation", "turned"),
    [(1, lambda a: a), (2, np.fliplr), (3, lambda a: np.rot90(a, 2)), (6, lambda a: np.rot90(a, -1)), (8, np.rot90)],
)
def test_exif_orientation_is_applied(orientation: int, turned: Any) -> None:
    tall = RAMP[:, :8]
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert (load(Image.fromarray(tall), ".png", exif=exif) == turned(tall)).all()


def test_a_picture_in_memory_is_copied() -> None:
    image = Image.new("RGB", (2, 2), "red")
    media = Media.load(image)
    image.paste("blue", (0, 0, 2, 2))
    assert media.image.getpixel((0, 0)) == (255, 0, 0)
