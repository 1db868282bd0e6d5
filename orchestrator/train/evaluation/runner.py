"""Runs a flow over many requests, a batch at a stage: the same stages that a user's run calls one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from orchestrator.errors import InputError, NodeError, OrchError, UserError
from orchestrator.flow.plan import Link, Plan, WiredNode
from orchestrator.nodes.media import Media
from orchestrator.train.lent import Lent

Values = dict[str, Any]  # source (`inputs.image`, `decode.text`) -> value; what was skipped is absent


def run(plan: Plan, parts: Lent, requests: Sequence[Mapping[str, Any]], seeds: Sequence[int]) -> list[Values]:
    """All values that a flow has for each request (its inputs by name), each with a seed of its own. Without gradients.

    Raises NodeError, naming the node; an error of the user's stays one.
    """
    values = [_inputs(plan, request) for request in requests]
    for node in plan.nodes:
        rows = [(i, request) for i, known in enumerate(values) if (request := _request(node, known)) is not None]
        if not rows:
            continue
        parts.seeds = [seeds[i] for i, _ in rows]
        for (i, _), made in zip(rows, _call(node, [request for _, request in rows], parts), strict=True):
            values[i] |= {f"{node.name}.{port}": value for port, value in made.items()}
    return values


def _inputs(plan: Plan, given: Mapping[str, Any]) -> Values:
    """The inputs of a request as media, defaults included. Raises InputError."""
    found = {}
    for name, spec in plan.spec.inputs.items():
        value = given.get(name, spec.default)
        if value is None and spec.optional:
            continue
        if value is None:
            raise InputError(f"nothing for the flow's input '{name}' ({spec.modality})")
        found[f"inputs.{name}"] = Media.load(value, spec.modality, name)
    return found


def _request(node: WiredNode, values: Values) -> dict[str, Any] | None:
    """What a node is given; None if it is skipped: its condition does not hold, or an input is missing."""
    if node.when and not node.when.holds(values.get):
        return None
    request: dict[str, Any] = {}
    for port, links in node.links.items():
        every = links if isinstance(links, tuple) else (links,)
        found = tuple(value for link in every if (value := _value(link, values)) is not None)
        if len(found) < len(every) and not node.stage.inputs[port].optional:
            return None
        if found:
            request[port] = found if isinstance(links, tuple) else found[0]
    return None if node.links and not request else request


def _value(link: Link, values: Values) -> Any:
    if link.when and not link.when.holds(values.get):
        return None
    return Media.load(link.literal, "text") if link.source is None else values.get(link.source)


def _call(node: WiredNode, requests: Sequence[Mapping[str, Any]], context: Lent) -> list[dict[str, Any]]:
    try:
        with torch.no_grad():
            return node.stage.run(requests, context)
    except UserError as error:
        raise type(error)(f"node '{node.name}': {error}") from error
    except OrchError:
        raise
    except Exception as error:
        raise NodeError(node.name, node.stage.name, str(error) or type(error).__name__) from error
