"""How an agent runs: reason, follow the calls, show what they gave, and again.

Names within it: `agent.2.reason` is the LLM's second turn, `agent.2.1` the branch of that turn's first call,
`agent.3.history` what the LLM is told in the third.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, replace
from typing import Any, NotRequired

from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime
from langgraph.types import Send

from orchestrator.engine.dispatch import CALLS, RESULT, Dispatch, Follows, Handles, Step, keep, results, short
from orchestrator.engine.session import Session
from orchestrator.engine.state import State, Task, session_of
from orchestrator.engine.worker import run_node, skipped
from orchestrator.errors import CallError, InputError, ModelError, NodeError, OutOfMemory, RetryError
from orchestrator.flow.branches import PROMPTS, SEEN, thinking
from orchestrator.flow.plan import Link
from orchestrator.models.llm.calls import Call
from orchestrator.nodes.ports import History, Observation, Reply, Turn
from orchestrator.nodes.route import asked
from orchestrator.nodes.speech import headed
from orchestrator.prompts import role

THINK, OBSERVE = "think", "observe"
TOLD = (ModelError, InputError, RetryError)  # failures of calls that the LLM is told of


def turns(name: str, made: Container[str]) -> list[str]:
    """The sources of an agent's replies, one a turn, in what a run has made."""
    found: list[str] = []
    while (source := f"{name}.{len(found) + 1}.reason.reply") in made:
        found.append(source)
    return found


class LoopState(State):
    """`began`: when the first turn did, on the run's clock."""

    began: NotRequired[float]


