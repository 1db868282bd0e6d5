"""The shape of a plan: which nodes follow each other and which stand side by side.

LangGraph runs in supersteps: at each, every branch waits for the slowest. A chain that follows a fork is therefore
compiled as a subgraph of its own, one superstep to the outside, so that branches never wait for each other. This module
finds these chains by series-parallel reduction; what is left of a graph that is not series-parallel keeps plain edges.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Leaf:
    """One node."""

    name: str


@dataclass(frozen=True)
class Series:
    """Blocks one after the other."""

    items: tuple[Block, ...]


@dataclass(frozen=True)
class Parallel:
    """Blocks side by side, with the same predecessors and the same successors."""

    items: tuple[Block, ...]


Block = Leaf | Series | Parallel
Edges = dict[Block, frozenset[Block]]  # block -> the blocks that it waits for


def reduce(predecessors: Mapping[str, Iterable[str]]) -> Edges:
    """The blocks of a graph given as node -> predecessors, in topological order. One block: it is series-parallel."""
    direct = _without_shortcuts({name: frozenset(before) for name, before in predecessors.items()})
    leaves = {name: Leaf(name) for name in direct}
    edges: Edges = {leaves[name]: frozenset(leaves[b] for b in before) for name, before in direct.items()}
    while found := _chain(edges) or _side_by_side(edges):
        edges = _replaced(edges, *found)
    return edges


def _without_shortcuts(before: Mapping[str, frozenset[str]]) -> dict[str, frozenset[str]]:
    """Transitive reduction: an edge is dropped where a longer way leads to the same node."""
    above: dict[str, frozenset[str]] = {}
    for name, direct in before.items():  # topological order: predecessors are known
        above[name] = direct.union(*(above[b] for b in direct))
    return {n: frozenset(b for b in direct if not any(b in above[o] for o in direct)) for n, direct in before.items()}


def _after(edges: Edges) -> Edges:
    return {block: frozenset(b for b, before in edges.items() if block in before) for block in edges}


def _chain(edges: Edges) -> tuple[tuple[Block, ...], Block] | None:
    """Two blocks of which one is the only way out of the other, and the other its only way in."""
    after = _after(edges)
    for block, before in edges.items():
        if len(before) == 1 and len(after[first := next(iter(before))]) == 1:
            items = [*_items(first, Series), *_items(block, Series)]
            return (first, block), Series(tuple(items))
    return None


def _side_by_side(edges: Edges) -> tuple[tuple[Block, ...], Block] | None:
    """All blocks that share predecessors and successors with another."""
    after = _after(edges)
    for block, before in edges.items():
        twins = tuple(b for b in edges if edges[b] == before and after[b] == after[block])
        if len(twins) > 1:
            return twins, Parallel(tuple(item for twin in twins for item in _items(twin, Parallel)))
    return None


def _items(block: Block, kind: type[Series] | type[Parallel]) -> tuple[Block, ...]:
    """The items of a block of that kind; any other block is one item."""
    return block.items if isinstance(block, kind) else (block,)


def _replaced(edges: Edges, old: tuple[Block, ...], new: Block) -> Edges:
    """The graph with `old` blocks put together as `new`, which stands where the first of them stood."""
    gone = set(old)
    waits = frozenset(b for block in old for b in edges[block]) - gone
    out: Edges = {}
    for block, before in edges.items():
        if block == old[0]:
            out[new] = waits
        elif block not in gone:
            out[block] = (before - gone) | ({new} if before & gone else set())
    return out
