"""What LangGraph carries through a run."""

from __future__ import annotations

import operator
from typing import Annotated, Any, NotRequired, TypedDict

from langgraph.runtime import Runtime

from orchestrator.engine.session import Session
from orchestrator.errors import UserError


class State(TypedDict):
    """What is checkpointed: `inputs.image` or `see.features` -> handle in the store. `branch` is, within one, the begin
    of all names there."""

    handles: Annotated[dict[str, str], operator.or_]
    branch: NotRequired[str]


class Task(TypedDict):
    """What a branch is sent: the handles so far, and which of the reply's calls it follows."""

    handles: dict[str, str]
    call: int


def session_of(runtime: Runtime[Any]) -> Session:
    """The session that a graph runs within. Raises UserError if there is none."""
    if not isinstance(runtime.context, Session):
        raise UserError(
            "this graph runs within a session: use Flow.run, Flow.stream or Flow.batch; in a graph of your own, "
            "orchestrator.agents.as_node(flow)"
        )
    return runtime.context
