"""`Chat`: a dialogue with a bundle, or with a flow; each turn is a run.

Each runs the flow that goes on from what was said before (`Flow.after`): the requests with the media that the LLM was
shown, and its own replies with their signals. What it has read of that stays in its cache: it reads only what is new.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.engine.events import Event
from orchestrator.engine.flow import Flow
from orchestrator.engine.loop import turns
from orchestrator.engine.result import Result
from orchestrator.engine.runner import run_session
from orchestrator.errors import InputError, nearest
from orchestrator.flow import history
from orchestrator.flow.messages import Message, replied
from orchestrator.flow.plan import WiredNode
from orchestrator.flow.turn import sees, turn
from orchestrator.models.bundle import Bundle
from orchestrator.models.llm.calls import Call
from orchestrator.nodes.agent import Agent
from orchestrator.nodes.dialogue import ASSISTANT, USER
from orchestrator.nodes.media import Media
from orchestrator.nodes.modality import MODALITIES
from orchestrator.nodes.ports import Reply
from orchestrator.nodes.route import asked

TEXT = "text"


@dataclass(frozen=True)
class Shown:
    """A medium of a dialogue, and the file that it is in, if there is one."""

    media: Media
    path: Path | None = None


@dataclass(frozen=True)
class Exchange:
    """What the user said and showed, what the LLM replied and called for, and what was made of it."""

    text: str
    shown: tuple[Shown, ...]
    reply: str
    calls: tuple[Call, ...]
    made: tuple[Shown, ...]
    result: Result
    forgot: int = 0
    """How many of the oldest turns the LLM was not told, for want of room; an exchange is two."""

    def __getitem__(self, name: str) -> Media:
        """An output of the turn, as of a `Result`."""
        return self.result[name]


class Chat:
    """A dialogue. Without a flow, a turn is all that the bundle can see and make.

    chat = Chat(bundle="pocket")
    print(chat.say("What is this?", image="cat.png").reply)
    chat.say("Film it.")["video"].save("cat.mp4")

    `flow` is a Flow, the path of a flow file or an arrow line, as `Flow.after` takes them. `changes` are as
    in `Flow.with_fields`, the other options as in `Flow.run`; the first turn has the `seed`, each later one the next
    number. Nothing is loaded; what can't be run raises FlowError, BundleError or PlacementError now.
    """

    def __init__(
        self,
        flow: Flow | str | Path | None = None,
        bundle: str | Path | None = None,
        *,
        seed: int = 0,
        out: str | Path | None = None,
        device: str = "auto",
        placement: Mapping[str, Any] | None = None,
        memory: int | str | None = None,
        changes: Mapping[str, Any] | None = None,
    ) -> None:
        from orchestrator.models.llm.past import Past

        self.seed, self.out = seed, out
        self.places: dict[str, Any] = {"device": device, "placement": placement, "memory": memory}
        self.exchanges: list[Exchange] = []
        self.past = Past()
        self._said: list[Message] = []
        self._turns = 0
        self._own: dict[tuple[str, ...], Flow] = {}  # the bundle's own turns, by what is shown
        self._changes = {} if flow is not None else dict(changes or {})  # of these
        given = Flow.of(flow, bundle) if isinstance(flow, (str, Path)) else flow
        self.bundle = given.bundle if given else Bundle.open(bundle or "pocket")
        self.use(given.with_fields(changes) if given and changes else given)
        self.flow.memory_plan(**self.places)

    @property
    def flow(self) -> Flow:
        """The flow of the last turn; before the first, that of one in which all is shown that can be."""
        return self._flow

    @property
    def own(self) -> bool:
        """Whether its turns are the bundle's own."""
        return self._given is None

    def use(self, flow: Flow | str | Path | None) -> Flow:
        """Go on with another flow, on the same bundle; without one, with the bundle's own turn. The dialogue stays.
        Raises what is wrong with the flow."""
        given = Flow.of(flow, self.bundle.root) if isinstance(flow, (str, Path)) else flow
        if given is not None:
            history.place(given.plan)
        self._given = given
        self._flow = given or self._turn(sees(self.bundle))
        return self._flow

    def new(self) -> None:
        """Forget all that was said."""
        self.exchanges = []
        self._said = []
        self.past.forget()

    def say(
        self, text: str = "", /, *media: Any, on_event: Callable[[Event], None] | None = None, **named: Any
    ) -> Exchange:
        """Say and show something. Media are paths, PIL pictures, `Audio`, `Video` or `Media`; by name they are those of
        a modality, or of an input of the flow. Texts among them are said after `text`.

        Raises: InputError for what can't be said or shown; what `Flow.run` raises, with `.result`. Then the dialogue is
        as before.
        """
        shown = [*map(_shown, media), *(_shown(value, self._modality(name)) for name, value in named.items())]
        said = "\n".join(filter(None, (text, *(each.media.text for each in shown if each.media.modality == TEXT))))
        seen = [each for each in shown if each.media.modality != TEXT]
        flow = self._given or self._turn(tuple(each.media.modality for each in seen))
        inputs = _inputs(flow, said, [each.media for each in seen])
        self._flow = flow
        hearers = history.place(flow.plan).hearers
        result = self._run(flow.after(self._said) if self._said else flow, hearers[0].name, inputs, on_event)
        node, reply = _heard(hearers, result)
        made = tuple(Shown(media, path) for _, media, path in result.each() if media.modality != TEXT)
        exchange = Exchange(said, tuple(seen), *asked(reply), made, result, reply.forgot)
        self._said += [Message(USER, (*(each.media for each in seen), said)), *_told(node, exchange, reply)]
        self._turns += 1
        self.exchanges.append(exchange)
        return exchange

    def _run(
        self, flow: Flow, hearer: str, inputs: Mapping[str, Media], on_event: Callable[[Event], None] | None
    ) -> Result:
        """One run of a flow, in which the LLM of a node reads on from where it was."""
        seed = self.seed + self._turns
        session, media = flow.session(inputs, seed=seed, out=self.out, on_event=on_event, **self.places)
        session.pasts = {hearer: self.past}
        return run_session(flow.graph(), session, media)

    def _turn(self, seen: tuple[str, ...]) -> Flow:
        """The bundle's own turn in which media of these modalities are shown."""
        if seen not in self._own:
            made = Flow(turn(self.bundle, seen), self.bundle.root)
            self._own[seen] = made.with_fields(self._changes) if self._changes else made
        return self._own[seen]

    def _modality(self, name: str) -> str:
        """That of a medium that is given by name."""
        inputs = self._given.spec.inputs if self._given else {}
        known = {put: spec.modality for put, spec in inputs.items()} | {modality: modality for modality in MODALITIES}
        if name not in known:
            raise InputError(f"'{name}' is neither a modality nor an input of the flow.{nearest(name, known)}")
        return known[name]


