"""A node's fields, told apart: connections and config, each read and checked on its own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from orchestrator.errors import UserError, nearest
from orchestrator.flow.explain import explain
from orchestrator.flow.refs import When
from orchestrator.flow.scope import TEXT, Placed, Scope
from orchestrator.nodes.ports import PortType
from orchestrator.nodes.stage import Config, Stage
from orchestrator.prompts import template


@dataclass
class Draft:
    """A node of a known stage, on its way to a `WiredNode`. `config` is None if it is wrong, which is reported."""

    stage: type[Stage]
    links: dict[str, list[Placed]] = field(default_factory=dict)
    config: Config | None = None
    when: When | None = None
    types: dict[str, PortType] = field(default_factory=dict)
    out_types: dict[str, PortType] = field(default_factory=dict)

    def reads(self) -> list[str]:
        """The sources of its links and conditions."""
        refs = [ref for placed in self.links.values() for _, link in placed for ref in link.refs()]
        return refs + list(self.when.refs() if self.when else ())


def draft(scope: Scope, name: str, stage: type[Stage]) -> Draft:
    """Read the fields of a node: those named like a port are connections, the others config."""
    node, made, settings = scope.spec.nodes[name], Draft(stage), {}
    known = (*stage.inputs, *stage.config_class.model_fields)
    for key, value in node.fields.items():
        path = ("nodes", name, key)
        if key in stage.inputs:
            made.links[key] = scope.links(path, key, stage.inputs[key], value)
        elif key in known:
            settings[key] = value
        else:
            scope.report(path, f"stage '{node.stage}' has no port or field '{key}'.{nearest(key, known)}")
    if node.when is not None:
        made.when = scope.when(("nodes", name, "when"), node.when)
    made.config = _config(scope, name, stage, settings)
    _check_template(scope, name, made)
    return made


def _config(scope: Scope, name: str, stage: type[Stage], settings: dict[str, Any]) -> Config | None:
    try:
        return stage.config_class.model_validate(settings)
    except ValidationError as error:
        for where, message in explain(error):
            scope.report(("nodes", name, *where), f"field '{'.'.join(map(str, where))}' {message}")
        return None


def _check_template(scope: Scope, name: str, made: Draft) -> None:
    """A config field `template` is filled from the stage's text ports: each of its variables needs one, and back."""
    text = getattr(made.config, "template", None)
    if not isinstance(text, str):
        return
    path = ("nodes", name, "template")
    ports = [port for port, declared in made.stage.inputs.items() if declared.type == TEXT]
    try:
        variables = template(text).variables
    except UserError as error:
        scope.report(path, str(error))
        return
    for variable in variables:
        if variable not in ports:
            scope.report(path, f"template '{text}' has an unknown variable '{variable}'.{nearest(variable, ports)}")
        elif variable not in made.links:
            scope.report(path, f"template '{text}' needs a {variable}; connect port '{variable}'")
    for port in made.links:
        if port in ports and port not in variables:
            scope.report((*path[:2], port), f"port '{port}' is connected, but template '{text}' has no '{{{port}}}'")
