"""Pydantic's complaints, in the project's words."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from orchestrator.flow.spec import Path

UNKNOWN = "is not known"

_SHORT = {  # pydantic's error types that are better said shortly
    "missing": "is missing",
    "extra_forbidden": UNKNOWN,
    "model_type": "should be a mapping",
    "dict_type": "should be a mapping",
    "string_type": "should be a text",
}


def explain(error: ValidationError) -> Iterator[tuple[Path, str]]:
    """(where, what) of every complaint; `where` is the path within the validated data."""
    for detail in error.errors(include_url=False):
        yield detail["loc"], _sentence(detail)


def _sentence(detail: ErrorDetails) -> str:
    if detail["type"] in ("missing", "extra_forbidden"):  # there is no value to show
        return _SHORT[detail["type"]]
    if detail["type"] == "value_error":  # raised by a validator: its text is the message
        return detail["msg"].removeprefix("Value error, ")
    message = _SHORT.get(detail["type"], detail["msg"]).replace("Input should be", "should be", 1)
    given = repr(detail["input"])
    given = given if len(given) <= 40 else f"{given[:37]}..."
    return f"{message}, got {given}"
