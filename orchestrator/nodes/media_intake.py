"""What callers give: texts, and media as a path, an address, a data URI or bytes, each within what is allowed."""

from __future__ import annotations

import base64
import binascii
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit
from urllib.request import url2pathname

from orchestrator.errors import InputError
from orchestrator.nodes.media import Media
from orchestrator.nodes.modality import MODALITIES

MAX_BYTES = 64 << 20


@dataclass(frozen=True)
class Intake:
    """What may be read for a caller: files within `roots` (None: any), addresses if `urls`; `max_bytes` each."""

    roots: tuple[Path, ...] | None = None
    urls: bool = False
    max_bytes: int = MAX_BYTES

    def read(self, name: str, modality: str, value: Any) -> Media:
        """A value as media of a modality; `name` is what messages call it. Raises InputError."""
        if modality == "text" or not isinstance(value, (str, bytes)):
            return Media.load(value, modality, name)
        if isinstance(value, str) and value.lower().startswith(("http://", "https://")):
            return self._address(name, modality, value)
        if isinstance(value, str) and not value.lower().startswith("data:"):
            return Media.load(self._file(name, value), modality, name)
        data = _data(name, modality, value) if isinstance(value, str) else value
        self._fits(name, len(data))
        return Media.load(data, modality, name)

    def forms(self) -> str:
        """How a medium may be given, for the description of an argument."""
        return "a file's path, an http(s) address or a data URI" if self.urls else "a file's path or a data URI"

    def _file(self, name: str, value: str) -> Path:
        """The file, links followed, if it lies where files may be read."""
        where = url2pathname(urlsplit(value).path) if value.lower().startswith("file:") else value
        try:
            path = Path(where).expanduser().resolve()
            inside = self.roots is None or any(path.is_relative_to(root.resolve()) for root in self.roots)
            size = path.stat().st_size if inside and path.is_file() else 0
        except (OSError, ValueError, RuntimeError) as error:  # a name too long, with a NUL, of an unknown user
            raise InputError(f"{name}: {value[:200]!r} cannot be read: {error}") from error
        if not inside:
            allowed = ", ".join(map(str, self.roots or ())) or "none"
            raise InputError(f"{name}: {value[:200]} is outside the folders that may be read ({allowed})")
        self._fits(name, size)
        return path

    def _address(self, name: str, modality: str, url: str) -> Media:
        if not self.urls:
            raise InputError(f"{name}: {url[:200]} is an address, and none are fetched here: give {self.forms()}")
        from orchestrator.nodes.media_fetch import fetch

        with tempfile.TemporaryDirectory(prefix="orch-") as folder:
            return Media.load(fetch(url, Path(folder), name), modality, name)

    def _fits(self, name: str, size: int) -> None:
        if size > self.max_bytes:
            raise InputError(f"{name}: {size} bytes are more than the {self.max_bytes} that are taken")


def _data(name: str, modality: str, uri: str) -> bytes:
    """The content of `data:[TYPE][;base64],...`."""
    head, comma, body = uri.partition(",")
    kind, *rest = head.removeprefix(head[:5]).split(";")
    if not comma:
        raise InputError(f"{name}: {uri[:40]!r} is no data URI: write data:TYPE;base64,DATA")
    told = kind.partition("/")[0].lower()
    if told in MODALITIES and told != modality:
        raise InputError(f"{name}: takes {modality}, but the data URI holds {kind}")
    try:
        return base64.b64decode(body, validate=True) if "base64" in rest else unquote_to_bytes(body)
    except (binascii.Error, ValueError) as error:
        raise InputError(f"{name}: the data URI is no base64: {error}") from error
