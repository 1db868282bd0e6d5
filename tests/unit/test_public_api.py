"""The public API: `orchestrator.__all__` is complete, loads lazily, and every name in it is documented."""

from __future__ import annotations

import inspect

import pytest

import orchestrator


@pytest.mark.parametrize("name", sorted(orchestrator.__all__))
def test_public_name_loads_and_is_documented(name: str) -> None:
    value = getattr(orchestrator, name)
    if inspect.isclass(value) or inspect.isfunction(value):
        assert inspect.getdoc(value), f"orchestrator.{name} has no docstring"


def test_all_is_sorted_and_listed_by_dir() -> None:
    assert list(orchestrator.__all__) == sorted(orchestrator.__all__)
    assert set(orchestrator.__all__) <= set(dir(orchestrator))


def test_nothing_public_is_missing_from_all() -> None:
    listed = {name for name in dir(orchestrator) if not name.startswith("_")}
    own = {name for name, value in vars(orchestrator).items() if getattr(value, "__module__", "") == "orchestrator"}
    assert listed | {name for name in own if not name.startswith("_")} == set(orchestrator.__all__)


def test_errors_of_the_tree_are_public() -> None:
    from orchestrator import errors

    tree = {n for n, v in vars(errors).items() if inspect.isclass(v) and issubclass(v, errors.OrchError)}
    assert tree <= set(orchestrator.__all__)


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Flwo'"):
        _ = orchestrator.Flwo
