"""How one node runs: its inputs are looked up, its key is made, its stage is called, its outputs are kept.

This is the place of batching across runs: the stage takes a batch of requests, and gets one of one here.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from typing import Any

from orchestrator.engine.events import LoadStarted, NodeFinished, NodeStarted
from orchestrator.engine.session import NodeContext, Session
from orchestrator.engine.summary import describe, shown
from orchestrator.errors import Cancelled, NodeError, OutOfMemory, RetryError, UserError
from orchestrator.flow.keys import literal_key, node_key
from orchestrator.flow.plan import Link, WiredNode
from orchestrator.models.placement.devices import machine, out_of_memory
from orchestrator.models.placement.memory import advice
from orchestrator.models.placement.sizes import size
from orchestrator.nodes.media import Media
from orchestrator.nodes.stage import Outputs

SIZES = ("width", "height", "frames", "seconds", "max_new_tokens")  # settings that a smaller need follows from

Handles = dict[str, str]  # source (`see.features`) -> handle (`key#port`)


def run_node(node: WiredNode, handles: Mapping[str, str], session: Session) -> Handles:
    """Run, skip or look up a node; returns the handles of its outputs. Raises NodeError, UserError or Cancelled."""
    from orchestrator.engine.codec import digest

    begun, parts = time.monotonic(), _parts(node)

    def finish(status: str, outputs: Outputs, reason: str = "") -> None:
        session.emit(
            NodeFinished,
            node=node.name,
            stage=node.stage.name,
            status=status,
            seconds=time.monotonic() - begun,
            device=session.memory.spot(parts).device,
            made={port: describe(value) for port, value in outputs.items()},
            media=shown(outputs),
            reason=reason,
        )

    session.check()
    if reason := skipped(node, handles, session):
        finish("skipped", {}, reason)
        return {}
    inputs = input_handles(node, handles, session)
    key = node_key(node, session.bundle, session.seed, session.memory.dtype(parts), inputs)
    outputs = session.store.get(key) if session.cache and node.stage.pure else None
    status = "ran" if outputs is None else "cached"
    try:
        if outputs is None:
            outputs = _call(node, inputs, session)
            key = key if node.stage.pure else digest(outputs)
            session.store.put(key, outputs)
        for port, value in outputs.items():
            session.deliver(f"{node.name}.{port}", value)
    except Cancelled:
        finish("stopped", {})
        raise
    except Exception as error:
        finish("failed", {}, str(error) or type(error).__name__)
        raise _named(error, node, session) from error
    finish(status, outputs)
    return {f"{node.name}.{port}": f"{key}#{port}" for port in outputs}


def skipped(node: WiredNode, handles: Mapping[str, str], session: Session) -> str:
    """Why a node is skipped, or nothing: its condition does not hold, or a required input or all inputs are missing."""
    lookup = partial(_lookup, handles=handles, session=session)
    if node.when and not node.when.holds(lookup):
        return f"when {node.when}"
    connected = list(node.all_links())
    if connected and not any(_present(link, handles, session) for link in connected):
        return f"no {connected[0].source}"
    for port, links in node.links.items():
        if node.stage.inputs[port].optional:
            continue
        for link in links if isinstance(links, tuple) else (links,):
            if not _present(link, handles, session):
                return f"no {link.source}"
    return ""


def input_handles(node: WiredNode, handles: Mapping[str, str], session: Session) -> dict[str, Any]:
    """Port -> handle, a list of them for `many` ports; what is missing is left out. Literals are stored on the way."""

    def handle(link: Link) -> str:
        if link.literal is None:
            return handles[str(link.source)]
        key = literal_key(link.literal)
        session.store.put(key, {"text": Media.load(link.literal, "text")})
        return f"{key}#text"

    found: dict[str, Any] = {}
    for port, links in node.links.items():
        if isinstance(links, tuple):
            found[port] = [handle(link) for link in links if _present(link, handles, session)]
        elif _present(links, handles, session):
            found[port] = handle(links)
    return found


def request(inputs: Mapping[str, Any], session: Session) -> dict[str, Any]:
    """The values of a node's inputs."""
    value = session.store.value
    return {p: tuple(value(h) for h in hs) if isinstance(hs, list) else value(hs) for p, hs in inputs.items()}


def _present(link: Link, handles: Mapping[str, str], session: Session) -> bool:
    lookup = partial(_lookup, handles=handles, session=session)
    return (link.when is None or link.when.holds(lookup)) and (link.literal is not None or link.source in handles)


def _lookup(source: str, handles: Mapping[str, str], session: Session) -> Any:
    """The value of a source, or None where it is missing."""
    return session.store.value(handles[source]) if source in handles else None


def _parts(node: WiredNode) -> list[str]:
    """The parts that a node is lent."""
    return list(node.stage.parts(node.types))


def _call(node: WiredNode, inputs: Mapping[str, Any], session: Session) -> Outputs:
    """Call the stage with a batch of one, without gradients, its parts lent for the time."""
    import torch

    from orchestrator.engine.transfer import moved

    def tell(part: str) -> None:
        session.check()  # it may have waited for the part
        session.emit(LoadStarted, node=node.name, stage=node.stage.name, part=part)

    parts = _parts(node)
    spot, given = session.memory.spot(parts), request(inputs, session)
    with session.pool.lend(session.bundle, parts, session.memory, tell) as models, torch.no_grad():
        session.emit(NodeStarted, node=node.name, stage=node.stage.name, device=spot.device)
        context = NodeContext(session, node.name, node.stage.name, spot, models, [session.seed])
        (outputs,) = node.stage.run([moved(given, spot) if parts else given], context)
    return outputs


def _named(error: Exception, node: WiredNode, session: Session) -> Exception:
    """The error with the node's name: a user's mistake and what may be retried stay so, all else is a NodeError."""
    if isinstance(error, (UserError, RetryError)):
        return type(error)(f"node '{node.name}': {error}")
    if out_of_memory(error):
        return OutOfMemory(_too_little(node, session))
    return NodeError(node.name, node.stage.name, str(error) or type(error).__name__)


def _too_little(node: WiredNode, session: Session) -> str:
    """What a node needs, what there is, and what to set."""
    rows = [session.memory[part] for part in _parts(node)]
    smaller = {f"{node.name}.{f}": f for f in SIZES if f in type(node.stage.config).model_fields}
    where = session.memory.spot(_parts(node)).device
    free = next((size(device.free) for device in machine() if device.name == where), "an unknown amount")
    needs = ", ".join(
        f"{row.part} has {size(row.lent)} of weights there ({row.spot.dtype}) and takes about "
        f"{size(row.activations)} to run"
        for row in rows
    )
    return (
        f"node '{node.name}' ({node.stage.name}) ran out of memory on {where}: {needs or 'it has no parts'}; "
        f"{free} is free now. {advice(rows, smaller)}"
    )
