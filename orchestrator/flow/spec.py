"""What a flow is: its inputs, nodes and outputs, as read from YAML, an arrow line or the builder.

A spec is data only. Whether its stages exist and its edges fit is for `wiring` to say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, PrivateAttr, model_validator

from orchestrator.errors import Problem

Path = tuple[str | int, ...]  # where something stands in a spec, e.g. ("nodes", "film", "steps")

_WORDS = {"inputs": "input", "nodes": "node", "outputs": "output"}


@dataclass(frozen=True)
class Source:
    """Where a spec was read: the file's name, and line and column of every path. It is no part of a spec's equality."""

    name: str = field(default="", compare=False)
    marks: Mapping[Path, tuple[int, int]] = field(default_factory=dict, compare=False)

    def problem(self, path: Path, message: str) -> Problem:
        """A problem at `path`, placed at the closest thing that has a mark."""
        if len(path) > 1 and path[0] in _WORDS:
            message = f"{_WORDS[str(path[0])]} '{path[1]}': {message}"
        while path and path not in self.marks:
            path = path[:-1]
        line, column = self.marks.get(path, (0, 0))
        return Problem(message, self.name, line, column)


class InputSpec(BaseModel):
    """An input of a flow. In YAML `image: image` is short for `image: {modality: image}`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    modality: str
    """A name of the modality table."""
    default: str | None = None
    """The value when a run gives none: a text, or the path of a media file. None: the run must give one."""
    doc: str = ""
    optional: bool = False
    """Whether a run may leave it out, which skips what hangs on it."""

    @property
    def required(self) -> bool:
        """Whether a run must give it."""
        return self.default is None and not self.optional

    @model_validator(mode="before")
    @classmethod
    def _short(cls, data: Any) -> Any:
        return {"modality": data} if isinstance(data, str) else data

    @model_validator(mode="after")
    def _never_missing(self) -> InputSpec:
        if self.optional and self.default is not None:
            raise ValueError("has a default, so it is never left out: leave `optional` or `default` out")
        return self

    def to_plain(self) -> str | dict[str, Any]:
        """The YAML form, short where it can be."""
        rest = self.model_dump(exclude_defaults=True, exclude={"modality"})
        return {"modality": self.modality, **rest} if rest else self.modality


class NodeSpec(BaseModel):
    """A node: a stage and its fields. Fields named like an input port are connections, the others are config."""

    model_config = ConfigDict(extra="allow", frozen=True)

    stage: str
    when: str | None = None
    """A condition (see `refs.When`); when it does not hold the node is skipped, and what hangs on it."""

    @property
    def fields(self) -> dict[str, Any]:
        """Connections and config, as written."""
        return self.model_extra or {}

    def to_plain(self) -> dict[str, Any]:
        """The YAML form."""
        return {"stage": self.stage} | ({"when": self.when} if self.when is not None else {}) | self.fields


class FlowSpec(BaseModel):
    """A flow, in the shape of its YAML file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    flow: str
    """The flow's name."""
    bundle: str = "pocket"
    """Name or path of the bundle that it runs on."""
    doc: str = ""
    inputs: dict[str, InputSpec] = {}
    nodes: dict[str, NodeSpec] = {}
    outputs: dict[str, str] = {}
    """Name of a result -> `$reference` to a media port."""

    _source: Source = PrivateAttr(default_factory=Source)

    @property
    def source(self) -> Source:
        """Where it was read."""
        return self._source

    def read_from(self, source: Source) -> FlowSpec:
        """The same spec, remembering where it was read."""
        copy = self.model_copy()
        copy._source = source
        return copy

    def to_plain(self) -> dict[str, Any]:
        """The YAML form: dicts, lists and scalars only."""
        head = {"flow": self.flow, "bundle": self.bundle} | ({"doc": self.doc} if self.doc else {})
        return head | {
            "inputs": {name: spec.to_plain() for name, spec in self.inputs.items()},
            "nodes": {name: spec.to_plain() for name, spec in self.nodes.items()},
            "outputs": dict(self.outputs),
        }
