"""The messages of a chat completion: what clients send, and what a flow is told of it."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from orchestrator.errors import InputError
from orchestrator.flow.messages import Message
from orchestrator.models.llm.calls import Call
from orchestrator.nodes.media import Media
from orchestrator.nodes.modality import MODALITIES
from orchestrator.serve.media import Reader, check_within
from orchestrator.serve.runs import Runs
from orchestrator.serve.shapes import files

if TYPE_CHECKING:
    from orchestrator.engine.flow import Flow

TEXT = "text"
MAX_MEDIA = 32  # of the messages before the request
ROLES = {"developer": "system"}  # a newer name
OWN = re.compile(r"/runs/([\w-]+)/files/([\w.-]+)")
LINK = re.compile(r"!?\[[^\[\]\n]*\]\(((?:data:|https?://|/runs/)[^()\[\]\s]+)\)")  # as answers have them


class Address(BaseModel):
    """Where a medium is: a data URI, an upload's id, or an address where these are allowed."""

    url: str


class Sound(BaseModel):
    """A sound in the request: base64."""

    data: str
    format: str = "wav"


class TextPart(BaseModel):
    """A text."""

    type: Literal["text"]
    text: str


class ImagePart(BaseModel):
    """A picture."""

    type: Literal["image_url"]
    image_url: Address


class AudioPart(BaseModel):
    """A sound."""

    type: Literal["input_audio"]
    input_audio: Sound


class VideoPart(BaseModel):
    """A video. It is not in OpenAI's API; other servers call it so."""

    type: Literal["video_url"]
    video_url: Address


Part = Annotated[TextPart | ImagePart | AudioPart | VideoPart, Field(discriminator="type")]


class MadeMedium(BaseModel):
    """A medium of an answer, as `message.media` has it."""

    modality: Literal["image", "audio", "video"]
    url: str


class Function(BaseModel):
    """What was called."""

    name: str
    arguments: str = "{}"


class ToolCall(BaseModel):
    """A call of a tool."""

    id: str = Field(min_length=1)
    function: Function


