"""Reading and writing media: where the bytes come from and go to. What they mean is each modality's codec."""

from __future__ import annotations

import hashlib
import importlib
import io
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any, BinaryIO

from orchestrator.errors import InputError, OutputError, nearest
from orchestrator.nodes.modality import MODALITIES

CODECS = {
    "text": "orchestrator.nodes.media_text:TextCodec",
    "image": "orchestrator.nodes.media_image:ImageCodec",
    "audio": "orchestrator.nodes.media_audio:AudioCodec",
    "video": "orchestrator.nodes.media_video:VideoCodec",
}
# What PyAV may take a file for: never a playlist or a session description, which name other files and hosts.
CONTAINERS = {"format_whitelist": "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,ogg,mp3,wav,flac,aac,gif,mpegts,mpeg"}


class Codec(ABC):
    """What has to be known of one modality's values."""

    saves: tuple[str, ...]  # the suffixes that can be written

    @abstractmethod
    def owns(self, value: object) -> bool:
        """Whether the type of an object in memory tells that it is of this modality."""

    @abstractmethod
    def accept(self, value: Any) -> Any:
        """The value in its canonical form; `InputError` when it is none. Copies what the caller could still change."""

    @abstractmethod
    def decode(self, file: BinaryIO, where: str, max_pixels: int) -> Any:
        """The canonical value that a file holds; a fault of the file is an `InputError` beginning with `where`."""

    @abstractmethod
    def encode(self, value: Any, path: Path) -> None:
        """Write to a new file, in the format of its suffix. May raise anything."""

    @abstractmethod
    def content(self, value: Any) -> Iterable[bytes]:
        """Everything that makes the value what it is, to be hashed."""

    @abstractmethod
    def meta(self, value: Any) -> dict[str, Any]:
        """JSON-able facts."""


@cache
def codec(modality: str) -> Codec:
    """The codec of a modality; its libraries are imported now."""
    module, name = CODECS[modality].split(":")
    made: Codec = getattr(importlib.import_module(module), name)()
    return made


def known(modality: str, name: str = "media") -> str:
    """The modality, if it is one."""
    if modality not in CODECS:
        raise InputError(f"{name}: unknown modality '{modality}'.{nearest(modality, CODECS)}")
    return modality


def guess(source: object, name: str) -> str:
    """The modality of a path by its suffix, of an object by its type."""
    if isinstance(source, (str, Path)):
        suffix = Path(source).suffix.lower()
        found = next((m.name for m in MODALITIES.values() if suffix in m.suffixes), None)
        hint = "its suffix tells no modality; for a text pass modality='text'"
    else:
        found = None if isinstance(source, bytes) else next((m for m in CODECS if codec(m).owns(source)), None)
        hint = f"{type(source).__name__} tells no modality; pass modality=, one of {', '.join(CODECS)}"
    if found is None:
        suffixes = "; ".join(f"{m.name}: {' '.join(m.suffixes)}" for m in MODALITIES.values())
        raise InputError(f"{name}: {_short(source)}: {hint} ({suffixes})")
    return found


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Put the input's name before the messages of what is done within."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{name}: {error}") from error.__cause__


def clean_text(text: str, name: str) -> str:
    """The text, if it can be UTF-8 (a shell argument of other bytes comes as lone surrogates)."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{name}: {text[error.start]!r} at character {error.start} is no text: give UTF-8") from error
    return text


def digest(modality: str, content: Iterable[bytes]) -> str:
    """The key of some content."""
    made = hashlib.sha256(modality.encode() + b"\0")
    for part in content:
        made.update(part)
    return made.hexdigest()


def read(source: str | Path | bytes, modality: str, name: str, max_pixels: int) -> tuple[Any, str]:
    """A file's (or some bytes') value and key."""
    if isinstance(source, bytes):
        return _decode(io.BytesIO(source), modality, f"{name}: {len(source)} bytes", max_pixels)
    path = Path(source)
    where = f"{name}: {_short(source)}"
    try:
        if not path.is_file():
            allowed = " ".join(MODALITIES[modality].suffixes)
            raise InputError(f"{where}: {_not_a_file(path)}; give {MODALITIES[modality].noun} as a file: {allowed}")
        with path.open("rb") as file:
            return _decode(file, modality, where, max_pixels)
    except OSError as error:
        raise InputError(f"{where}: cannot be read: {error.strerror or error}") from error


def write(path: Path, modality: str, value: Any) -> Path:
    """Write a value: to a file beside the place, which then takes the place, so that no half file is ever seen."""
    made = codec(modality)
    suffix = path.suffix.lower()
    if suffix not in made.saves:
        raise InputError(f"{path}: cannot hold {modality}: its suffix has to be one of {' '.join(made.saves)}")
    if not path.parent.is_dir():
        raise OutputError(f"{path}: cannot be written: the folder '{path.parent}' does not exist: make it first")
    temporary = path.with_name(f".{uuid.uuid4().hex}{suffix}")
    try:
        made.encode(value, temporary)
        temporary.replace(path)
    except Exception as error:  # an encoder's library raises what it likes, and the caller only asked to write
        raise OutputError(f"{path}: cannot be written: {getattr(error, 'strerror', None) or error}") from error
    finally:
        temporary.unlink(missing_ok=True)
    return path


def _decode(file: BinaryIO, modality: str, where: str, max_pixels: int) -> tuple[Any, str]:
    if not file.seek(0, io.SEEK_END) and modality != "text":
        raise InputError(f"{where}: is empty (0 bytes)")
    file.seek(0)
    key = digest(modality, iter(partial(file.read, 2**20), b""))
    file.seek(0)
    return codec(modality).decode(file, where, max_pixels), key


def _not_a_file(path: Path) -> str:
    if path.is_dir():
        return "is a folder"
    return "is no regular file" if path.exists() else "no such file"


def _short(source: object, limit: int = 200) -> str:
    """How messages show a source."""
    text = str(source) if isinstance(source, (str, Path)) else f"<{type(source).__name__}>"
    return text if len(text) <= limit else text[:limit] + "…"