@dataclass(frozen=True)
class Loop(Dispatch):
    """An agent of a plan; `seeing` are the compiled branches through which media go back to the LLM, by modality."""

    seeing: Mapping[str, Any]

    def graph(self) -> Any:
        """The compiled graph: think -> calls -> a branch each -> calls -> observe -> think, until the node itself."""
        builder = StateGraph(LoopState, context_schema=Session)
        doors = self._add_branches(builder)
        think, calls, observe = map(self._own, (THINK, CALLS, OBSERVE))
        builder.add_node(think, self._think, metadata={"stage": "reason"})
        builder.add_node(observe, self._observe)
        builder.add_node(self.node.name, self._gather, metadata={"stage": self.node.stage.name})
        builder.add_edge(START, think)
        builder.add_edge(think, calls)
        builder.add_edge(observe, think)
        builder.add_edge(self.node.name, END)
        builder.add_conditional_edges(calls, self._next, [*doors, observe, self.node.name])
        return builder.compile(name=self.node.name)

    # --- where the loop is

    def _turn(self, handles: Handles) -> int:
        """The number of the last turn; 0 before the first."""
        return len(turns(self.node.name, handles))

    def _begin(self, handles: Handles) -> str:
        return f"{self.node.name}.{self._turn(handles)}"

    def _reply(self, handles: Handles) -> str:
        return f"{self._begin(handles)}.reason.reply"

    def _calls(self, handles: Handles, session: Session) -> tuple[Call, ...]:
        """What the last reply asks for; the last turn's is not followed."""
        if skipped(self.node, handles, session) or self._turn(handles) >= self.node.stage.config.turns:
            return ()
        return asked(session.store.value(handles[self._reply(handles)]))[1]

    # --- the graph's nodes

    def _think(self, state: LoopState, runtime: Runtime[Session]) -> dict[str, Any]:
        """One turn of the LLM."""
        session, handles = session_of(runtime), dict(state["handles"])
        if skipped(self.node, handles, session):
            return {}
        turn = self._turn(handles) + 1
        branch, last = f"{self.node.name}.{turn}", turn == self.node.stage.config.turns
        told = f"{branch}.history"
        if turn == 1:
            handles[told] = self._asked(handles, session)
        node = thinking(self.node, last)
        here = replace(node, name=f"{branch}.{node.name}", links={**node.links, "history": Link(told)})
        made = run_node(here, handles, session)
        return {"handles": {told: handles[told], **made}, "began": state.get("began", session.clock())}

    def _next(self, state: LoopState, runtime: Runtime[Session]) -> list[Send] | str:
        """The calls that can be followed now; else what they gave is shown, or the end."""
        session, handles = session_of(runtime), state["handles"]
        calls = self._calls(handles, session)
        if not calls or self._spent(state, session):
            return self.node.name
        return self._sends(handles, session) or self._own(OBSERVE)

    def _observe(self, state: LoopState, runtime: Runtime[Session]) -> dict[str, Any]:
        """What the LLM is told next. Raises NodeError where its calls keep failing."""
        session, handles = session_of(runtime), state["handles"]
        sources = [self._result(handles, i) for i in range(len(self._calls(handles, session)))]
        given: tuple[Observation, ...] = tuple(session.store.value(handles[source]) for source in sources)
        self._check_tries(handles, session)
        reply: Reply = session.store.value(handles[self._reply(handles)])
        native = asked(reply)[1] if reply.spans or reply.calls else ()
        before: History = session.store.value(handles[f"{self._begin(handles)}.history"])
        answered = Turn("tool", self.node.stage.config.observed, observations=given)
        history = History((*before.turns, Turn("assistant", reply.text, native), answered))
        told = [handles[source] for source in (f"{self._begin(handles)}.history", self._reply(handles), *sources)]
        name = f"{self.node.name}.{self._turn(handles) + 1}.history"
        return {"handles": {name: keep(session, "history", history, *told)}}

    def _gather(self, state: State, runtime: Runtime[Session]) -> dict[str, Any]:
        """The node itself: the last reply, and what all calls gave, in order."""
        session, handles = session_of(runtime), state["handles"]
        given = tuple(map(Link, results(self.node.name, handles)))
        links = {**self.node.links, "results": given, "reply": Link(self._reply(handles))}
        return {"handles": run_node(replace(self.node, links=links), handles, session)}

    # --- what it is told

    def _asked(self, handles: Handles, session: Session) -> str:
        """The history before the first turn: who the LLM is, what was said before, and what is asked."""
        links: Any = self.node.links
        sources = [link.source for link in links.get("media", ()) if link.source in handles]
        media = tuple(session.store.value(handles[source]) for source in sources)
        prompt: Link = links["prompt"]
        text = prompt.literal or session.store.value(handles[str(prompt.source)]).text
        who = role(self.node.stage.config.role)
        said = [link.source for link in [links.get("history")] if link]
        before = [turn for source in said for turn in session.store.value(handles[source]).turns]
        history = History((*headed(who, before), Turn("user", text, seen=media)))
        return keep(session, "history", history, who, text, *(handles[source] for source in (*said, *sources)))

    def _branch(self, follow: Follows) -> Callable[[Task, Runtime[Session]], dict[str, Any]]:
        """A branch whose failure is told to the LLM, and whose media it sees."""

        def told(step: Step) -> dict[str, str]:
            try:
                return self._seen(step, follow(step))
            except OutOfMemory:
                raise
            except TOLD as error:
                result = Observation(step.call, short(step.branch), error=str(error.__cause__ or error))
                return {f"{step.branch}.{RESULT}": step.keep(RESULT, result, result.error)}

        return super()._branch(told)

    def _seen(self, step: Step, made: dict[str, str]) -> dict[str, str]:
        """What a call gave, and how the LLM sees it."""
        session, source = step.session, f"{step.branch}.{RESULT}"
        result: Observation = session.store.value(made[source])
        handles: dict[str, str] = {}
        looks: list[str] = []
        for i, media in enumerate(result.media, start=1):
            if media.modality not in (self.node.stage.config.see or ()):
                continue
            session.store.put(media.key, {"media": media})
            look, branch = f"{media.key}#media", f"{step.branch}.{i}"
            if media.modality in self.seeing:  # else the LLM sees it as it is
                begin = {f"{branch}.{SEEN}": look}
                graph = self.seeing[media.modality]
                handles |= graph.invoke({"handles": begin, "branch": branch}, context=session)["handles"]
                look = handles[f"{branch}.{PROMPTS}"]
            looks.append(look)
        if not looks:
            return made
        seen = replace(result, seen=tuple(map(session.store.value, looks)))
        return {**made, **handles, source: step.keep(RESULT, seen, made[source], *looks)}

    # --- when it ends

    def _spent(self, state: LoopState, session: Session) -> bool:
        """Whether time or tokens are used up."""
        config, handles = self.node.stage.config, state["handles"]
        replies = [handles[f"{self.node.name}.{i + 1}.reason.reply"] for i in range(self._turn(handles))]
        written = sum(session.store.value(handle).tokens for handle in replies)
        late = config.seconds is not None and session.clock() - state.get("began", 0.0) >= config.seconds
        return late or (config.tokens is not None and written >= config.tokens)

    def _check_tries(self, handles: Handles, session: Session) -> None:
        """Raises NodeError where all calls failed once more than they may."""
        most, last = self.node.stage.config.tries, self._turn(handles)
        turns: dict[int, list[str]] = {}
        for source in results(self.node.name, handles):
            turn = int(source.split(".")[1])
            turns.setdefault(turn, []).append(session.store.value(handles[source]).error)
        recent = [turns.get(turn, [""]) for turn in range(last - most, last + 1)]
        if last > most and all(all(errors) for errors in recent):
            called = self._calls(handles, session)[-1].name
            said = f"the LLM's calls failed {most + 1} turns in a row, at last: {recent[-1][-1]}"
            raise NodeError(self.node.name, self.node.stage.name, said) from CallError(called, recent[-1][-1])
