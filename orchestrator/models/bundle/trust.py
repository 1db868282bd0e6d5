"""What a bundle or a flow asks to be trusted with, and what the user allows: both say it, none grants itself anything.

The user says it by `--trust`, or with `ORCH_TRUST=pickle,remote_code` in the environment.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from orchestrator.errors import UserError, nearest

if TYPE_CHECKING:
    from orchestrator.models.bundle import Bundle

VARIABLE = "ORCH_TRUST"
MEANS: dict[str, str] = {
    "pickle": "weights that are pickles, which may run any code when they are read",
    "remote_code": "Python code of the checkpoint's author",
    "tools": "Python functions that the flow names, and commands that it starts",
}


def allowed() -> frozenset[str]:
    """What the user allows. Raises UserError for a word that means nothing."""
    words = [word.strip() for word in os.environ.get(VARIABLE, "").split(",")]
    return frozenset(_known(word) for word in words if word)


def allow(words: Iterable[str]) -> None:
    """Allow more, for this process and those that it starts."""
    found = sorted(allowed() | {_known(word) for word in words})
    if found:
        os.environ[VARIABLE] = ",".join(found)


def refusals(bundle: Bundle, part: str) -> list[str]:
    """What a part of a bundle asks for and the user has not allowed."""
    return [
        f"bundle '{bundle.name}': {part} asks for trust in {MEANS[word]} ({bundle.part(part).where}); "
        f"if you trust it, add `--trust {word}`, or set {VARIABLE}={word}"
        for word in bundle.part(part).trust
        if word not in allowed()
    ]


def missing(word: str, what: str) -> str:
    """What to do about something that takes trust which the user has not given; nothing if it is given."""
    if word in allowed():
        return ""
    return f"{what} takes trust in {MEANS[word]}; if you trust it, add `--trust {word}`, or set {VARIABLE}={word}"


def _known(word: str) -> str:
    if word not in MEANS:
        raise UserError(f"trust in '{word}' is unknown.{nearest(word, MEANS)}")
    return word
