"""Series-parallel reduction: which chains run on their own, and that none waits for another."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.engine.blocks import Block, Edges, Leaf, Series, reduce

Graph = dict[str, list[str]]


def shown(block: Block) -> str:
    """`(a b|c d)`: a then b, beside c then d."""
    if isinstance(block, Leaf):
        return block.name
    mark = " " if isinstance(block, Series) else "|"
    return f"({mark.join(shown(item) for item in block.items)})"


def graph(text: str) -> Graph:
    """`a b:a c:a,b` -> node -> predecessors."""
    pairs = [node.partition(":") for node in text.split()]
    return {name: before.split(",") if before else [] for name, _, before in pairs}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a", "a"),
        ("a b:a c:b", "(a b c)"),
        ("a b", "(a|b)"),
        ("a b:a c:a", "(a (b|c))"),
        ("a b c:a,b", "((a|b) c)"),
        ("a b:a c:a d:b,c", "(a (b|c) d)"),
        ("a b1:a b2:b1 c1:a c2:c1 c3:c2 d:b2,c3", "(a ((b1 b2)|(c1 c2 c3)) d)"),
        ("a b:a c:a d:b,c e:d f:d g:e,f", "(a (b|c) d (e|f) g)"),  # diamond after diamond
        ("a b:a c:b d:b e:c,d f:a g:e,f", "(a ((b (c|d) e)|f) g)"),  # nested
        ("a b:a c:b,a d:c,a,b", "(a b c d)"),  # transitive shortcuts
        ("a b c:a,b d:a,b", "((a|b) (c|d))"),  # everyone waits for everyone
        ("a b:a c d:c", "((a b)|(c d))"),  # two flows in one
        ("a b c d:a e:b,c,d", "(((a d)|b|c) e)"),
    ],
)
def test_series_parallel_graphs_become_one_block(text: str, wanted: str) -> None:
    blocks = reduce(graph(text))
    assert [shown(block) for block in blocks] == [wanted]
    assert list(blocks.values()) == [frozenset()]


def test_what_is_not_series_parallel_keeps_its_edges() -> None:
    blocks = reduce(graph("a b c:a d:a,b c2:c"))  # the N: d waits for both, c for a only
    edges = {shown(block): sorted(map(shown, before)) for block, before in blocks.items()}
    assert edges == {"a": [], "b": [], "(c c2)": ["a"], "d": ["a", "b"]}


def makespan(blocks: Edges, cost: Mapping[str, float]) -> float:
    """Time of a run as LangGraph takes it: a graph's steps wait for the slowest, a subgraph is one step outside."""

    def one(block: Block) -> float:
        if isinstance(block, Leaf):
            return cost[block.name]
        times = [one(item) for item in block.items]
        return sum(times) if isinstance(block, Series) else max(times)

    total, done = 0.0, set()
    while len(done) < len(blocks):
        step = [block for block, before in blocks.items() if block not in done and before <= done]
        total += max(map(one, step))
        done |= set(step)
    return total


def critical_path(text: str, cost: Mapping[str, float]) -> float:
    end: dict[str, float] = {}
    for name, before in graph(text).items():
        end[name] = cost[name] + max((end[b] for b in before), default=0)
    return max(end.values())


def test_uneven_branches_do_not_wait_for_each_others_steps() -> None:
    text = "start a1:start a2:a1 a3:a2 b1:start b2:b1 b3:b2 end:a3,b3"
    cost = {"start": 1, "end": 1, "a1": 300, "a2": 50, "a3": 50, "b1": 50, "b2": 300, "b3": 50}
    assert makespan(reduce(graph(text)), cost) == critical_path(text, cost) == 402
    plain: Edges = {Leaf(n): frozenset(map(Leaf, before)) for n, before in graph(text).items()}
    assert makespan(plain, cost) == 652, "in plain supersteps they would"


@st.composite
def series_parallel(draw: st.DrawFn) -> str:
    """A random series-parallel graph, made by replacing nodes with two in a row or two side by side."""
    before: dict[int, set[int]] = {0: set()}
    for new in range(1, draw(st.integers(1, 9))):
        old = draw(st.sampled_from(sorted(before)))
        if draw(st.booleans()):
            before = {n: {new if b == old else b for b in bs} for n, bs in before.items()} | {new: {old}}
        else:
            before = {n: bs | ({new} if old in bs else set()) for n, bs in before.items()} | {new: set(before[old])}
    order: list[int] = []
    while len(order) < len(before):
        order += [n for n in before if n not in order and before[n] <= set(order)]
    return " ".join(f"n{n}:{','.join(f'n{b}' for b in before[n])}".rstrip(":") for n in order)


@given(series_parallel(), st.data())
def test_any_series_parallel_graph_takes_its_critical_path(text: str, data: st.DataObject) -> None:
    blocks = reduce(graph(text))
    cost = {name: data.draw(st.integers(1, 9)) for name in graph(text)}
    assert len(blocks) == 1
    assert makespan(blocks, cost) == critical_path(text, cost)


def order_of(blocks: Edges) -> list[tuple[str, set[str]]]:
    """Each leaf with all leaves that are done before it begins."""

    def inside(block: Block, done: set[str]) -> list[tuple[str, set[str]]]:
        if isinstance(block, Leaf):
            return [(block.name, done)]
        found: list[tuple[str, set[str]]] = []
        for item in block.items:
            found += inside(item, done | ({n for n, _ in found} if isinstance(block, Series) else set()))
        return found

    out: list[tuple[str, set[str]]] = []
    for block, before in blocks.items():
        waited: set[Block] = set()
        while before - waited:
            waited |= before
            before = before.union(*(blocks[b] for b in before))
        out += inside(block, {n for b in waited for n, _ in inside(b, set())})
    return out


@st.composite
def any_graph(draw: st.DrawFn) -> Graph:
    size = draw(st.integers(1, 8))
    return {f"n{i}": [f"n{j}" for j in range(i) if draw(st.booleans())] for i in range(size)}


@given(any_graph())
def test_every_node_stands_once_after_its_predecessors(nodes: Graph) -> None:
    order = order_of(reduce(nodes))
    assert sorted(name for name, _ in order) == sorted(nodes)
    for name, done in order:
        assert set(nodes[name]) <= done