def _shown(value: Any, modality: str | None = None) -> Shown:
    """A medium that the user shows."""
    if isinstance(value, Shown):
        return value
    media = Media.load(value, modality, modality or "medium")
    return Shown(media, Path(value) if isinstance(value, (str, Path)) and media.modality != TEXT else None)


def _heard(hearers: Sequence[WiredNode], result: Result) -> tuple[WiredNode, Reply]:
    """The node that heard the user, and its last reply. Raises InputError if none had anything to reply to."""
    for node in hearers:
        source = (turns(node.name, result.values) or [f"{node.name}.reply"])[-1]
        if source in result.values:
            return node, result.values[source]
    name = hearers[0].name
    why = next(node.reason for node in result.nodes if node.name == name)
    raise InputError(f"node '{name}' had nothing to reply to: {why}; say or show what the flow asks for")


def _told(node: WiredNode, exchange: Exchange, reply: Reply) -> list[Message]:
    """What the LLM is told later of its reply: only an agent, which saw what it made, is shown that again."""
    if isinstance(node.stage, Agent):
        return [Message(ASSISTANT, (exchange.reply, *(each.media for each in exchange.made)))]
    return replied(reply)


def _inputs(flow: Flow, text: str, media: Iterable[Media]) -> dict[str, Media]:
    """What is said and shown as the inputs of a flow, in order. Raises InputError for what the flow does not take, or
    where nothing is said."""
    takes = {name: put.modality for name, put in flow.spec.inputs.items()}
    given: dict[str, Media] = {}
    for medium in (*([Media.load(text, TEXT)] if text.strip() else []), *media):
        free = [name for name, modality in takes.items() if modality == medium.modality and name not in given]
        if not free:
            listed = ", ".join(takes.values()) or "nothing"
            raise InputError(
                f"flow '{flow.spec.flow}' takes {listed}; there is no place for "
                f"{'this text' if medium.modality == TEXT else f'one more {medium.modality}'}"
            )
        given[free[0]] = medium
    if not given:
        raise InputError("nothing is said: write a text, or show a medium")
    return given
