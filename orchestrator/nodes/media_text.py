"""Text: str, in files UTF-8."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

from orchestrator.errors import InputError
from orchestrator.nodes.media_io import Codec

MAX_BYTES = 16 * 2**20  # far above any context; stops a wrong file before it is all in memory


class TextCodec(Codec):
    """Plain text. A byte order mark is dropped; line ends stay as they are."""

    saves = (".txt", ".md")

    def owns(self, value: object) -> bool:
        return False  # a str is as well a path: the caller says which

    def accept(self, value: Any) -> str:
        if not isinstance(value, str):
            raise InputError(f"text is a str, not {type(value).__name__}")
        return value

    def decode(self, file: BinaryIO, where: str, max_pixels: int) -> str:
        data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise InputError(f"{where}: more than {MAX_BYTES // 2**20} MiB of text")
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            byte = f"0x{data[error.start]:02x} at byte {error.start}"
            raise InputError(f"{where}: is not UTF-8 text ({byte}): save it as UTF-8") from error

    def encode(self, value: str, path: Path) -> None:
        path.write_bytes(value.encode())

    def content(self, value: str) -> Iterable[bytes]:
        return (value.encode(),)

    def meta(self, value: str) -> dict[str, Any]:
        return {"chars": len(value)}
