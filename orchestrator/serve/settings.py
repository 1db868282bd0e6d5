"""What a server allows, and where it writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.errors import UserError

LEAST = {"workers": 1, "queue": 0, "timeout": 0.001, "max_upload": 1, "keep": 1}


@dataclass(frozen=True)
class Settings:
    """Limits are per server: `workers` runs at once, `queue` more that wait, `timeout` seconds a run, `max_upload`
    bytes a request, `keep` finished runs whose folders stay. `options` are those of `Flow.start`: device, placement,
    memory."""

    out: Path = Path("runs")
    key: str = ""
    workers: int = 4
    queue: int = 16
    timeout: float = 600.0
    max_upload: int = 32 << 20
    keep: int = 1000
    allow_urls: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        few = [
            f"{name.replace('_', '-')} is {getattr(self, name)}; at least {least:g} is needed"
            for name, least in LEAST.items()
            if getattr(self, name) < least
        ]
        if few:
            raise UserError("\n".join(few))
