"""How the calls of a reply are followed: each is sent to a branch of its own, and all run at once.

A node that follows calls is a graph within the graph. Calls that wait for what others give are sent in the next wave.
Names within it: `act.2` is the branch of the second call of node `act`, `act.2.result` what it gave.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime
from langgraph.types import Send

from orchestrator.engine.events import CallStarted
from orchestrator.engine.session import Session
from orchestrator.engine.state import State, Task, session_of
from orchestrator.engine.worker import run_node, skipped
from orchestrator.errors import CallError
from orchestrator.flow.branches import MEDIA, SIGNAL
from orchestrator.flow.plan import Link, WiredNode
from orchestrator.models.llm.calls import MAKE, Call, ready
from orchestrator.nodes.decode import captioned
from orchestrator.nodes.generate import seed_at
from orchestrator.nodes.ports import Observation, PortType, Signals
from orchestrator.nodes.route import asked
from orchestrator.nodes.tool import Follow, FollowConfig, filled

CALLS, TOOL = "calls", "call"  # where a wave begins; the branch of tools
RESULT = "result"

Handles = Mapping[str, str]
Follows = Callable[["Step"], dict[str, str]]


def keep(session: Session, port: str, value: Any, *of: str) -> str:
    """Keep a value that follows from what is given, and no node made; returns its handle."""
    key = hashlib.sha256(json.dumps([port, *of]).encode()).hexdigest()
    session.store.put(key, {port: value})
    return f"{key}#{port}"


@dataclass(frozen=True)
class Step:
    """A call on its way: `branch` is the begin of all names that belong to it, `calls` are all of its reply."""

    session: Session
    handles: Handles
    calls: tuple[Call, ...]
    index: int
    branch: str
    reply: str

    @property
    def call(self) -> Call:
        return self.calls[self.index]

    def keep(self, port: str, value: Any, *of: str) -> str:
        """Keep a value that follows from the call, and from what else is given; returns its handle."""
        return keep(self.session, port, value, self.reply, self.branch, self.call.caption, self.call.arguments, *of)


@dataclass(frozen=True)
class Dispatch:
    """A node that follows calls; `making` are the compiled branches that make media, by modality."""

    node: WiredNode
    making: Mapping[str, Any]

    def graph(self) -> Any:
        """The compiled graph: calls -> a branch each -> calls, until there are none -> the node itself."""
        builder = StateGraph(State, context_schema=Session)
        doors = self._add_branches(builder)
        builder.add_edge(START, self._own(CALLS))
        builder.add_node(self.node.name, self._gather, metadata={"stage": self.node.stage.name})
        builder.add_edge(self.node.name, END)
        builder.add_conditional_edges(self._own(CALLS), self._send, [*doors, self.node.name])
        return builder.compile(name=self.node.name)

    def _add_branches(self, builder: Any) -> list[str]:
        """Add what calls are sent to, and the way back; returns the names."""
        builder.add_node(self._own(CALLS), lambda state: {})
        doors: dict[str, Follows] = {modality: self._maker(graph) for modality, graph in self.making.items()}
        for name, follow in (doors | {TOOL: self._tool}).items():
            builder.add_node(self._own(name), self._branch(follow), input_schema=Task)
            builder.add_edge(self._own(name), self._own(CALLS))
        return [self._own(name) for name in (*doors, TOOL)]

    def _own(self, name: str) -> str:
        """The name of a node of this graph, like none that a flow's node can have."""
        return f"{self.node.name}.{name}"

    # --- which calls: overridden where there are several replies

    def _begin(self, handles: Handles) -> str:
        """The begin of the names of the reply's branches."""
        return self.node.name

    def _reply(self, handles: Handles) -> str:
        """The source of the reply."""
        link: Any = self.node.links["reply"]
        return str(link.source)

    def _calls(self, handles: Handles, session: Session) -> tuple[Call, ...]:
        """What the reply asks for; nothing if the node is skipped."""
        if skipped(self.node, handles, session):
            return ()
        return asked(session.store.value(handles[self._reply(handles)]))[1]

    def _result(self, handles: Handles, index: int) -> str:
        return f"{self._begin(handles)}.{index + 1}.{RESULT}"

    # --- the graph's nodes

    def _send(self, state: State, runtime: Runtime[Session]) -> list[Send] | str:
        """The calls that can be followed now, each to its branch; else the end."""
        return self._sends(state["handles"], session_of(runtime)) or self.node.name

    def _sends(self, handles: Handles, session: Session) -> list[Send]:
        calls = self._calls(handles, session)
        done = [i for i in range(len(calls)) if self._result(handles, i) in handles]
        left = ready(calls, done) if len(done) < len(calls) else []
        return [Send(self._own(self._door(calls[i])), Task(handles=dict(handles), call=i)) for i in left]

    def _door(self, call: Call) -> str:
        modality = call.name.removeprefix(MAKE)
        return modality if modality in self.making else TOOL

    def _branch(self, follow: Follows) -> Callable[[Task, Runtime[Session]], dict[str, Any]]:
        def run(task: Task, runtime: Runtime[Session]) -> dict[str, Any]:
            session, handles, index = session_of(runtime), task["handles"], task["call"]
            calls, branch = self._calls(handles, session), f"{self._begin(handles)}.{index + 1}"
            step = Step(session, handles, calls, index, branch, handles[self._reply(handles)])
            call = step.call
            session.emit(
                CallStarted, node=branch, stage=self.node.stage.name, name=call.name, place=call.place,
                arguments=call.arguments or json.dumps({"caption": call.caption}),
            )  # fmt: skip
            return {"handles": follow(step)}

        return run

    def _maker(self, graph: Any) -> Follows:
        """The branch of a modality: the nodes that make it, from a signal on."""

        def make(step: Step) -> dict[str, str]:
            try:
                call = filled(step.call, self._given(step))
                signal = replace(captioned(call, self.making), needs=())
            except CallError:  # a node tells it, so that it is seen
                return self._tool(step)
            given = step.keep("signal", Signals(signal.name, (signal,)), signal.caption)
            before = sum(self._door(other) == signal.name for other in step.calls[: step.index])
            made: dict[str, str] = graph.invoke(
                {"handles": {f"{step.branch}.{SIGNAL}": given}, "branch": step.branch},
                context=step.session.seeded(seed_at(step.session.seed, before + self._earlier(step))),
            )["handles"]
            media = step.session.store.value(made[f"{step.branch}.{MEDIA}"])
            result = Observation(step.call, short(step.branch), (media,))
            return {**made, f"{step.branch}.{RESULT}": step.keep(RESULT, result, made[f"{step.branch}.{MEDIA}"])}

        return make

    def _tool(self, step: Step) -> dict[str, str]:
        """The branch of a tool, and of a call that can't be followed: there it fails."""
        begin = f"{step.branch}.{TOOL}"
        links: dict[str, Any] = {
            "call": Link(begin),
            "results": tuple(map(Link, results(self.node.name, step.handles))),
        }
        links |= {"tools": self.node.links["tools"]} if "tools" in self.node.links else {}
        stage = Follow(FollowConfig(name=short(step.branch), makes=tuple(self.making)))
        here = WiredNode(begin, stage, links, {}, {RESULT: PortType("Observation")}, frozenset({RESULT}))
        made = run_node(here, {**step.handles, begin: step.keep(TOOL, step.call)}, step.session)
        return {f"{step.branch}.{RESULT}": made[f"{begin}.{RESULT}"]}

    def _gather(self, state: State, runtime: Runtime[Session]) -> dict[str, Any]:
        """The node itself, with what its calls gave, in order."""
        session, handles = session_of(runtime), state["handles"]
        given = tuple(Link(self._result(handles, i)) for i in range(len(self._calls(handles, session))))
        here = replace(self.node, links={**self.node.links, "results": given})
        return {"handles": run_node(here, handles, session)}

    # --- what calls before gave

    def _given(self, step: Step) -> list[Observation]:
        return [step.session.store.value(step.handles[source]) for source in results(self.node.name, step.handles)]

    def _earlier(self, step: Step) -> int:
        """How many calls of earlier replies were followed."""
        begin = f"{self._begin(step.handles)}."
        return sum(not source.startswith(begin) for source in results(self.node.name, step.handles))


def results(node: str, sources: Iterable[str]) -> list[str]:
    """The sources of what the calls of a node gave, by turn and call: `act.1.result`, `agent.2.1.result`."""
    found = [source for source in sources if source.startswith(f"{node}.") and source.endswith(f".{RESULT}")]
    return sorted(found, key=lambda source: list(map(int, source.split(".")[1:-1])))


def short(branch: str) -> str:
    """What later calls call the result of a branch: `act.2` -> `2`, of the third turn of an agent `3-2`."""
    return branch.partition(".")[2].replace(".", "-")
