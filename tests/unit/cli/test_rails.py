from __future__ import annotations

import pytest

from orchestrator.cli.rails import rails

GRAPHS = {
    "a chain stays in one column": ("a b c", "ab bc", ["o a", "o b", "o c"]),
    "a fork opens a column": (
        "a b d c",
        "ab ac bd",
        ["o   a", "├─╮", "│ o b", "│ o d", "o   c"],
    ),
    "a join closes it": ("a b c", "ac bc", ["o   a", "│ o b", "├─╯", "o   c"]),
    "a lane that goes on is passed by": (
        "a b c d",
        "ab ad bc cd",
        ["o   a", "├─╮", "│ o b", "│ o c", "├─╯", "o   d"],
    ),
    "three ends meet": ("a b c d", "ad bd cd", ["o     a", "│ o   b", "│ │ o c", "├─┴─╯", "o     d"]),
    "lanes that only cross are not joined": (
        "a b c d e",
        "ac ae bd be",
        ["o     a", "│ o   b", "├─│─╮", "│ │ o c", "│ ├─╮", "│ │ o d", "├─╯", "o     e"],
    ),
    "edges from outside are left out": ("a b", "xa ab by", ["o a", "o b"]),
    "nothing at all": ("", "", []),
}


@pytest.mark.parametrize(("nodes", "edges", "drawn"), GRAPHS.values(), ids=GRAPHS)
def test_drawing(nodes: str, edges: str, drawn: list[str]) -> None:
    rows = []
    for name, rail in rails(nodes.split(), [(e[0], e[1]) for e in edges.split()]).items():
        rows += [rail.join] if rail.join else []
        rows.append(f"{rail.head[: rail.column]}o{rail.head[rail.column + 1 :]} {name}")
    assert rows == drawn


def test_rows_below_a_node_carry_its_open_lanes() -> None:
    made = rails("abdc", [("a", "b"), ("a", "c"), ("b", "d")])
    assert {name: rail.rest for name, rail in made.items()} == {"a": "│  ", "b": "│ │", "d": "│  ", "c": "   "}
