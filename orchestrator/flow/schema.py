"""The JSON schema of flow files, made from the registered stages: what editors complete and check while one types."""

from __future__ import annotations

import inspect
from typing import Any

from orchestrator.flow.refs import NAME
from orchestrator.flow.scope import TEXT, describe
from orchestrator.nodes.modality import MODALITIES
from orchestrator.nodes.ports import Port
from orchestrator.nodes.registry import stages
from orchestrator.nodes.stage import Stage

Schema = dict[str, Any]

_REF: Schema = {"type": "string", "pattern": r"^\$[a-z]"}
_WHEN: Schema = {"type": "string", "description": "A condition: $ref, not $ref, $ref == text, $ref != text."}


def json_schema() -> Schema:
    """The schema of a flow file (JSON Schema 2020-12)."""
    nodes = {name: _node(name, stage) for name, stage in stages().items()}
    defs = {f"{name}.{key}": value for name, node in nodes.items() for key, value in node.pop("$defs", {}).items()}
    modality = {"enum": list(MODALITIES)}
    text, flag = {"type": "string"}, {"type": "boolean"}
    long_input = _object({"modality": modality, "default": text, "doc": text, "optional": flag}, ["modality"])
    properties = {
        "flow": {"type": "string", "pattern": f"^{NAME.pattern}$", "description": "The flow's name."},
        "bundle": {"type": "string", "description": "Name or path of the bundle that it runs on."},
        "doc": {"type": "string"},
        "inputs": _named({"oneOf": [modality, long_input]}),
        "nodes": _named({"oneOf": list(nodes.values())}),
        "outputs": _named(_REF),
    }
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Orch flow"}
    return head | _object(properties, ["flow", "nodes", "outputs"]) | {"$defs": defs}


def _node(name: str, stage: type[Stage]) -> Schema:
    """A node of a stage; `$defs` are those of its config, to be lifted to the top."""
    config = stage.config_class.model_json_schema(ref_template=f"#/$defs/{name}.{{model}}")
    ports = {port: _port(declared) for port, declared in stage.inputs.items()}
    needed = [port for port, declared in stage.inputs.items() if not declared.optional]
    properties = {"stage": {"const": name}, "when": _WHEN} | ports | config.get("properties", {})
    summary = (inspect.getdoc(stage) or "").partition("\n")[0]
    made = _object(properties, ["stage", *needed, *config.get("required", [])])
    return {"title": name, "description": summary} | made | {"$defs": config.get("$defs", {})}


def _port(port: Port) -> Schema:
    """What may stand at a port: a reference (or text), one with a condition, or a list of these."""
    value = {"type": "string"} if port.accepts(TEXT) else _REF
    one = {"oneOf": [value, _object({"from": value, "when": _WHEN}, ["from", "when"])]}
    entry = {"oneOf": [*one["oneOf"], {"type": "array", "items": one}]} if port.many else one
    return {"description": f"{describe(port)}: {port.doc}"} | entry


def _object(properties: Schema, required: list[str]) -> Schema:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _named(entry: Schema) -> Schema:
    return {"type": "object", "propertyNames": {"pattern": f"^{NAME.pattern}$"}, "additionalProperties": entry}
