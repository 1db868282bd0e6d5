"""The registered stages: the built-in table, and those that installed packages bring.

A package adds a stage with an entry point in the group `orchestrator.stages`: its name is the stage's name, its value
`module:Class`. `orchestrator.testing.check_stage` tells the author what is missing.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.metadata import entry_points

from orchestrator.errors import UserError, nearest
from orchestrator.nodes.stage import Stage

GROUP = "orchestrator.stages"

BUILT_IN: dict[str, str] = {
    "encode": "orchestrator.nodes.encode:Encode",
    "project": "orchestrator.nodes.project:Project",
    "dialogue": "orchestrator.nodes.dialogue:Dialogue",
    "reason": "orchestrator.nodes.reason:Reason",
    "decode": "orchestrator.nodes.decode:Decode",
    "output_project": "orchestrator.nodes.output_project:OutputProject",
    "generate": "orchestrator.nodes.generate:Generate",
    "route": "orchestrator.nodes.route:Route",
    "agent": "orchestrator.nodes.agent:Agent",
    "tool": "orchestrator.nodes.tool:Toolbox",
}


@cache
def stages() -> dict[str, type[Stage]]:
    """All stages by name, built-in ones first. Two packages with one name are an error, not a race."""
    found = {name: _import(target) for name, target in BUILT_IN.items()}
    for point in entry_points(group=GROUP):
        if point.name in found:
            raise UserError(f"stage '{point.name}' of {point.value} is registered already; rename its entry point")
        found[point.name] = point.load()
    return found


def stage_class(name: str) -> type[Stage]:
    """The stage class of that name; an unknown name tells the nearest."""
    if name not in stages():
        raise UserError(f"unknown stage '{name}'.{nearest(name, stages())}")
    return stages()[name]


def _import(target: str) -> type[Stage]:
    module, _, name = target.partition(":")
    stage: type[Stage] = getattr(import_module(module), name)
    return stage
