"""Bytes as people write them: `3.1 MB`."""

from __future__ import annotations

import re

from orchestrator.errors import UserError

UNITS = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12, "kib": 2**10, "mib": 2**20, "gib": 2**30}


def size(count: float) -> str:
    """Bytes in the unit that suits: `3.1 MB`."""
    value, units = float(count), ["B", "kB", "MB", "GB", "TB"]
    while value >= 1000 and len(units) > 1:
        value, units = value / 1000, units[1:]
    return f"{value:.0f} {units[0]}" if units[0] == "B" else f"{value:.1f} {units[0]}"


def read_size(text: str | int) -> int:
    """Bytes from a number of them or a text such as `8GB` or `512 MiB`. Raises UserError for anything else."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*", str(text))
    unit = (match[2].lower() or "b") if match else ""
    if not match or unit not in UNITS or float(match[1]) <= 0:
        raise UserError(f"memory: '{text}' is no amount of memory; write for example 8GB, 512MB or 2.5GiB")
    return int(float(match[1]) * UNITS[unit])
