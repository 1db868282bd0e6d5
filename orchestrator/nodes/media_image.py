"""Pictures, by Pillow: whatever the file holds becomes one upright RGB picture of 8 bits."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from orchestrator.errors import InputError
from orchestrator.nodes.media_io import Codec

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")  # no EPS and the like: Pillow would start other programs
SAVE_OPTIONS: dict[str, dict[str, Any]] = {
    ".jpg": {"quality": 95},
    ".jpeg": {"quality": 95},
    ".webp": {"lossless": True},
}
_filters = threading.Lock()  # the warnings module has one list of filters for all threads


class ImageCodec(Codec):
    """The first frame, EXIF orientation applied, transparency over white, 16 bits scaled to 8."""

    saves = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")

    def owns(self, value: object) -> bool:
        return isinstance(value, Image.Image) or (isinstance(value, np.ndarray) and value.ndim == 3)

    def accept(self, value: Any) -> Image.Image:
        if isinstance(value, Image.Image):
            if 0 in value.size:
                raise InputError(f"an image has at least one pixel, not {value.width}x{value.height}")
            return to_rgb(value)
        if not isinstance(value, np.ndarray):
            raise InputError(f"an image is a PIL image or uint8 array [height, width, 3], not {type(value).__name__}")
        if value.dtype != np.uint8 or value.ndim != 3 or value.shape[2] != 3 or not value.size:
            raise InputError(f"an image array is uint8 [height, width, 3], not {value.dtype} {list(value.shape)}")
        return Image.fromarray(value)

    def decode(self, file: BinaryIO, where: str, max_pixels: int) -> Image.Image:
        max_pixels = min(max_pixels, 2 * (Image.MAX_IMAGE_PIXELS or max_pixels))  # above it Pillow refuses by itself
        try:
            with _filters, warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what Pillow grumbles at and still reads; its bomb check is ours below
                with Image.open(file, formats=FORMATS) as image:
                    check_size(image.size, where, max_pixels)
                    return to_rgb(image)
        except InputError:
            raise
        except Image.DecompressionBombError as error:
            raise InputError(f"{where}: more than {max_pixels / 1e6:g} megapixels: scale it down") from error
        except Exception as error:  # Pillow's plugins raise SyntaxError, ValueError, struct.error, ... on damaged files
            known = isinstance(error, UnidentifiedImageError)
            what = "is no picture that can be read" if known else f"is damaged ({error})"
            raise InputError(f"{where}: {what}; give one of {', '.join(FORMATS)}") from error

    def encode(self, value: Image.Image, path: Path) -> None:
        value.save(path, **SAVE_OPTIONS.get(path.suffix, {}))

    def content(self, value: Image.Image) -> Iterable[bytes]:
        return (f"{value.width}x{value.height}\0".encode(), value.tobytes())

    def meta(self, value: Image.Image) -> dict[str, Any]:
        return {"size": list(value.size)}


def check_size(size: tuple[int, int], where: str, max_pixels: int) -> None:
    """Refuse, before anything is decoded, what has no pixels or too many."""
    width, height = size
    if width * height == 0:
        raise InputError(f"{where}: is {width}x{height}: it has no pixels")
    if width * height > max_pixels:
        much = f"{width}x{height} = {width * height / 1e6:.1f} megapixels"
        raise InputError(f"{where}: {much}; at most {max_pixels / 1e6:g}: scale it down, or pass max_pixels=")


def to_rgb(image: Image.Image) -> Image.Image:
    """A new RGB picture that shares nothing with `image`."""
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(_to_bytes(np.asarray(image), image.mode)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def _to_bytes(values: NDArray[Any], mode: str) -> NDArray[np.uint8]:
    """Grey levels of 16 bits (modes I;16, I), of more (I) or of floats (F: 0..1 or 0..255) as 8 bits."""
    whites = (1.0, 255.0) if mode == "F" else (65535.0, float(2**31 - 1))
    white = whites[int(values.max() > whites[0])]
    return (np.clip(values / white, 0, 1) * 255).round().astype(np.uint8)
