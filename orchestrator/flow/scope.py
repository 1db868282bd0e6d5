"""The names of a flow: what `$name` and `$name.port` stand for, and what each node reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from orchestrator.errors import Problem, nearest
from orchestrator.flow.plan import Link
from orchestrator.flow.refs import Ref, When, parse_ref, parse_when
from orchestrator.flow.spec import FlowSpec, Path
from orchestrator.nodes.ports import Port, PortType
from orchestrator.nodes.stage import Stage

TEXT = PortType("Media", "text")
OUTPUTS = ""  # the reader that stands for the flow's outputs; no node has this name

Placed = tuple[Path, Link]  # a link, and where it stands
Broken = Mapping[tuple[str, str], Any]  # (section, name) -> an entry that could not be read, as written


class Scope:
    """Resolves the references of a spec. Problems are collected, never raised.

    `classes` are the stages of the nodes whose stage is known. `broken` are entries that could not be read, as written:
    their names are known, and what they read counts as read. `reads` also holds what was probably meant, so that a
    misspelt reference does not make its target look unused.
    """

    def __init__(self, spec: FlowSpec, classes: Mapping[str, type[Stage]], broken: Broken) -> None:
        self.spec = spec
        self.classes = classes
        self.problems: list[Problem] = []
        self.names = (*spec.inputs, *spec.nodes, *(name for part, name in broken if part != "outputs"))
        self.reads: dict[str, set[str]] = {name: set() for name in (*self.names, OUTPUTS)}
        unknown = {("nodes", name): node.to_plain() for name, node in spec.nodes.items() if name not in classes}
        for (part, name), written in (unknown | dict(broken)).items():
            self.reads[OUTPUTS if part == "outputs" else name].update(_names_within(written))

    def report(self, path: Path, message: str) -> None:
        """Note a problem at `path`."""
        self.problems.append(self.spec.source.problem(path, message))

    def links(self, path: Path, name: str, port: Port, value: Any) -> list[Placed]:
        """The links that `value` makes to a port; those that can't be are reported and left out."""
        if isinstance(value, list) and port.many:
            return [placed for i, item in enumerate(value) for placed in self._link((*path, i), name, port, item)]
        return self._link(path, name, port, value)

    def source(self, path: Path, text: str) -> str | None:
        """The source that a reference stands for, e.g. `see.features`. Reported and None if there is none."""
        ref = parse_ref(text)
        if ref is None:
            hint = self._meant(path, text)
            self.report(path, f"'{text}' is no reference; write $name, $name.port, or $$ for a dollar sign.{hint}")
        elif ref.name in self.spec.inputs:
            return self._input(path, ref)
        elif ref.name in self.classes:
            return self._output(path, ref)
        elif ref.name in self.names:  # its stage is not known: nothing more can be said
            self._reader(path).add(ref.name)
        else:
            self.report(path, f"nothing is named '{text}'.{self._meant(path, f'${ref.name}')}")
        return None

    def when(self, path: Path, text: Any) -> When | None:
        """The condition that `text` is, with its source resolved. Reported and None if it is none."""
        found = parse_when(text) if isinstance(text, str) else None
        if found is None:
            self.report(path, f"{text!r} is no condition; write $ref, not $ref, $ref == text or $ref != text")
            return None
        source = self.source(path, found.source)
        return replace(found, source=source) if source else None

    def shown(self, source: str) -> str:
        """A source as one writes it: `$image`, `$see` (its only port), `$split.text`."""
        name, _, port = source.partition(".")
        if name == "inputs":
            return f"${port}"
        return f"${name}" if len(self.classes[name].outputs) == 1 else f"${source}"

    def _link(self, path: Path, name: str, port: Port, value: Any) -> list[Placed]:
        if isinstance(value, dict):
            return self._conditional(path, name, port, value)
        if isinstance(value, list):
            self.report(path, f"port '{name}' takes one reference, got a list of {len(value)}")
        elif not isinstance(value, str):
            self.report(path, f"port '{name}' takes a reference ($name), got {value!r}")
        elif value.startswith("$") and not value.startswith("$$"):
            source = self.source(path, value)
            return [(path, Link(source))] if source else []
        elif port.accepts(TEXT):
            return [(path, Link(literal=value.removeprefix("$")))]
        else:
            hint = self._meant(path, f"${value}")
            self.report(path, f"port '{name}' takes {describe(port)}, and '{value}' is no reference.{hint}")
        return []

    def _conditional(self, path: Path, name: str, port: Port, value: dict[str, Any]) -> list[Placed]:
        """`{from: $ref, when: condition}`."""
        if set(value) != {"from", "when"} or isinstance(value["from"], dict):
            keys = ", ".join(value) or "nothing"
            self.report(path, f"port '{name}': a conditional edge is {{from: $ref, when: condition}}, got {{{keys}}}")
            return []
        when = self.when((*path, "when"), value["when"])
        return [(place, replace(link, when=when)) for place, link in self._link(path, name, port, value["from"])]

    def _input(self, path: Path, ref: Ref) -> str | None:
        self._reader(path).add(ref.name)
        if ref.port:
            self.report(path, f"'{ref}': '{ref.name}' is an input and has no ports. Did you mean '${ref.name}'?")
            return None
        return f"inputs.{ref.name}"

    def _output(self, path: Path, ref: Ref) -> str | None:
        self._reader(path).add(ref.name)
        ports = self.classes[ref.name].outputs
        if ref.port in ports:
            return f"{ref.name}.{ref.port}"
        if ref.port:
            stage = self.spec.nodes[ref.name].stage
            self.report(path, f"'{ref}': stage '{stage}' has no output '{ref.port}'.{nearest(ref.port, ports)}")
        elif len(ports) == 1:
            return f"{ref.name}.{next(iter(ports))}"
        else:
            choices = ", ".join(f"${ref.name}.{port}" for port in ports)
            self.report(path, f"'{ref}' has {len(ports)} outputs; write one of {choices}")
        return None

    def _reader(self, path: Path) -> set[str]:
        """The set of names that the owner of `path` reads."""
        return self.reads[str(path[1]) if path[0] == "nodes" else OUTPUTS]

    def _meant(self, path: Path, word: str) -> str:
        """`nearest` among all references; what it proposes counts as read."""
        me = path[1] if path[0] == "nodes" else None
        hint = nearest(word, (f"${name}" for name in self.names if name != me))
        self._reader(path).update(name for name in self.names if f"'${name}'" in hint)
        return hint


def describe(port: Port) -> str:
    """What a port takes, in words."""
    refused = f" (not {', '.join(port.not_modalities)})" if port.not_modalities else ""
    return f"{port}{refused}"


def _names_within(value: Any) -> Iterator[str]:
    """The names in everything within `value` that reads like a reference."""
    if isinstance(value, str):
        when = parse_when(value)
        ref = parse_ref(when.source) if when else None
        yield from (ref.name,) if ref else ()
    elif isinstance(value, (list, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _names_within(item)
