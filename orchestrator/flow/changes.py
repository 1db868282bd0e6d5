"""A flow with other config of its nodes, as `--set` and `with_fields` ask for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from orchestrator.errors import UserError, nearest
from orchestrator.flow import yaml_read
from orchestrator.flow.spec import FlowSpec, NodeSpec


def changed(spec: FlowSpec, changes: Mapping[str, Any]) -> FlowSpec:
    """A spec with other config: `{"film.steps": 4}`; text values are read as YAML. Raises UserError."""
    nodes = dict(spec.nodes)
    for target, value in changes.items():
        name, _, field = target.partition(".")
        if name not in nodes or not field:
            raise UserError(f"cannot set '{target}': write NODE.FIELD=VALUE.{nearest(name, nodes)}")
        read = yaml_read.value(value) if isinstance(value, str) else value
        nodes[name] = _node(name, nodes[name].to_plain() | {field: read})
    return spec.model_copy(update={"nodes": nodes}) if changes else spec


def _node(name: str, plain: dict[str, Any]) -> NodeSpec:
    try:
        return NodeSpec.model_validate(plain)
    except ValidationError as error:
        lines = [f"cannot set '{name}.{'.'.join(map(str, e['loc']))}': {e['msg']}" for e in error.errors()]
        raise UserError("\n".join(lines)) from None
