"""How commands print tables and sizes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from orchestrator.models.placement.sizes import size

__all__ = ["plain_table", "size"]

if TYPE_CHECKING:
    from rich.table import Table


def plain_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """A table with a rule below its header; the first column is bold. Brackets in cells are text, not markup."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold magenta")
    for i, column in enumerate(columns):
        table.add_column(column, style="bold" if i == 0 else None, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    return table
