"""Flows as YAML: read safely, with the place of everything; written in the layout of the docs.

Scalars are those of YAML 1.2 (`no` is a text, `1:30` too). Tags are refused, size, depth and aliases are limited.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path as FilePath
from typing import Any, ClassVar

import yaml
from pydantic import ValidationError

from orchestrator.errors import FlowError, Problem, UserError, nearest
from orchestrator.flow.explain import UNKNOWN, explain
from orchestrator.flow.scope import Broken
from orchestrator.flow.spec import FlowSpec, InputSpec, Path, Source
from orchestrator.flow.wiring import check

MAX_BYTES, MAX_DEPTH, MAX_ALIASES, MAX_VALUES = 256 * 1024, 20, 50, 50_000

_SECTIONS = ("inputs", "nodes", "outputs")
_TAG = "tag:yaml.org,2002:"
_SCALARS: dict[str, tuple[str, list[str], Callable[[str], Any]]] = {  # YAML 1.2 core: pattern, first letters, value
    "null": (r"null|Null|NULL|~|", ["n", "N", "~", ""], lambda text: None),
    "bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF"), lambda text: text.lower() == "true"),
    "int": (r"[-+]?[0-9]+", list("-+0123456789"), int),
    "float": (
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+.0123456789"),
        lambda text: float(re.sub(r"\.(?=inf|nan)", "", text.lower())),
    ),
}


class _Loader(yaml.SafeLoader):
    """Composes nodes (with marks) under the limits; values are made by `_Reader`."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}  # type: ignore[misc]  # a class variable there, too
    depth = aliases = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event: Any = self.peek_event()
        self.aliases += isinstance(event, yaml.AliasEvent)
        if self.aliases > MAX_ALIASES:
            raise _refusal(event, f"more than {MAX_ALIASES} aliases")
        if self.depth >= MAX_DEPTH:
            raise _refusal(event, f"nested deeper than {MAX_DEPTH} levels")
        if getattr(event, "tag", None) is not None:
            tag = event.tag.replace(_TAG, "!!")
            raise _refusal(event, f"the tag '{tag}' is not allowed; only texts, numbers, lists and mappings are")
        self.depth += 1
        node: yaml.Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node


class _Dumper(yaml.SafeDumper):
    """Double quotes where quotes are needed, no anchors, and texts quoted that YAML 1.1 or 1.2 would read otherwise."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def choose_scalar_style(self) -> str:
        style = super().choose_scalar_style()
        return '"' if style == "'" else style


for _name, (_pattern, _first, _) in _SCALARS.items():
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(_TAG + _name, re.compile(f"(?:{_pattern})\\Z"), _first)


def load(path: str | FilePath) -> FlowSpec:
    """The flow of a file. It remembers its places, so that `wire` can tell them."""
    path = FilePath(path)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        near = nearest(path.name, (p.name for p in path.parent.glob("*.yaml"))) if path.parent.is_dir() else ""
        raise FlowError([Problem(f"cannot read the flow: {error.strerror}.{near}", str(path))]) from None
    try:
        return loads(data.decode("utf-8-sig"), str(path))
    except UnicodeDecodeError as error:
        raise FlowError([Problem(f"not a text in UTF-8 (byte {error.start})", str(path))]) from None


def loads(text: str, name: str = "") -> FlowSpec:
    """The flow of a YAML text; `name` is what problems call it. What is wrong is raised at once, wiring included."""
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise FlowError([Problem(f"larger than {MAX_BYTES // 1024} KB, the limit of a flow", name)])
    reader = _Reader(name)
    try:
        data = reader.read(text)
    except yaml.YAMLError as error:
        raise FlowError([*reader.problems, _syntax(error, name)]) from None
    if not isinstance(data, dict):
        raise FlowError([Problem("a flow is a mapping with flow, inputs, nodes and outputs", name, 1, 1)])
    source = Source(name, reader.marks)
    spec, broken, problems = _validate(data, source)
    problems += reader.problems
    if problems or spec is None:
        problems += check(spec, broken) if spec else []
        raise FlowError(sorted(problems, key=lambda p: (p.line, p.column)))
    return spec


def dumps(spec: FlowSpec) -> str:
    """The YAML of a flow: one line for each input, node and output."""
    lines = []
    for key, value in spec.to_plain().items():
        if key not in _SECTIONS:
            lines.append(f"{key}: {_inline(value)}")
        elif value:
            width = max(map(len, value)) + 1 if key == "nodes" else 0
            lines.append(f"{key}:")
            lines += [f"  {f'{_inline(name)}:':<{width}} {_inline(entry)}" for name, entry in value.items()]
    return "\n".join(lines) + "\n"


def value(text: str) -> Any:
    """One value, by the same rules: what `steps=4` on a command line means. A `UserError` if it is none."""
    try:
        return _Reader("").read(text)
    except yaml.YAMLError as error:
        raise UserError(f"{text!r} is no YAML value: {_syntax(error, '').message}") from None


class _Reader:
    """Makes plain values of composed nodes; notes where they stand and which keys are wrong."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.marks: dict[Path, tuple[int, int]] = {}
        self.problems: list[Problem] = []
        self.count = 0

    def read(self, text: str) -> Any:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
        finally:
            loader.dispose()
        return None if node is None else self._value(node, ())

    def _value(self, node: yaml.Node, path: Path) -> Any:
        self.count += 1  # aliases repeat what they stand for: the limits hold for the result
        if self.count > MAX_VALUES or len(path) > MAX_DEPTH:
            raise _refusal(node, f"aliases make it larger than {MAX_VALUES} values or {MAX_DEPTH} levels")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self._value(self._marked(item, (*path, i)), (*path, i)) for i, item in enumerate(node.value)]
        convert = _SCALARS.get(node.tag.removeprefix(_TAG))
        try:
            return convert[2](node.value) if convert else node.value
        except ValueError:  # more digits than Python reads
            raise _refusal(node, "a number with too many digits") from None

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for key, value in node.value:
            place = (*path, str(key.value))
            if not isinstance(key, yaml.ScalarNode) or key.tag != f"{_TAG}str":
                self._problem(key, "a key must be a text; put it in quotes")
            elif key.value in made:
                self._problem(key, f"'{key.value}' stands twice, first in line {self.marks[place][0]}")
            else:
                self._marked(key, place)
                made[key.value] = self._value(value, place)
        return made

    def _marked(self, node: yaml.Node, path: Path) -> yaml.Node:
        self.marks[path] = (node.start_mark.line + 1, node.start_mark.column + 1)
        return node

    def _problem(self, node: yaml.Node, message: str) -> None:
        self.problems.append(Problem(message, self.name, node.start_mark.line + 1, node.start_mark.column + 1))


