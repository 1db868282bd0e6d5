"""Whether a recipe fits its flow and its bundle, told before any weight is loaded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from orchestrator.errors import RecipeError, UserError, nearest
from orchestrator.flow.fit import misfits
from orchestrator.models.bundle import Bundle
from orchestrator.models.bundle.manifest import new_projector
from orchestrator.train.graph.nodes import Nodes
from orchestrator.train.objectives import OBJECTIVES
from orchestrator.train.recipe import Recipe
from orchestrator.train.tuning import ProjectorTuning

if TYPE_CHECKING:
    from torch import nn

Found = tuple[tuple[str, ...], str]  # where in the recipe, and what

# which stages' objectives have a gradient in which parts, by the part's first word
REACHED_BY = {
    "input_projectors": ("project", "reason", "output_project", "generate"),
    "llm": ("reason", "output_project", "generate"),
    "output_projectors": ("output_project", "generate"),
}


def check(recipe: Recipe, nodes: Nodes, bundle: Bundle) -> None:
    """Raise RecipeError with everything that does not fit."""
    found = [
        *_objectives(recipe, nodes),
        *_trained(recipe, nodes),
        *_needed(recipe, nodes, bundle),
        *_new(recipe, nodes, bundle),
    ]
    if found:
        raise RecipeError([recipe.problem(message, *place) for place, message in found])


def _objectives(recipe: Recipe, nodes: Nodes) -> Iterator[Found]:
    """An objective needs a node that owns it."""
    if not recipe.weights():
        yield ("objectives",), f"there is no objective.{nearest('', OBJECTIVES)}"
    for name in recipe.weights():
        if not nodes.modalities(stage := OBJECTIVES[name].stage):
            yield (
                ("objectives", name),
                f"objective {name} is of {stage} nodes, and flow '{recipe.flow}' has none; name a flow that has one",
            )
    if "dpo" in recipe.weights() and not {"llm.lora", "llm.signals"} & recipe.tunings().keys():
        yield (
            ("objectives", "dpo"),
            "objective dpo compares the LLM with what it was, by disabling its adapter, and none trains; "
            "train one: `train: {llm.lora: {r: 32}}`",
        )


def _trained(recipe: Recipe, nodes: Nodes) -> Iterator[Found]:
    """What trains is used by the flow, and reached by an objective."""
    used = list(nodes.parts())
    if not recipe.tunings():
        yield ("train",), "nothing trains; name a part: `train: {input_projectors.image: {}}`"
    for part in recipe.tunings():
        owner = "llm" if part.startswith("llm") else part
        if owner not in used:
            yield ("train", part), f"{part}: flow '{recipe.flow}' does not use it; it uses: {', '.join(used)}"
        stages = REACHED_BY[part.partition(".")[0]]
        if not any(OBJECTIVES[name].stage in stages for name in recipe.weights()):
            fit = ", ".join(name for name, objective in OBJECTIVES.items() if objective.stage in stages)
            has = ", ".join(recipe.weights()) or "none"
            yield ("train", part), f"{part}: none of the objectives ({has}) reaches it; those that do: {fit}"


def _needed(recipe: Recipe, nodes: Nodes, bundle: Bundle) -> Iterator[Found]:
    """What the nodes that are used need of the bundle; new projectors need not be there."""
    new = {part for part, how in recipe.tunings().items() if isinstance(how, ProjectorTuning) and how.kind}
    unused = {
        "output_project": not recipe.options("output_project") and not recipe.options("generate"),
        "generate": not recipe.options("generate"),
    }
    for node in nodes.all():
        if not unused.get(node.stage.name):
            for message in misfits(node, bundle, new):
                yield ("bundle",), f"node '{node.name}': {message}"


def _new(recipe: Recipe, nodes: Nodes, bundle: Bundle) -> Iterator[Found]:
    """Whether new projectors can be built between the bundle's parts."""
    used, own = list(nodes.parts()), ", ".join(recipe.options("project"))
    for part, how in recipe.tunings().items():
        if not isinstance(how, ProjectorTuning) or part not in used:
            continue
        if how.kind is None:
            if how.config:
                what = "config is for a new projector; give its `kind`, or leave config out to train the bundle's on"
                yield ("train", part, "config"), f"{part}: {what}"
            continue
        try:
            made = _sketch(bundle, part, how)
        except UserError as error:
            for line in str(error).splitlines():
                yield ("train", part), line if part in line else f"{part}: {line}"
            continue
        if own and part.startswith("input") and not hasattr(made, "objectives"):
            yield ("train", part, "kind"), f"{part}: {own} are objectives of a Q-Former, and a '{how.kind}' has none"


def _sketch(bundle: Bundle, part: str, how: ProjectorTuning) -> nn.Module:
    """A new projector without memory for its weights."""
    import torch

    with torch.device("meta"):
        return new_projector(bundle, part, str(how.kind), **how.config)
