"""`Chat`: a dialogue with a bundle, or with a flow; each turn is a run.

The LLM is told all that was said before: the requests with the media that it was shown, and its own replies with their
signals. What it has read of that stays in its cache, so that it reads only what is new.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.engine.dispatch import keep
from orchestrator.engine.events import Event
from orchestrator.engine.flow import Flow
from orchestrator.engine.recollection import Recalled, recalled
from orchestrator.engine.result import Result
from orchestrator.engine.runner import run_session
from orchestrator.errors import InputError, nearest
from orchestrator.flow.hearing import BEFORE, hearer
from orchestrator.flow.turn import sees, turn
from orchestrator.models.bundle import Bundle
from orchestrator.models.llm.calls import Call
from orchestrator.nodes.media import Media
from orchestrator.nodes.modality import MODALITIES
from orchestrator.nodes.ports import History

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
    """How many of the oldest turns were forgotten for want of room; an exchange is two turns."""

    def __getitem__(self, name: str) -> Media:
        """An output of the turn, as of a `Result`."""
        return self.result[name]


class Chat:
    """A dialogue. Without a flow, a turn is all that the bundle can see and make.

    chat = Chat(bundle="pocket")
    print(chat.say("What is this?", image="cat.png").reply)
    chat.say("Film it.")["video"].save("cat.mp4")

    `flow` is a Flow, the path of a flow file or an arrow line; one of its nodes has to hear the user. `changes` are as
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
        self._history, self._turns = History(()), 0
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
            given.hearing()
        self._given = given
        self._flow = given or self._turn(sees(self.bundle))
        return self._flow

    def new(self) -> None:
        """Forget all that was said."""
        self.exchanges = []
        self._history = History(())
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
        result, recall = self._run(flow, inputs, on_event)
        made = tuple(Shown(media, path) for _, media, path in result.each() if media.modality != TEXT)
        exchange = Exchange(said, tuple(seen), recall.reply, recall.calls, made, result, recall.forgot)
        self._history, self._turns = recall.history, self._turns + 1
        self.exchanges.append(exchange)
        return exchange

    def _run(
        self, flow: Flow, inputs: Mapping[str, Media], on_event: Callable[[Event], None] | None
    ) -> tuple[Result, Recalled]:
        """One run of a flow, and what is to be remembered of it."""
        from orchestrator.engine.codec import digest

        hearing = flow.hearing()
        session = hearing.session(self.seed + self._turns, self.out, True, self.places, on_event)
        key = digest({"history": self._history})
        session.before = {BEFORE: keep(session, "history", self._history, key)}
        session.past = self.past
        result = run_session(hearing.graph(), session, inputs)
        return result, recalled(hearer(hearing.plan), session)

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


def _inputs(flow: Flow, text: str, media: Iterable[Media]) -> dict[str, Media]:
    """What is said and shown as the inputs of a flow, in order; what hangs on one that is not given is skipped. Raises
    InputError for what the flow does not take, or where nothing is said."""
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
    defaults = {
        name: Media.load(put.default, put.modality, name)
        for name, put in flow.spec.inputs.items()
        if put.default is not None and name not in given
    }
    return given | defaults
