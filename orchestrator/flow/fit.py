"""Whether a bundle can run a flow, told before any weight is loaded."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace

from orchestrator.errors import BundleError, FlowError
from orchestrator.flow.branches import every, within
from orchestrator.flow.plan import Plan, WiredNode
from orchestrator.models.bundle import Bundle
from orchestrator.models.bundle.manifest import projector_problems
from orchestrator.models.bundle.trust import refusals
from orchestrator.models.encoder_facts import encoder_problems
from orchestrator.models.placement.needs import Need, need


def fitted(plan: Plan, bundle: Bundle) -> Plan:
    """The plan with stages that know what they run on."""
    nodes = (replace(node, stage=node.stage.for_bundle(bundle)) for node in plan.nodes)
    return replace(plan, nodes=tuple(nodes))


def check_fit(plan: Plan, bundle: Bundle) -> None:
    """Raise a FlowError with everything that the flow needs and the bundle has not."""
    problems = [
        plan.spec.source.problem(("nodes", node.name), message)
        for node in plan.nodes
        for inner in (node, *within(node))
        for message in misfits(inner, bundle)
    ]
    if problems:
        raise FlowError(problems)


def part_needs(plan: Plan, bundle: Bundle) -> list[Need]:
    """What each part needs that a run loads, in the order of first use, at the sizes that its nodes ask for."""
    users: dict[str, list[WiredNode]] = {}
    for node in every(plan):
        for part in node.stage.parts(node.types):
            users.setdefault(part, []).append(node)
    return [
        need(bundle, part, [n.name for n in nodes], [n.stage.config.model_dump(exclude_none=True) for n in nodes])
        for part, nodes in users.items()
    ]


def misfits(node: WiredNode, bundle: Bundle, but: Collection[str] = ()) -> Iterator[str]:
    """What a node needs and the bundle has not; the parts of `but` may be missing."""
    yield from node.stage.misfits(bundle, node.types)
    for part in (part for part in node.stage.parts(node.types) if part not in but):
        if bundle.remote and "_projectors." in part:  # there can be none, which the stage has told
            continue
        try:
            bundle.folders(part)
            yield from refusals(bundle, part)
            yield from projector_problems(bundle, part)
            yield from encoder_problems(bundle, part)
        except BundleError as error:
            yield str(error)
