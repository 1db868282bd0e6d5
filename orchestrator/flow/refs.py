"""References (`$name`, `$name.port`) and conditions (`$ref`, `not $ref`, `$ref == x`, `$ref != x`)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

Operator = Literal["present", "absent", "==", "!="]

NAME = re.compile(r"[a-z][a-z0-9_-]*")
_REF = re.compile(rf"\$(?P<name>{NAME.pattern})(?:\.(?P<port>{NAME.pattern}))?")
_WHEN = re.compile(r"(?P<no>not\s+)?(?P<ref>\$[^\s=!]+)\s*(?:(?P<operator>==|!=)\s*(?P<value>\S.*))?", re.DOTALL)


@dataclass(frozen=True)
class Ref:
    """A reference as written: a name and, maybe, a port."""

    name: str
    port: str | None = None

    def __str__(self) -> str:
        return f"${self.name}.{self.port}" if self.port else f"${self.name}"


@dataclass(frozen=True)
class When:
    """A condition. `source` is what it asks for: a reference as written, and in a plan `inputs.image` or `split.video`.

    A comparison is one of texts, or of numbers where `value` is one; with a missing text it never holds.
    """

    source: str
    operator: Operator = "present"
    value: str | float = ""

    def __str__(self) -> str:
        ref = f"${self.source.removeprefix('inputs.').removeprefix('$')}"
        return {"present": ref, "absent": f"not {ref}"}.get(self.operator, f"{ref} {self.operator} {self.value}")

    def refs(self) -> tuple[str, ...]:
        """What must be known before it can be told whether it holds."""
        return (self.source,)

    def holds(self, lookup: Callable[[str], Any]) -> bool:
        """Whether it holds; `lookup` gives the value of a source, None where it is missing."""
        found = lookup(self.source)
        if self.operator == "present":
            return found is not None
        if self.operator == "absent":
            return found is None
        return found is not None and _same(found.text, self.value) == (self.operator == "==")


def parse_ref(text: str) -> Ref | None:
    """The reference that `text` is, or None."""
    match = _REF.fullmatch(text)
    return Ref(match["name"], match["port"]) if match else None


def parse_when(text: str) -> When | None:
    """The condition that `text` is, or None; its source is the reference as written."""
    match = _WHEN.fullmatch(text.strip())
    if not match or (match["no"] and match["operator"]):
        return None
    if match["operator"]:
        operator: Operator = "==" if match["operator"] == "==" else "!="
        return When(match["ref"], operator, _literal(match["value"].strip()))
    return When(match["ref"], "absent" if match["no"] else "present")


def _literal(text: str) -> str | float:
    """Quoted text, a number, or bare text."""
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1]
    number = _number(text)
    return text if number is None else number


def _same(found: str, value: str | float) -> bool:
    return found.strip() == value if isinstance(value, str) else _number(found) == value


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
