"""What is remembered of a turn: the dialogue with the LLM's reply in it."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.engine.session import Session
from orchestrator.engine.worker import input_handles, request
from orchestrator.errors import InputError
from orchestrator.flow.plan import WiredNode
from orchestrator.models.llm.calls import Call
from orchestrator.nodes import speech
from orchestrator.nodes.agent import Agent
from orchestrator.nodes.ports import History, Reply, Turn
from orchestrator.nodes.reason import Reason
from orchestrator.nodes.route import asked


@dataclass(frozen=True)
class Recalled:
    """A dialogue with the last reply in it; what that said and called for; how many of the oldest turns it lacks."""

    history: History
    reply: str
    calls: tuple[Call, ...]
    forgot: int


def recalled(node: WiredNode, session: Session) -> Recalled:
    """What is remembered of a run: what the node heard that the user talks to. Raises InputError if it was skipped."""
    said, reply = _heard(node, session)
    text, calls = asked(reply)
    return Recalled(History(speech.replied(said, reply, calls)), text, calls, reply.forgot)


def _heard(node: WiredNode, session: Session) -> tuple[list[Turn], Reply]:
    """The dialogue up to the reply, and the reply."""
    handles, value = session.handles, session.store.value
    begin = _begin(node, session)
    source = f"{begin}.reply"
    if source not in handles:
        why = session.finished[node.name].reason
        raise InputError(f"node '{node.name}' had nothing to reply to: {why}; say or show what the flow asks for")
    if isinstance(node.stage, Reason):
        given = request(input_handles(node, handles, session), session)
        return node.stage.said(given), value(handles[source])
    told = value(handles[f"{begin.rpartition('.')[0]}.history"])
    return list(told.turns), value(handles[source])


def _begin(node: WiredNode, session: Session) -> str:
    """The begin of the names of the last turn of the LLM: the node itself, or `agent.2.reason`."""
    if not isinstance(node.stage, Agent):
        return node.name
    turn = 1
    while f"{node.name}.{turn + 1}.reason.reply" in session.handles:
        turn += 1
    return f"{node.name}.{turn}.reason"
