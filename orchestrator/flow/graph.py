"""Order, cycles and reach in a graph of names, given as `name -> the names that it reads`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

Reads = Mapping[str, Iterable[str]]


def topological(reads: Reads) -> tuple[list[str], list[list[str]]]:
    """All names so that each follows what it reads, else in the given order; and the cycles that forbid it.

    A cycle is given in the direction of the data, with its first name repeated at the end.
    """
    order: list[str] = []
    cycles: list[list[str]] = []
    done: set[str] = set()
    for root in reads:
        trail = {} if root in done else {root: iter(reads[root])}  # open names, each with what is left to visit
        while trail:
            name = next(reversed(trail))
            before = next(trail[name], None)
            if before is None:
                del trail[name]
                done.add(name)
                order.append(name)
            elif before in trail:
                names = list(trail)
                cycles.append([before, *reversed(names[names.index(before) :])])
            elif before in reads and before not in done:
                trail[before] = iter(reads[before])
    return order, cycles


def reach(start: Iterable[str], reads: Reads) -> set[str]:
    """`start` and everything that it reads, directly or not."""
    found: set[str] = set()
    waiting = list(start)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(reads.get(name, ()))
    return found
