"""The graph of a flow as boxes and edges, and its picture in the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from orchestrator.cli.rails import rails
from orchestrator.nodes.ports import PortType

if TYPE_CHECKING:
    from orchestrator.flow.plan import Plan, WiredNode

Role = Literal["input", "node", "output"]

SIGNS: dict[Role, tuple[str, str]] = {
    "input": ("◇", "bold magenta"),
    "node": ("●", "bold cyan"),
    "output": ("◆", "bold magenta"),
}


@dataclass(frozen=True)
class Box:
    """An input, a node or an output: its name, what it does (a stage), and what leaves it (or enters an output)."""

    key: str
    role: Role
    name: str
    does: str
    made: tuple[tuple[str, PortType], ...]
    when: str = ""

    @property
    def types(self) -> str:
        """What it makes: a type, or `port: type` for several."""
        named = len(self.made) > 1
        return ", ".join(f"{port}: {kind}" if named else str(kind) for port, kind in self.made)


@dataclass(frozen=True)
class Drawing:
    """Boxes in topological order, and edges between their keys."""

    boxes: tuple[Box, ...]
    edges: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, plan: Plan) -> Drawing:
        """The drawing of a plan. An input stands before its first reader, an output after what it shows."""
        edges = [(_key(source), node.name) for node in plan.nodes for source in node.sources()]
        edges += [(_key(source), f"outputs.{name}") for name, (source, _) in plan.outputs.items()]
        boxes = dict.fromkeys(box for node in plan.nodes for box in _around(plan, node))
        rest = (_input(plan, name) for name in plan.spec.inputs)
        shown = (_output(plan, name) for name in plan.outputs)
        return cls(tuple(dict.fromkeys((*boxes, *rest, *shown))), tuple(dict.fromkeys(edges)))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        beside = rails([box.key for box in self.boxes], self.edges)
        names = max((len(box.name) for box in self.boxes), default=0)
        does = max((len(box.does) for box in self.boxes), default=0)
        for box in self.boxes:
            rail, (sign, style) = beside[box.key], SIGNS[box.role]
            if rail.join:
                yield Text(rail.join, "bright_black")
            line = Text.assemble((rail.head[: rail.column], "bright_black"), (sign, style), no_wrap=True)
            line.append(rail.head[rail.column + 1 :], "bright_black").append(" ")
            line.append(box.name.ljust(names), "bold" if box.role == "node" else "magenta")
            line.append("  ").append(box.does.ljust(does), "cyan").append("  ").append(box.types)
            if box.when:
                line.append("  ").append(f"when {box.when}", "yellow")
            line.truncate(options.max_width, overflow="ellipsis")
            yield line


def _around(plan: Plan, node: WiredNode) -> Iterator[Box]:
    """The inputs that a node reads, the node, and the outputs that show it."""
    yield from (_input(plan, name) for name in plan.spec.inputs if f"inputs.{name}" in node.sources())
    spec = plan.spec.nodes[node.name]
    made = tuple((port, kind) for port, kind in node.out_types.items() if port in node.used)
    yield Box(node.name, "node", node.name, spec.stage, made, spec.when or "")
    yield from (_output(plan, name) for name, (source, _) in plan.outputs.items() if _key(source) == node.name)


def _input(plan: Plan, name: str) -> Box:
    return Box(f"inputs.{name}", "input", name, "input", ((name, PortType("Media", plan.spec.inputs[name].modality)),))


def _output(plan: Plan, name: str) -> Box:
    return Box(f"outputs.{name}", "output", name, "output", ((name, plan.outputs[name][1]),))


def _key(source: str) -> str:
    """The key of the box that a source belongs to."""
    owner = source.partition(".")[0]
    return source if owner == "inputs" else owner