def _validate(data: dict[str, Any], source: Source) -> tuple[FlowSpec | None, Broken, list[Problem]]:
    """The spec of what is well-formed, the entries that are not, and their problems.

    There is no spec if a whole section is wrong: what refers to it can't be judged.
    """
    try:
        return FlowSpec.model_validate(data).read_from(source), {}, []
    except ValidationError as error:
        found = list(explain(error))
    problems = [source.problem(path, _form(path, message)) for path, message in found]
    bad = {path[:2] for path, _ in found}
    if any(len(path) == 1 and path[0] in _SECTIONS for path in bad):
        return None, {}, problems
    kept = {k: v for k, v in data.items() if k in FlowSpec.model_fields and (k,) not in bad}
    kept |= {s: {k: v for k, v in data[s].items() if (s, k) not in bad} for s in _SECTIONS if s in data}
    broken = {(str(p[0]), str(p[1])): data[str(p[0])][p[1]] for p in bad if len(p) == 2}
    return FlowSpec.model_validate({"flow": "unnamed"} | kept).read_from(source), broken, problems


def _form(path: Path, message: str) -> str:
    """A complaint about the form of a file, in words."""
    key = str(path[-1])
    if message == UNKNOWN:
        known = FlowSpec.model_fields if len(path) == 1 else InputSpec.model_fields
        return f"unknown key '{key}'.{nearest(key, known)}"
    return message if len(path) == 2 else f"'{key}' {message}"


def _inline(value: Any) -> str:
    """A value on one line."""
    text: str = yaml.dump(
        value, Dumper=_Dumper, default_flow_style=True, sort_keys=False, allow_unicode=True, width=float("inf")
    )
    return text.removesuffix("\n").removesuffix("\n...")


def _refusal(at: Any, message: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=message, problem_mark=at.start_mark)


def _syntax(error: yaml.YAMLError, name: str) -> Problem:
    """Where a text is no YAML, and why."""
    if isinstance(error, yaml.MarkedYAMLError):
        mark: Any = error.problem_mark or error.context_mark
        message = " ".join(filter(None, (error.problem, error.context)))
        return Problem(message, name, mark.line + 1 if mark else 0, mark.column + 1 if mark else 0)
    return Problem(f"not YAML: {getattr(error, 'reason', error)}", name)