class ChatMessage(BaseModel):
    """A message. `media` is what the assistant made, as its answer told it."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[Part] | None = None
    media: list[MadeMedium] = []
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str = ""

    @property
    def parts(self) -> list[Any]:
        """Its parts; a text is one."""
        content = self.content or []
        return [TextPart(type="text", text=content)] if isinstance(content, str) else content


@dataclass(frozen=True)
class Listener:
    """Reads messages for a flow. `base` is the address of this server as the client has it."""

    flow: Flow
    reader: Reader
    runs: Runs
    base: str

    def heard(self, messages: Sequence[ChatMessage]) -> tuple[Flow, dict[str, Media]]:
        """The flow, after all messages but the last ones of the user, and its inputs, which are those. Raises
        InputError for what the flow would not see."""
        last = next((i for i, m in enumerate(reversed(messages)) if m.role != "user"), len(messages))
        before, asked = messages[: len(messages) - last], messages[len(messages) - last :]
        if not asked:
            raise InputError(
                f"the last message is the user's, not the {messages[-1].role}'s: it is what a flow answers"
            )
        given = self._inputs([part for message in asked for part in message.parts])
        if not before:
            return self.flow, self.reader.read(self.flow, given)
        talk = self.flow.after(self._before(before))
        return talk, self.reader.read(talk, given)

    def _inputs(self, parts: Sequence[Any]) -> dict[str, str | bytes]:
        """The inputs of the flow in the parts of what is asked."""
        name, puts = self.flow.spec.flow, {put.modality: name for name, put in self.flow.spec.inputs.items()}
        given: dict[str, str | bytes] = {}
        for part in parts:
            modality, value = READ[part.type](part)
            if modality not in puts:
                raise InputError(f"flow '{name}' takes {', '.join(puts) or 'nothing'}, but a message has {modality}")
            if modality == TEXT and puts[TEXT] in given:
                value = f"{given[puts[TEXT]]!s}\n{value!s}"
            elif puts[modality] in given:
                raise InputError(f"flow '{name}' takes one {modality}, and the message has several")
            given[puts[modality]] = value if modality == TEXT else self._own(value)
        return given

    def _before(self, messages: Sequence[ChatMessage]) -> list[Message]:
        """What was said before."""
        said = [self._message(message) for message in messages]
        count = sum(len(message.media) for message in said)
        if count > MAX_MEDIA:
            raise InputError(f"the messages before the last one have {count} media; {MAX_MEDIA} are taken: send fewer")
        return said

    def _message(self, message: ChatMessage) -> Message:
        role = ROLES.get(message.role, message.role)
        read = self._said if role == "assistant" else self._parts
        parts: tuple[str | Media, ...] = tuple(read(message))
        calls = tuple(Call(c.function.name, arguments=c.function.arguments, id=c.id) for c in message.tool_calls or ())
        return Message(role, parts, calls, message.tool_call_id)

    def _parts(self, message: ChatMessage) -> Iterator[str | Media]:
        for part in message.parts:
            modality, value = READ[part.type](part)
            yield str(value) if modality == TEXT else self._medium(message.role, modality, value)

    def _said(self, message: ChatMessage) -> Iterator[str | Media]:
        """What the assistant said. Links to what it made are media: those of its `media`, of this server, and data."""
        listed = {made.url: made.modality for made in message.media}
        for part in message.parts:
            modality, value = READ[part.type](part)
            if modality == TEXT:
                yield from self._linked(str(value), listed)
            else:
                yield self._medium(message.role, modality, value)
        for url, modality in listed.items():  # those that no link in the text named
            yield self._medium(message.role, modality, url)

    def _linked(self, text: str, listed: dict[str, Any]) -> Iterator[str | Media]:
        begin = 0
        for link in LINK.finditer(text):
            url = link[1]
            modality = listed.pop(url, None) or self._modality(url)
            if modality is None:
                continue
            if before := text[begin : link.start()].strip():
                yield before
            yield self._medium("assistant", modality, url)
            begin = link.end()
        if rest := text[begin:].strip():
            yield rest

    def _modality(self, url: str) -> str | None:
        """What a link shows: a data URI, or a file of this server that is still there; None for any other."""
        if url.startswith("data:"):
            told = url.removeprefix("data:").partition("/")[0]
            return told if told in MODALITIES and told != TEXT else None
        try:
            path = self._file(url)
        except InputError:
            return None
        return next(
            (m.name for m in MODALITIES.values() if path and path.suffix == m.saved_as and m.name != TEXT), None
        )

    def _medium(self, role: str, modality: str, value: str | bytes) -> Media:
        return self.reader.medium(f"a message of the {role}", modality, self._own(value))

    def _own(self, value: str | bytes) -> str | bytes:
        """The content of a file of this server, where a value is its address."""
        path = self._file(value) if isinstance(value, str) else None
        return path.read_bytes() if path else value

    def _file(self, url: str) -> Path | None:
        """The file of this server that an address means, if it means one. Raises InputError if it is gone."""
        found = OWN.fullmatch(url.removeprefix(self.base))
        if not found:
            return None
        try:
            run = self.runs.find(found[1])
            path = files(run).get(found[2])
            if path is None:
                raise HTTPException(404, f"run {run.id} has no file '{found[2][:80]}'")
            check_within(self.runs.folder(run), path)
        except HTTPException as error:
            raise InputError(f"{url[:200]}: {error.detail}") from None
        return path


def _sound(part: Any) -> tuple[str, bytes]:
    try:
        return "audio", base64.b64decode(part.input_audio.data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError(f"input_audio.data is no base64: {error}") from None


READ: Mapping[str, Callable[[Any], tuple[str, str | bytes]]] = {
    "text": lambda part: (TEXT, part.text),
    "image_url": lambda part: ("image", part.image_url.url),
    "input_audio": _sound,
    "video_url": lambda part: ("video", part.video_url.url),
}
