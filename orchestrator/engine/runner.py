"""How a run goes: inputs become handles, the graph runs, the folder is written, whatever happens."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from typing import Any

from orchestrator.engine.events import NodeFinished, RunFinished, RunStarted
from orchestrator.engine.result import NodeResult, Result
from orchestrator.engine.session import Session
from orchestrator.errors import Cancelled, NodeError, OrchError
from orchestrator.flow.plan import Plan, owner
from orchestrator.flow.wiring import check_inputs
from orchestrator.nodes.media import Media

STEPS = 100_000  # LangGraph's limit is no use here: what loops has limits of its own
# One thread that stays: in a new one for each run torch sets up its buffers anew, a tenth of a small flow's time.
BESIDE = ThreadPoolExecutor(1, thread_name_prefix="orch")


def load_inputs(plan: Plan, given: Mapping[str, Any]) -> dict[str, Media]:
    """The inputs of a run as media, defaults included. Raises InputError before anything runs."""
    check_inputs(plan.spec, given)
    values = {name: given.get(name, spec.default) for name, spec in plan.spec.inputs.items()}
    return {name: Media.load(value, plan.spec.inputs[name].modality, name) for name, value in values.items()}


def run_session(graph: Any, session: Session, inputs: Mapping[str, Media]) -> Result:
    """Run a compiled graph. On an error or Ctrl-C the folder is finished first; the error carries `.result`."""
    try:
        _begin(session, inputs)
        given = {f"inputs.{name}": _keep(session, media) for name, media in inputs.items()}
        state = {"handles": {**session.before, **given}}
        for name, media in inputs.items():
            session.deliver(f"inputs.{name}", media)
        session.handles = _in_thread(graph, state, session)["handles"]
    except BaseException as error:
        stopped = isinstance(error, (Cancelled, KeyboardInterrupt))
        result = _end(session, "interrupted" if stopped else "failed", str(error))
        if stopped:
            raise _with_result(Cancelled(f"run {session.run} was stopped; what was finished is kept"), result) from None
        if isinstance(error, OrchError):
            raise _with_result(error, result) from error.__cause__
        raise _with_result(NodeError("?", "engine", str(error)), result) from error
    return _end(session, "done")


def _begin(session: Session, inputs: Mapping[str, Media]) -> None:
    plan = session.plan
    if session.folder:
        session.folder.write("flow.yaml", _yaml(plan))
    session.emit(
        RunStarted, flow=plan.spec.flow, bundle=session.bundle.name, seed=session.seed, inputs=dict(inputs),
        nodes=tuple((n.name, n.stage.name) for n in plan.nodes), edges=plan.edges(),
        folder=str(session.folder.path) if session.folder else None,
    )  # fmt: skip
    if session.folder:
        session.folder.write("run.json", result_of(session, "running").as_dict())


def _keep(session: Session, media: Media) -> str:
    """Put an input into the store; returns its handle."""
    session.store.put(media.key, {"media": media})
    return f"{media.key}#media"


def _in_thread(graph: Any, state: dict[str, Any], session: Session) -> dict[str, Any]:
    """Run the graph; returns its last state. Ctrl-C reaches the main thread only: there the graph runs beside it, so
    that Ctrl-C is heard at once and running nodes can be told to stop."""
    config = {"recursion_limit": STEPS}
    call: Callable[[], dict[str, Any]] = partial(graph.invoke, state, context=session, config=config)
    if threading.current_thread() is not threading.main_thread():
        return call()
    running = BESIDE.submit(call)
    try:
        while not wait([running], 0.1).done:
            pass
    except BaseException:
        session.stop()
        wait([running])
        raise
    return running.result()


def _end(session: Session, status: Any, error: str = "") -> Result:
    """Announce the end and finish the folder."""
    result = result_of(session, status, error)
    if session.folder:
        session.folder.write("run.json", result.as_dict())
    try:
        session.emit(RunFinished, status=status, seconds=result.seconds, error=error)
    finally:
        if session.folder:
            session.folder.close()
    return result


def result_of(session: Session, status: Any, error: str = "") -> Result:
    """What is there now; nodes in the order of the plan, each after its branches, in the order in which they ended."""
    order = {node.name: i for i, node in enumerate(session.plan.nodes)}
    done = sorted(session.finished.values(), key=lambda event: order[owner(event.node)])
    folder = session.folder
    return Result(
        run=session.run,
        status=status,
        seed=session.seed,
        seconds=session.clock(),
        outputs={name: media[0] for name, media in _ordered(session).items()},
        several=_ordered(session),
        paths=dict(folder.paths) if folder else {},
        nodes=tuple(_node_result(event) for event in done),
        folder=folder.path if folder else None,
        error=error,
    )


def _ordered(session: Session) -> dict[str, tuple[Media, ...]]:
    return {name: session.outputs[name] for name in session.plan.outputs if name in session.outputs}


def _node_result(event: NodeFinished) -> NodeResult:
    return NodeResult(event.node, event.stage, event.status, event.seconds, event.device, 1, event.made, event.reason)


def _with_result(error: OrchError, result: Result) -> OrchError:
    error.result = result
    return error


def _yaml(plan: Plan) -> str:
    from orchestrator.flow.yaml_io import dumps

    return dumps(plan.spec)
