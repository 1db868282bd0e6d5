"""dialogue: what was said before -> History."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, field_validator

from orchestrator.errors import InputError
from orchestrator.models.llm.calls import Call
from orchestrator.nodes.media import Media
from orchestrator.nodes.ports import SHOWN, History, Observation, Port, PortType, Prompts, Turn
from orchestrator.nodes.sight import unseen
from orchestrator.nodes.stage import Config, Context, Inputs, Outputs, Stage

if TYPE_CHECKING:
    from orchestrator.models.bundle import Bundle

SYSTEM, USER, ASSISTANT, TOOL = "system", "user", "assistant", "tool"
RESULTS = "{results}"  # how what tools gave is told: as it is


class CallConfig(Config):
    """A call of the assistant: a signal, by the name of its modality, or a tool's, which has an id."""

    name: str = Field(description="The modality, or the tool.")
    arguments: str = Field("", description="Of a tool: JSON.")
    id: str = Field("", description="Of a tool: what its result answers.")
    place: int = Field(0, ge=0, description="Where in the text.")


class TurnConfig(Config):
    """A turn of the dialogue."""

    role: Literal["system", "user", "assistant", "tool"] = Field(description="Who says it.")
    text: str = Field("", description="What is said; of a tool, what it gave.")
    media: int = Field(0, ge=0, description="Of the user: how many of the node's `media` it shows, in order.")
    calls: tuple[CallConfig, ...] = Field((), description="Of the assistant: what it called for.")
    call: str = Field("", description="Of a tool: the id of the call that it answers.")


class DialogueConfig(Config):
    """What was said."""

    turns: tuple[TurnConfig, ...] = Field((), description="The turns: {role, text}; a system prompt is the first.")

    @field_validator("turns")
    @classmethod
    def _sound(cls, turns: tuple[TurnConfig, ...]) -> tuple[TurnConfig, ...]:
        if problems := list(_problems(turns)):
            raise ValueError("; ".join(problems))
        return turns


class Dialogue(Stage):
    """A dialogue before the request: a system prompt, examples, or what was said so far.

    Its readers, by their `history`, reply as its next turn. A run that goes on from a dialogue (`Flow.after`) adds its
    turns here. Signals that the bundle does not have are left out of the assistant's turns.
    """

    name: ClassVar[str] = "dialogue"
    config_class = DialogueConfig
    inputs: ClassVar[Mapping[str, Port]] = {"media": replace(SHOWN, doc="What its turns show, in order.")}
    outputs: ClassVar[Mapping[str, Port]] = {"history": Port(PortType("History"), "The turns.")}

    def for_bundle(self, bundle: Bundle) -> Stage:
        def kept(turn: TurnConfig) -> TurnConfig:
            calls = tuple(call for call in turn.calls if call.id or call.name in bundle.spec.signals)
            return turn.model_copy(update={"calls": calls})

        return Dialogue(self.config.model_copy(update={"turns": tuple(map(kept, self.config.turns))}))

    def misfits(self, bundle: Bundle, types: Mapping[str, PortType]) -> list[str]:
        return list(unseen(bundle, types))

    def run(self, batch: Sequence[Inputs], context: Context) -> list[Outputs]:
        """Nothing is computed. Raises InputError if there are not as many media as the turns show."""
        return [{"history": History(tuple(self._turns(request.get("media", ()))))} for request in batch]

    def _turns(self, media: Sequence[Prompts | Media]) -> Iterator[Turn]:
        shown = sum(turn.media for turn in self.config.turns)
        if shown != len(media):
            raise InputError(f"the turns of the dialogue show {shown} media, but {len(media)} are connected")
        seen = iter(media)
        calls: dict[str, Call] = {}
        given: list[Observation] = []
        for turn, after in pairwise((*self.config.turns, None)):
            if turn.role == TOOL:
                given.append(Observation(calls[turn.call], media=(Media.load(turn.text, "text"),)))
                if after is None or after.role != TOOL:
                    order = list(calls)
                    given.sort(key=lambda one: order.index(one.call.id))
                    yield Turn(TOOL, RESULTS, observations=tuple(given))
                    given.clear()
                continue
            made = tuple(Call(c.name, place=c.place, arguments=c.arguments, id=c.id) for c in turn.calls)
            calls = {call.id: call for call in made if call.id}
            yield Turn(turn.role, turn.text, made, seen=tuple(next(seen) for _ in range(turn.media)))


def _problems(turns: Sequence[TurnConfig]) -> Iterator[str]:
    """What is wrong with the order of turns, and with what they hold."""
    open_calls: list[str] = []
    for i, turn in enumerate(turns, start=1):
        where = f"turn {i} ({turn.role})"
        if turn.role == SYSTEM and i > 1:
            yield f"{where}: a system prompt is the first turn; put its text there"
        if turn.media and turn.role != USER:
            yield f"{where}: only the user shows media; show what the {turn.role} made in the next turn of the user"
        if turn.calls and turn.role != ASSISTANT:
            yield f"{where}: only the assistant calls"
        if turn.role == TOOL and turn.call not in open_calls:
            yield f"{where}: answers the call {turn.call!r}, but those open before it are: {_listed(open_calls)}"
        elif turn.role == TOOL:
            open_calls.remove(turn.call)
        elif open_calls:
            yield f"{where}: calls of the assistant are not answered: {_listed(open_calls)}"
        if turn.role != TOOL:
            open_calls = [call.id for call in turn.calls if call.id]
    if open_calls:
        yield f"calls of the assistant are not answered: {_listed(open_calls)}"


def _listed(calls: Sequence[str]) -> str:
    return ", ".join(map(repr, calls)) or "none"
