"""What the contract kits share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any


def raise_all(name: str, checks: dict[str, Callable[[Any], Iterator[str]]], make: Callable[[], Any]) -> None:
    """Run every check over a fresh object; a check that raises is a problem like any other."""
    problems = []
    for what, check in checks.items():
        try:
            problems += [f"{what}: {problem}" for problem in check(make())]
        except Exception as error:  # the object is somebody else's: anything may come, and all of it is to be told
            problems.append(f"{what}: raised {type(error).__name__}: {error}")
    if problems:
        raise AssertionError(f"{name} breaks the contract:\n" + "\n".join(f"- {problem}" for problem in problems))
