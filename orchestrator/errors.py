"""Every error that Orch raises on purpose.

    OrchError
    ├── UserError                 the caller got something wrong; the CLI exits with 2
    │   ├── FileError             a file with all its problems at once (`.problems`)
    │   │   ├── FlowError         a flow file, arrow line or builder call
    │   │   └── RecipeError       a recipe or an evaluation
    │   ├── InputError            an input of a run: missing, unreadable, of the wrong modality
    │   ├── BundleError           a bundle: unknown, incomplete, damaged, or parts that do not fit together
    │   ├── DataError             training data: a sample, a file of them, or too many broken ones (`.reason`)
    │   ├── OutputError           a place that cannot be written
    │   ├── PlacementError        a device, precision or offload that is not there for a part
    │   └── ResumeError           a training run that cannot go on as it is asked to
    ├── ModelError                a model or stage did wrong; the CLI exits with 1
    │   ├── CallError             a tool call of an LLM that can't be followed (`.tool`)
    │   └── NodeError             a node failed while running (`.node`, `.stage`, `.__cause__`)
    ├── TrainError                a training run had to stop; its last good state is kept; the CLI exits with 1
    ├── RetryError                the same call may succeed later or with other settings; the CLI exits with 1
    │   └── OutOfMemory           names the node, what it needs and what there is
    └── Cancelled                 the run was stopped from outside (Ctrl-C, a closed stream); the CLI exits with 130

Messages say what happened, the values, what is allowed, and what to type.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any


class OrchError(Exception):
    """Base class of all errors that Orch raises on purpose. `result` is what a run had finished when it failed."""

    result: Any = None


class UserError(OrchError):
    """The caller got something wrong."""


@dataclass(frozen=True)
class Problem:
    """One problem of a flow: where it stands and how to mend it. `line` and `column` count from 1; 0 is unknown."""

    message: str
    source: str = ""
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        place = ":".join(str(p) for p in (self.source, self.line, self.column) if p)
        return f"{place}: {self.message}" if place else self.message


class FileError(UserError):
    """A file of the user's is wrong. `problems` holds everything that was found, in file order."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(p) for p in self.problems))


class FlowError(FileError):
    """A flow is wrong."""


class RecipeError(FileError):
    """A recipe or an evaluation is wrong."""


class InputError(UserError):
    """An input of a run is missing, unreadable or of the wrong modality."""


class BundleError(UserError):
    """A bundle is unknown, incomplete or damaged, or its parts do not fit together."""


class DataError(UserError):
    """Training data is wrong: a sample, a file of them, or too many broken ones. `reason` is what a report counts."""

    def __init__(self, message: str, reason: str = "") -> None:
        self.reason = reason
        super().__init__(message)


class OutputError(UserError):
    """A place cannot be written."""


class PlacementError(UserError):
    """A part cannot be placed as asked: unknown part, absent device, or a precision or offload that it lacks."""


class ResumeError(UserError):
    """A training run cannot go on as it is asked to."""


class ModelError(OrchError):
    """A model or stage did wrong."""


class CallError(ModelError):
    """An LLM called a tool that there is not, or with arguments that the tool does not take."""

    def __init__(self, tool: str, message: str) -> None:
        self.tool = tool
        super().__init__(f"the LLM called '{tool}': {message}")


class NodeError(ModelError):
    """A node failed while running; the reason is `__cause__`."""

    def __init__(self, node: str, stage: str, message: str) -> None:
        self.node, self.stage = node, stage
        super().__init__(f"node '{node}' ({stage}): {message}")


class TrainError(OrchError):
    """A training run had to stop; what it had reached is kept."""


class RetryError(OrchError):
    """The same call may succeed later, or with other settings."""


class OutOfMemory(RetryError):
    """A device has too little memory for a node."""


class Cancelled(OrchError):
    """The run was stopped from outside."""


def nearest(word: str, known: Iterable[str]) -> str:
    """` Did you mean 'X'?` for the closest known word, else ` Known: a, b, c.` (leading space; empty if none known)."""
    options = sorted(known)
    close = difflib.get_close_matches(word, options, n=1)
    if close:
        return f" Did you mean '{close[0]}'?"
    return f" Known: {', '.join(options)}." if options else ""
