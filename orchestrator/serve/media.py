"""Media that come in and go out: uploads by id, the values of a request as Media, files of runs.

No path is ever made of what a client sends: an upload and a file of a run are looked up by name in a table.
"""

from __future__ import annotations

import base64
import re
import secrets
import shutil
import tempfile
import threading
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastapi.responses import FileResponse
from starlette.exceptions import HTTPException

from orchestrator.errors import InputError
from orchestrator.nodes.media import Media
from orchestrator.nodes.media_intake import Intake
from orchestrator.nodes.modality import MODALITIES

MAX_KEPT = 1 << 30  # bytes of all uploads together; then the oldest go
TYPES: dict[str, str] = {  # what files are served as: nothing that a browser would run
    ".txt": "text/plain", ".md": "text/markdown",
    ".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp", ".bmp": "image/bmp",
    ".gif": "image/gif", ".tif": "image/tiff", ".tiff": "image/tiff",
    ".wav": "audio/wav", ".flac": "audio/flac", ".ogg": "audio/ogg", ".mp3": "audio/mpeg", ".m4a": "audio/mp4",
    ".mp4": "video/mp4", ".webm": "video/webm", ".mov": "video/quicktime", ".mkv": "video/x-matroska",
    ".avi": "video/x-msvideo",
}  # fmt: skip
ALIASES = {"audio/x-wav": "audio/wav", "audio/wave": "audio/wav", "audio/mp3": "audio/mpeg", "audio/x-m4a": "audio/mp4"}
ALIASES |= {"audio/x-flac": "audio/flac", "image/jpg": "image/jpeg"}
KINDS = sorted({*TYPES.values()})
UPLOAD_ID = re.compile(r"[0-9a-f]{32}")
ADDRESS = ("data:", "http://", "https://")
MEDIUM = r"^([0-9a-f]{32}|[dD][aA][tT][aA]:[^,]*,.*|[hH][tT][tT][pP][sS]?://.+)$"


@dataclass(frozen=True)
class Upload:
    """A medium that a client sent."""

    id: str
    modality: str
    type: str
    bytes: int
    meta: Mapping[str, Any]
    path: Path


@dataclass
class Uploads:
    """Uploads, in a folder that goes with them: after `close()`, or when nobody has them any more."""

    limit: int = MAX_KEPT
    _folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="orch-uploads-")))
    _kept: dict[str, Upload] = field(default_factory=dict)  # the oldest first
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, data: bytes, content_type: str) -> Upload:
        """Keep a medium. Raises HTTPException 415 for a type that is none, InputError if it is not what it says."""
        kind = content_type.partition(";")[0].strip().lower()
        kind = ALIASES.get(kind, kind)
        if kind not in KINDS:
            raise HTTPException(415, f"'{kind[:80]}' is no type of media that is taken: {', '.join(KINDS)}")
        modality = kind.partition("/")[0]
        meta = Media.load(data, modality, "the upload").meta
        name = secrets.token_hex(16)
        path = self._folder / name
        path.write_bytes(data)
        made = Upload(name, modality, kind, len(data), meta, path)
        with self._lock:
            self._kept[name] = made
            self._forget()
        return made

    def find(self, name: str) -> Upload:
        """The upload of an id. Raises HTTPException 404."""
        with self._lock:
            found = self._kept.get(name)
        if found is None:
            raise HTTPException(404, f"there is no upload '{name[:80]}', or it is no longer kept")
        return found

    def __post_init__(self) -> None:
        self.close = weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)  # removes them all

    def _forget(self) -> None:
        while sum(upload.bytes for upload in self._kept.values()) > self.limit and len(self._kept) > 1:
            oldest = next(iter(self._kept))
            self._kept.pop(oldest).path.unlink(missing_ok=True)


@dataclass(frozen=True)
class Reader:
    """Turns the values of a request into Media. A string is never the path of a file."""

    uploads: Uploads
    intake: Intake

    def read(self, flow: Any, given: Mapping[str, str | bytes]) -> dict[str, Media]:
        """The inputs of a flow; all problems at once as an InputError."""
        from orchestrator.flow.wiring import check_inputs

        check_inputs(flow.spec, {**flow.given, **given})
        media: dict[str, Media] = {}
        problems: list[str] = []
        for name, value in given.items():
            try:
                media[name] = self.medium(f"input '{name}'", flow.spec.inputs[name].modality, value)
            except InputError as error:
                problems.append(str(error))
        if problems:
            raise InputError("\n".join(problems))
        return media

    def medium(self, name: str, modality: str, value: str | bytes) -> Media:
        """One value: text, bytes, an upload's id, a data URI, or an address where these are allowed."""
        if isinstance(value, bytes) or modality == "text":
            return Media.load(value, modality, name)
        if value.lower().startswith(ADDRESS):
            return self.intake.read(name, modality, value)
        if not UPLOAD_ID.fullmatch(value):
            raise InputError(f"{name}: {value[:40]!r} is neither the id of an upload (POST /media) nor a data URI")
        try:
            upload = self.uploads.find(value)
        except HTTPException as error:
            raise InputError(f"{name}: {error.detail}") from None
        if upload.modality != modality:
            raise InputError(f"{name}: takes {modality}, but upload {value} is {upload.modality} ({upload.type})")
        return Media.load(upload.path.read_bytes(), modality, name)


def file_response(folder: Path, path: Path, kind: str = "") -> FileResponse:
    """A file of a folder. Raises HTTPException 404 as `check_within`."""
    check_within(folder, path)
    kind = kind or TYPES.get(path.suffix, "application/octet-stream")
    return FileResponse(path, media_type=kind, headers={"X-Content-Type-Options": "nosniff"})


def check_within(folder: Path, path: Path) -> None:
    """Raises HTTPException 404 for a link, and for what lies elsewhere or is gone."""
    if path.is_symlink() or not path.is_file() or not path.resolve().is_relative_to(folder.resolve()):
        raise HTTPException(404, f"there is no file '{path.name[:80]}'")


def data_uri(path: Path) -> str:
    """A file as a data URI."""
    return f"data:{TYPES[path.suffix]};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"


def intake(allow_urls: bool, limit: int) -> Intake:
    """What is read for clients: no file of this machine."""
    return Intake(roots=(), urls=allow_urls, max_bytes=limit)


def doc(modality: str) -> str:
    """How a medium is given, for the schema."""
    return f"{MODALITIES[modality].noun.capitalize()}: the id of an upload, a data URI, or an address if allowed."
