"""Check this machine and installation: versions, device, codecs, bundles, disk.

Exit codes: 0 all in order (warnings included), 1 something does not work.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal

Status = Literal["ok", "warn", "fail"]

SIGNS: dict[Status, tuple[str, str]] = {"ok": ("✓", "green"), "warn": ("!", "yellow"), "fail": ("✗", "bold red")}
LIBRARIES = ("torch", "transformers", "diffusers", "langgraph", "safetensors", "pydantic", "pillow", "av", "soundfile")
CODECS = ("libx264", "aac", "libvpx-vp9")
TRAPS = ("torchvision", "torchaudio")  # never used, but transformers and diffusers import them where they are installed
LOW_DISK = 2 * 10**9


@dataclass(frozen=True)
class Finding:
    """What one check found."""

    name: str
    status: Status
    detail: str


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `orch doctor`."""
    parser.add_argument("--out", type=Path, default=Path("runs"), metavar="DIR", help="where runs go (default: runs)")
    parser.add_argument("--json", action="store_true", help="print one JSON object on stdout")


def main(args: argparse.Namespace) -> int:
    """Run all checks; 1 if any failed."""
    found = [finding for name, check in CHECKS.items() for finding in _guarded(name, check, args.out)]
    if args.json:
        print(json.dumps({"checks": [asdict(f) for f in found]}))
    else:
        _print(found)
    return int(any(f.status == "fail" for f in found))


def _guarded(name: str, check: Callable[[Path], Iterator[Finding]], out: Path) -> Iterator[Finding]:
    """A check's findings; what it raises is a finding too, for a broken library may raise anything."""
    try:
        yield from check(out)
    except Exception as error:
        yield Finding(name, "fail", f"{type(error).__name__}: {error}")


def versions(out: Path) -> Iterator[Finding]:
    """Python and the libraries that do the work."""
    from orchestrator import __version__

    yield Finding("orch", "ok", f"{__version__} on Python {platform.python_version()}, {platform.platform()}")
    yield Finding("libraries", "ok", ", ".join(f"{name} {version(name)}" for name in LIBRARIES))


def device(out: Path) -> Iterator[Finding]:
    """Where models will run, and with how many threads."""
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    gpus = [torch.cuda.get_device_name(i) for i in range(count)]
    yield Finding("device", "ok", ", ".join(gpus) if gpus else f"cpu ({platform.machine()}), no GPU")
    threads, cores = torch.get_num_threads(), os.cpu_count() or 1
    status: Status = "warn" if threads > cores else "ok"
    yield Finding("threads", status, f"{threads} for {cores} cores; OMP_NUM_THREADS sets them")


def traps(out: Path) -> Iterator[Finding]:
    """Libraries that Orch does not use, but which break transformers where they do not match torch."""
    for name in TRAPS:
        if importlib.util.find_spec(name) is None:
            continue
        try:
            importlib.import_module(name)
            yield Finding(name, "ok", "installed, and it loads (Orch does not use it)")
        except Exception as error:
            reason = str(error).partition("\n")[0]
            yield Finding(
                name, "fail", f"installed but broken ({reason}): `pip uninstall {name}`, Orch does not use it"
            )


def codecs(out: Path) -> Iterator[Finding]:
    """What PyAV can write."""
    from av.codec import codecs_available

    missing = [codec for codec in CODECS if codec not in codecs_available]
    have = ", ".join(codec for codec in CODECS if codec not in missing)
    lacks = f"; missing: {', '.join(missing)}: install the `av` wheel from PyPI" if missing else ""
    yield Finding("codecs", "fail" if missing else "ok", f"{have}{lacks}")


def runs(out: Path) -> Iterator[Finding]:
    """Whether runs can be written, and how much room there is."""
    place = next(folder for folder in (out.absolute(), *out.absolute().parents) if folder.exists())
    try:
        with tempfile.TemporaryFile(dir=place):
            yield Finding("runs", "ok", f"{out} can be written")
    except OSError as error:
        yield Finding("runs", "fail", f"{out} cannot be written: {error.strerror}; choose another with --out")
    free = shutil.disk_usage(place).free
    yield Finding("disk", "ok" if free > LOW_DISK else "warn", f"{free / 1e9:.1f} GB free")


def bundles(out: Path) -> Iterator[Finding]:
    """Whether the bundles that ship, and were fetched, are whole."""
    from orchestrator.models.bundle import Bundle
    from orchestrator.models.bundle.verify import verify

    for name in Bundle.known():
        bundle = Bundle.open(name)
        if bundle.absent():
            yield Finding(f"bundle {name}", "ok", f"not fetched; orch bundle fetch {name} tells how large it is")
            continue
        problems = verify(bundle)
        yield Finding(f"bundle {name}", "fail" if problems else "ok", "; ".join(problems) or "every part is sound")
    if not Bundle.known():
        yield Finding("bundles", "fail", "none ships with this installation: reinstall orch-mm")


CHECKS: dict[str, Callable[[Path], Iterator[Finding]]] = {
    "versions": versions,
    "traps": traps,
    "device": device,
    "codecs": codecs,
    "runs": runs,
    "bundles": bundles,
}


def _print(found: list[Finding]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2, 0, 0))
    for finding in found:
        sign, style = SIGNS[finding.status]
        grid.add_row(Text(sign, style), Text(finding.name, "bold"), Text(finding.detail, overflow="fold"))
    Console().print(grid)
