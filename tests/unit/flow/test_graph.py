from __future__ import annotations

import pytest

from orchestrator.flow.graph import reach, topological


@pytest.mark.parametrize(
    ("reads", "order"),
    [
        pytest.param({"a": [], "b": ["a"], "c": ["b"]}, ["a", "b", "c"], id="already in order"),
        pytest.param({"c": ["b"], "b": ["a"], "a": []}, ["a", "b", "c"], id="backwards"),
        pytest.param({"b": [], "a": [], "c": ["a", "b"]}, ["b", "a", "c"], id="independent nodes keep their order"),
        pytest.param({"a": ["input"], "b": ["a", "a"]}, ["a", "b"], id="what is no node is not ordered"),
        pytest.param({str(i): [str(i + 1)] for i in range(5000)}, [str(i) for i in range(4999, -1, -1)], id="deep"),
    ],
)
def test_topological_order(reads: dict[str, list[str]], order: list[str]) -> None:
    assert topological(reads) == (order, [])


@pytest.mark.parametrize(
    ("reads", "cycles"),
    [
        pytest.param({"a": ["a"]}, [["a", "a"]], id="itself"),
        pytest.param({"a": ["c"], "b": ["a"], "c": ["b"]}, [["a", "b", "c", "a"]], id="in the direction of the data"),
        pytest.param({"a": ["b"], "b": ["a"], "c": ["d"], "d": ["c"]}, [["a", "b", "a"], ["c", "d", "c"]], id="all"),
    ],
)
def test_cycles_are_named(reads: dict[str, list[str]], cycles: list[list[str]]) -> None:
    order, found = topological(reads)
    assert found == cycles
    assert sorted(order) == sorted(reads)


def test_reach() -> None:
    assert reach(["c"], {"a": [], "b": ["a"], "c": ["b", "x"], "d": ["c"]}) == {"a", "b", "c", "x"}
