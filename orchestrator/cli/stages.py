"""List the stages that flows are made of, or tell all about one.

orch stages
orch stages generate
"""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from orchestrator.cli.tables import plain_table

if TYPE_CHECKING:
    from rich.table import Table

    from orchestrator.nodes.ports import Port
    from orchestrator.nodes.stage import Stage

LIMITS = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `orch stages`."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="tell all about this stage")


def main(args: argparse.Namespace) -> int:
    """Print the list, or one stage."""
    from rich.console import Console

    from orchestrator.nodes.registry import stage_class, stages

    console = Console()
    if args.name is None:
        console.print(overview(stages()))
        return 0
    stage = stage_class(args.name)
    console.print(inspect.getdoc(stage) or "", markup=False, highlight=False)
    for title, declared in (("inputs", stage.inputs), ("outputs", stage.outputs)):
        console.print(ports(title, declared))
    if stage.config_class.model_fields:
        console.print(settings(stage))
    return 0


def overview(stages: Mapping[str, type[Stage]]) -> Table:
    """Every stage: its ports, its summary, its settings."""
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2, 0, 0))
    for name, stage in stages.items():
        about = Text(f"{_ports(stage.inputs)}  →  {_ports(stage.outputs)}", "cyan")
        about.append("\n" + (inspect.getdoc(stage) or "").partition("\n")[0], "default")
        fields = ", ".join(stage.config_class.model_fields)
        grid.add_row(
            Text(name, "bold magenta"), about.append(f"\nsettings: {fields}" if fields else "", "bright_black")
        )
    return grid


def ports(title: str, declared: Mapping[str, Port]) -> Table:
    """The ports of one side of a stage."""
    rows = ((name, _type(port), ", ".join(_traits(port)), port.doc) for name, port in declared.items())
    return plain_table((title, "type", "", "what it is"), rows)


def settings(stage: type[Stage]) -> Table:
    """The fields of a stage's config, from its JSON schema: types, limits and docs in one place."""
    fields = stage.config_class.model_json_schema()["properties"]
    rows = ((name, _field_type(field), _default(field), field.get("description", "")) for name, field in fields.items())
    return plain_table(("settings", "type", "default", "what it is"), rows)


def _field_type(field: Mapping[str, Any]) -> str:
    """`integer >= 1, <= 64`, `one of a, b`, or the types of a union."""
    if "anyOf" in field:
        return " or ".join(_field_type(option) for option in field["anyOf"] if option.get("type") != "null")
    if "enum" in field or "const" in field:
        return "one of " + ", ".join(map(str, field.get("enum", [field.get("const")])))
    limits = ", ".join(f"{sign} {field[key]}" for key, sign in LIMITS.items() if key in field)
    return f"{field.get('type', 'any')} {limits}".rstrip()


def _default(field: Mapping[str, Any]) -> str:
    """What holds when a flow does not say; empty where that is for the stage to find."""
    if "default" not in field:
        return "(required)"
    return "" if field["default"] is None else repr(field["default"])


def _ports(declared: Mapping[str, Port]) -> str:
    return ", ".join(f"{name}: {_type(port)}" for name, port in declared.items())


def _type(port: Port) -> str:
    return f"{port.type.kind}[as {port.like}]" if port.like else str(port)


def _traits(port: Port) -> Iterator[str]:
    if port.many:
        yield "many"
    if port.optional:
        yield "optional"
    if port.not_modalities:
        yield f"not {', '.join(port.not_modalities)}"
