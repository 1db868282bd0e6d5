"""The rail beside a list of nodes that shows the graph, as `git log --graph` does for commits.

○ split          A node stands in a column; a lane runs down from it to the nodes that read it.
├─╮              The rows of all rails have the same width, so that what stands beside them lines up.
│ ○ sound
○   film
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

# Which of (up, down, left, right) a cell is joined to.
BOX: dict[tuple[bool, bool, bool, bool], str] = {
    tuple(side in sides for side in "udlr"): char  # type: ignore[misc]
    for sides, char in {
        "": " ", "ud": "│", "lr": "─", "dr": "╭", "dl": "╮", "ur": "╰", "ul": "╯",
        "udr": "├", "udl": "┤", "dlr": "┬", "ulr": "┴", "udlr": "┼", "u": "╵", "d": "╷", "l": "╴", "r": "╶",
    }.items()
}  # fmt: skip


@dataclass(frozen=True)
class Rail:
    """The rail of one node: the row that joins its lanes (empty if none), the node's own row, where its sign stands at
    `column`, and the row that is repeated beside whatever is told below it."""

    join: str
    head: str
    rest: str
    column: int


@dataclass
class _Lane:
    readers: set[str] = field(default_factory=set)


def rails(nodes: Sequence[str], edges: Iterable[tuple[str, str]]) -> dict[str, Rail]:
    """The rails of nodes in topological order. Edges from or to what is not in `nodes` are left out."""
    known = set(nodes)
    readers: dict[str, set[str]] = {name: set() for name in nodes}
    for source, target in edges:
        if source in known and target in known:
            readers[source].add(target)
    lanes: list[_Lane | None] = []
    out = {name: _place(name, readers[name], lanes) for name in nodes}
    width = max((len(rail.head) for rail in out.values()), default=0)
    return {
        name: Rail(rail.join, rail.head.ljust(width), rail.rest.ljust(width), rail.column) for name, rail in out.items()
    }


def _place(name: str, readers: set[str], lanes: list[_Lane | None]) -> Rail:
    """Give a node its column: that of a lane that ends in it, else a free one. Changes `lanes`."""
    before = [lane is not None for lane in lanes]
    feeding = [i for i, lane in enumerate(lanes) if lane and name in lane.readers]
    for i in feeding:
        lane = lanes[i]
        if lane:
            lane.readers.discard(name)
            lanes[i] = lane if lane.readers else None
    ended = [i for i in feeding if lanes[i] is None]
    column = ended[0] if ended else next((i for i, lane in enumerate(lanes) if lane is None), len(lanes))
    lanes.extend([None] * (column + 1 - len(lanes)))
    passing = [lane is not None or i == column for i, lane in enumerate(lanes)]
    join = _join(before, passing, feeding, column) if set(feeding) - {column} else ""
    lanes[column] = _Lane(readers) if readers else None
    rest = [lane is not None for lane in lanes]
    while lanes and lanes[-1] is None:
        lanes.pop()
    return Rail(join, _row(passing), _row(rest), 2 * column)


def _join(before: Sequence[bool], after: Sequence[bool], feeding: Sequence[int], column: int) -> str:
    """The row that leads the feeding lanes into `column`; lanes that only pass by are not joined to it."""
    first, last = min(*feeding, column), max(*feeding, column)
    cells = []
    for i in range(len(after)):
        up, down = i < len(before) and before[i], after[i]
        joined = i == column or i in feeding
        across = first <= i <= last and (joined or not up)
        cells.append(BOX[up, down, across and i > first, across and i < last])
        cells.append("─" if first <= i < last else " ")
    return "".join(cells).rstrip()


def _row(open_lanes: Sequence[bool]) -> str:
    return " ".join("│" if is_open else " " for is_open in open_lanes)
