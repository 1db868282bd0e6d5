"""The memory plan, as commands print it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from orchestrator.cli.tables import plain_table, size

if TYPE_CHECKING:
    from rich.console import Group

    from orchestrator.models.placement.memory import MemoryPlan, PartPlan

OFFLOAD = {"none": "", "model": ", offloaded", "sequential": ", offloaded by layers"}


def memory(plan: MemoryPlan) -> Group:
    """The parts that are loaded, once each: their weights, what running them takes beside these (estimated), where they
    go unless that is one place for all, and who uses them; and what each device will hold."""
    from rich.console import Group
    from rich.text import Text

    apart = len({where(row) for row in plan.rows}) > 1
    columns = ["part", "kind", "weights", "to run", *(["where"] if apart else []), "used by"]
    rows = [
        [r.part, r.need.kind, size(r.weights), f"~{size(r.activations)}", *([where(r)] if apart else []), _users(r)]
        for r in plan.rows
    ]
    total = ["total", "", size(sum(row.weights for row in plan.rows)), *[""] * (len(columns) - 3)]
    return Group(plain_table(columns, [*rows, total]), *map(Text, _devices(plan, apart)))


def where(row: PartPlan) -> str:
    """Device, precision and offload in words."""
    return f"{row.spot.device} {row.spot.dtype}{OFFLOAD[row.spot.offload]}" if row.weights else "elsewhere"


def _users(row: PartPlan) -> str:
    return ", ".join(row.need.used_by)


def _devices(plan: MemoryPlan, apart: bool) -> Iterator[str]:
    for device in plan.devices:
        name = device if apart else where(plan.rows[0])
        limit = f" of {size(plan.limits[device])} to use" if device in plan.limits else ""
        turns = f"; parts take turns, for all at once are {size(plan.whole(device))}"
        yield f"{name}: about {size(plan.peak(device))} at most{limit}{turns if plan.takes_turns(device) else ''}"
