"""What a flow is: spec, YAML, arrow line, builder, checks. Importing it imports no torch."""

from orchestrator.flow.arrows import is_arrow_line, parse
from orchestrator.flow.builder import FlowBuilder
from orchestrator.flow.plan import Link, Plan, WiredNode
from orchestrator.flow.schema import json_schema
from orchestrator.flow.spec import FlowSpec, InputSpec, NodeSpec
from orchestrator.flow.wiring import check, check_inputs, wire
from orchestrator.flow.yaml_io import dumps, load, loads

__all__ = [
    "FlowBuilder",
    "FlowSpec",
    "InputSpec",
    "Link",
    "NodeSpec",
    "Plan",
    "WiredNode",
    "check",
    "check_inputs",
    "dumps",
    "is_arrow_line",
    "json_schema",
    "load",
    "loads",
    "parse",
    "wire",
]
