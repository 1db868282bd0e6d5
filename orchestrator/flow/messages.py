"""Messages: a dialogue as who embeds a flow has it, and as turns of a `dialogue` node."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from pathlib import Path
from typing import Any, Protocol

from pydantic import ValidationError

from orchestrator.errors import InputError, nearest
from orchestrator.models.llm.calls import Call
from orchestrator.nodes.dialogue import ASSISTANT, SYSTEM, TOOL, USER, DialogueConfig
from orchestrator.nodes.media import Media
from orchestrator.nodes.ports import Reply

ROLES = (SYSTEM, USER, ASSISTANT, TOOL)


@dataclass(frozen=True)
class Message:
    """What somebody said: texts and media, in order.

    Of the assistant, media are what it made: its signals, and seen in the user's next turn. `calls` with an id are of
    tools; a tool's message answers the `call` of that id. Those without are signals, at their `place` in the text, of
    which nothing is seen.
    """

    role: str
    parts: tuple[str | Media, ...] = ()
    calls: tuple[Call, ...] = ()
    call: str = ""

    @classmethod
    def of(cls, given: Any) -> Message:
        """A message, or (role, text) or (role, texts, paths and media). Raises InputError."""
        if isinstance(given, Message):
            return given
        if not isinstance(given, (tuple, list)) or len(given) != 2:
            raise InputError(f"a message is (role, text) or (role, [texts, paths and media]), not {given!r:.80}")
        role, said = given
        if role not in ROLES:
            raise InputError(f"a message is from {', '.join(ROLES)}, not {role!r}.{nearest(str(role), ROLES)}")
        parts = [said] if isinstance(said, (str, Path, Media)) else said
        return cls(role, tuple(part if isinstance(part, (str, Media)) else Media.load(part) for part in parts))

    @property
    def text(self) -> str:
        """Its texts, a line each."""
        return "\n".join(part for part in self.parts if isinstance(part, str))

    @property
    def media(self) -> tuple[Media, ...]:
        return tuple(part for part in self.parts if isinstance(part, Media))


@dataclass(frozen=True)
class Told:
    """A dialogue for a node: its `turns`, the media that they show, and those that the request after it shows first:
    what the assistant made is seen in the next turn of the user, which every chat template takes."""

    turns: list[dict[str, Any]]
    shown: list[Media]
    made: list[Media]


class Hearer(Protocol):
    """Who is told a dialogue."""

    def sees(self, medium: Media) -> bool:
        """Whether the LLM can be shown a medium."""

    def unseen(self, modality: str) -> str:
        """Why it can't be shown a modality."""

    def asked(self, text: str) -> str:
        """What the user said as it was asked."""


def told(messages: Iterable[Any], hearer: Hearer, signals: Sequence[str]) -> Told:
    """The turns of a dialogue; `signals` are the modalities that the LLM makes by signals. Raises InputError for what
    it can't be told."""
    out = Told([], [], [])
    for message in joined(map(Message.of, messages)):
        if message.role == USER:
            if unseen := [hearer.unseen(medium.modality) for medium in message.media if not hearer.sees(medium)]:
                raise InputError(f"a message of the user has a medium that can't be shown; leave it out: {unseen[0]}")
            media = [*out.made, *message.media]
            out.made.clear()
            out.shown.extend(media)
            out.turns.append({"role": USER, "text": hearer.asked(message.text), "media": len(media)})
            continue
        if message.media and message.role != ASSISTANT:
            raise InputError(f"media come from the user or the assistant, not from the {message.role}")
        out.made.extend(filter(hearer.sees, message.media))
        turn = _made(message, hearer.sees, signals) if message.role == ASSISTANT else {"text": message.text}
        out.turns.append({"role": message.role} | turn | ({"call": message.call} if message.call else {}))
    if out.turns and out.turns[-1]["role"] == USER:
        raise InputError("the dialogue before a run ends with the user's message: what is asked now is the run's input")
    try:
        DialogueConfig.model_validate({"turns": out.turns})
    except ValidationError as error:
        raise InputError("\n".join(e["msg"].removeprefix("Value error, ") for e in error.errors())) from None
    return out


def joined(messages: Iterable[Message]) -> list[Message]:
    """Messages of the system, the user or the assistant that follow each other as one, since most chat templates want
    turns to alternate. A tool's call ends the assistant's."""
    out: list[Message] = []
    for message in messages:
        last = out[-1] if out else None
        if last and message.role == last.role != TOOL and not any(call.id for call in last.calls):
            begin = len(last.text) + bool(last.text)
            calls = (replace(call, place=call.place + begin) for call in message.calls)
            out[-1] = Message(message.role, (*last.parts, *message.parts), (*last.calls, *calls))
        else:
            out.append(message)
    return out


def replied(reply: Reply) -> list[Message]:
    """A reply as messages: its signals, of which nothing is seen; of calls of a remote LLM's tools, which it can't be
    told without an answer, that they were followed."""
    spans = tuple(Call(span.modality, place=span.place) for span in reply.spans)
    calls = tuple(replace(call, id=call.id or f"call-{i}") for i, call in enumerate(reply.calls))
    return [
        Message(ASSISTANT, (reply.text,), (*spans, *calls)),
        *(Message(TOOL, ("done",), call=call.id) for call in calls),
    ]


def _made(message: Message, sees: Callable[[Media], bool], signals: Sequence[str]) -> dict[str, Any]:
    """What the assistant said, with a signal where each medium stood; one that neither its signal nor its look can tell
    is named in the text."""
    text = ""
    calls: list[dict[str, Any]] = [
        {"name": c.name, "place": c.place} for c in message.calls if c.name in signals and not c.id
    ]
    for part in message.parts:
        if isinstance(part, str):
            text += "\n" * bool(text) + part
        elif part.modality in signals:
            calls.append({"name": part.modality, "place": len(text)})
        elif not sees(part):
            text += "\n" * bool(text) + f"[{part.modality}]"
    calls.sort(key=itemgetter("place"))
    asked = [call for call in message.calls if call.id]
    calls += [{"name": c.name, "arguments": c.arguments or "{}", "id": c.id, "place": len(text)} for c in asked]
    return {"text": text} | ({"calls": calls} if calls else {})
