"""Weight files, looked at without loading them: safetensors only, never pickle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from orchestrator.errors import BundleError


def files(folder: Path) -> list[Path]:
    """The safetensors files of a part, sorted. Raises BundleError if there is none."""
    found = sorted(folder.rglob("*.safetensors"))
    if not found:
        raise BundleError(f"{folder} has no weights: no *.safetensors file in it")
    return found


def header(file: Path) -> bytes:
    """The JSON header of a safetensors file: names, types, shapes and offsets. Raises BundleError if it is damaged."""
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if length <= 0 or length > file.stat().st_size - 8:
            raise BundleError(f"{file} is damaged: its header is {length} bytes long, the file {file.stat().st_size}")
        return stream.read(length)


def mark(file: Path) -> bytes:
    """What tells weights from others of the same name, size and time: the header; of a pickle nothing."""
    return header(file) if file.suffix == ".safetensors" else b""


def tensors(file: Path) -> dict[str, dict[str, Any]]:
    """Name -> {dtype, shape, data_offsets}. Raises BundleError if the header is no table in JSON."""
    try:
        table = json.loads(header(file))
    except ValueError as error:
        raise BundleError(f"{file} is damaged: {error}") from None
    if not isinstance(table, dict) or not all(isinstance(entry, dict) for entry in table.values()):
        raise BundleError(f"{file} is damaged: its header is no table of tensors")
    table.pop("__metadata__", None)
    return table


def damage(file: Path) -> str | None:
    """What is wrong with a file's length or header, if anything (a cut-off file is shorter than its header says). Of a
    pickle that is not told."""
    if file.suffix != ".safetensors":
        return None
    try:
        ends = [entry["data_offsets"][1] for entry in tensors(file).values()]
        wanted = 8 + len(header(file)) + max(ends, default=0)
    except BundleError as error:
        return str(error)
    except (LookupError, TypeError):
        return f"{file} is damaged: its header does not say where its tensors stand"
    size = file.stat().st_size
    return None if size == wanted else f"{file} is damaged: it has {size} bytes, its header says {wanted}"


def sha256(file: Path) -> str:
    """The SHA-256 of a file, in hex."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_sums(root: Path, name: str) -> None:
    """Write the hashes of all files of a folder, in the form of `sha256sum`."""
    found = sorted(p for p in root.rglob("*") if p.is_file() and p.name != name)
    (root / name).write_text("".join(f"{sha256(p)}  {p.relative_to(root).as_posix()}\n" for p in found))


def sum_problems(root: Path, name: str) -> Iterator[str]:
    """Files that are missing or differ from the hashes in `root/name` (nothing if there is no such file)."""
    if not (root / name).is_file():
        return
    for line in (root / name).read_text().splitlines():
        digest, _, path = line.partition("  ")
        if not (root / path).is_file():
            yield f"{root / path} is missing"
        elif sha256(root / path) != digest:
            yield f"{root / path} is not the file that {name} was written for: its SHA-256 differs"
