"""A flow as a node of a LangGraph of somebody else's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_core.runnables import Runnable, RunnableLambda

from orchestrator.errors import UserError, nearest

if TYPE_CHECKING:
    from orchestrator.engine.events import Event, OutputReady
    from orchestrator.engine.flow import Flow

State = Mapping[str, Any]


def as_node(
    flow: Flow,
    inputs: Mapping[str, str] | None = None,
    outputs: Mapping[str, str] | None = None,
    *,
    out: str | Path = "runs",
    **options: Any,
) -> Runnable[Any, dict[str, Any]]:
    """What a parent graph adds: `parent.add_node("look", as_node(flow, {"image": "picture"}, {"text": "caption"}))`.

    `inputs` maps the flow's inputs to the keys of the parent's state that they are read from, `outputs` its outputs to
    the keys that they are written to; without a mapping all go by their own names. An input whose key is absent or
    None takes its default. What is written is plain, so any checkpointer keeps it: the text, or the path of the file in
    the run's folder under `out` (of several media the first; the others lie beside it), None for what was skipped.

    Events of the run go to the stream mode `custom`, as `event.as_dict()`. A node that is run again, after an interrupt
    or an error, takes what it had finished from the store. `options` are those of `Flow.run`. Raises UserError for a
    mapping of names that the flow does not have.
    """
    reads = dict(inputs) if inputs is not None else {name: name for name in flow.spec.inputs}
    writes = dict(outputs) if outputs is not None else {name: name for name in flow.spec.outputs}
    _check(flow, reads, writes)

    def given(state: State) -> dict[str, Any]:
        get = state.get if isinstance(state, Mapping) else lambda key: getattr(state, key, None)
        return {name: value for name, key in reads.items() if (value := get(key)) is not None}

    settings = {"out": out, "previews": False, **options}

    def call(state: State) -> dict[str, Any]:
        send = _sender()
        return _written(writes, map(send, flow.stream(given(state), **settings)))

    async def acall(state: State) -> dict[str, Any]:
        send = _sender()
        return _written(writes, [send(event) async for event in flow.astream(given(state), **settings)])

    node = RunnableLambda(call, acall, name=flow.spec.flow)
    node.deps = [flow.graph()]  # what LangGraph draws within it
    return node


def _check(flow: Flow, reads: Mapping[str, str], writes: Mapping[str, str]) -> None:
    """Every name of the mappings is one of the flow's, and every input that has no default is read."""
    sides: dict[str, tuple[Mapping[str, str], Iterable[str]]] = {
        "input": (reads, flow.spec.inputs), "output": (writes, flow.spec.outputs)
    }  # fmt: skip
    problems = [
        f"flow '{flow.spec.flow}' has no {side} '{name}'.{nearest(name, known)}"
        for side, (named, known) in sides.items()
        for name in named
        if name not in known
    ]
    problems += [
        f"flow '{flow.spec.flow}': input '{name}' has no default: say which key it is read from, {{'{name}': KEY}}"
        for name, spec in flow.spec.inputs.items()
        if spec.required and name not in reads
    ]
    if problems:
        raise UserError("\n".join(problems))


def _sender() -> Callable[[Event], Event]:
    """Hands events to the readers of the parent's stream."""
    from langgraph.config import get_stream_writer

    write = get_stream_writer()

    def send(event: Event) -> Event:
        write(event.as_dict())
        return event

    return send


def _written(writes: Mapping[str, str], events: Iterable[Event]) -> dict[str, Any]:
    """The parent's keys and what they become."""
    ready: dict[str, Any] = {e.name: _value(e) for e in events if e.kind == "output_ready"}  # type: ignore[attr-defined]
    return {key: ready.get(name) for name, key in writes.items()}


def _value(ready: OutputReady | Any) -> str | None:
    return ready.media.text if ready.media.modality == "text" else ready.path
