"""Chat completions: a message becomes the inputs of a flow, and what the flow makes a message."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from orchestrator.errors import InputError
from orchestrator.flow.plan import owner
from orchestrator.serve.media import data_uri
from orchestrator.serve.runs import Run
from orchestrator.serve.shapes import paths, url

if TYPE_CHECKING:
    from orchestrator.engine.flow import Flow

TEXT = "text"
# What would be left out of the answer in silence, and the values that ask for nothing.
UNMET: dict[str, tuple[Any, ...]] = {
    "tools": (None, []), "functions": (None, []), "n": (None, 1), "logprobs": (None, False),
    "response_format": (None, {"type": "text"}), "audio": (None,),
}  # fmt: skip


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


class Message(BaseModel):
    """A turn."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[Part]


class ChatRequest(BaseModel):
    """A chat completion. `model` is a flow; `media` says how media come back: as addresses of this server, or as data
    URIs. How the LLM samples is set in the flow: temperature, max_tokens and their kin change nothing."""

    model_config = ConfigDict(extra="allow")

    model: str
    messages: list[Message] = Field(min_length=1)
    stream: bool = False
    seed: int | None = Field(None, ge=0, le=2**32 - 1)
    media: Literal["url", "data"] = "url"

    @model_validator(mode="after")
    def _met(self) -> ChatRequest:
        unmet = [name for name, nothing in UNMET.items() if (self.model_extra or {}).get(name) not in nothing]
        if unmet:
            raise ValueError(f"{', '.join(unmet)}: not available; a flow decides by itself what it makes")
        return self


def why_not(flow: Flow) -> str:
    """Why a flow serves no chat, or nothing: each part of a message has to have one input that it can only mean."""
    modalities = [put.modality for put in flow.spec.inputs.values()]
    twice = sorted({m for m in modalities if modalities.count(m) > 1})
    return f"it has several inputs of {', '.join(twice)}" if twice else ""


def asked(flow: Flow, messages: list[Message]) -> dict[str, str | bytes]:
    """The inputs of a flow in the messages. Raises InputError for what the flow would not see."""
    if len(messages) > 1 or messages[0].role != "user":
        roles = ", ".join(message.role for message in messages[:8])
        raise InputError(f"a flow remembers nothing and takes no system prompt: send one user message, not {roles}")
    content = messages[0].content
    parts = [TextPart(type="text", text=content)] if isinstance(content, str) else content
    puts = {put.modality: name for name, put in flow.spec.inputs.items()}
    given: dict[str, str | bytes] = {}
    for part in parts:
        modality, value = READ[part.type](part)
        if modality not in puts:
            raise InputError(
                f"flow '{flow.spec.flow}' takes {', '.join(puts) or 'nothing'}, but a message has {modality}"
            )
        if modality == TEXT and puts[TEXT] in given:
            value = f"{given[puts[TEXT]]!s}\n{value!s}"
        elif puts[modality] in given:
            raise InputError(f"flow '{flow.spec.flow}' takes one {modality}, and the message has several")
        given[puts[modality]] = value
    return given


def content(run: Run, how: str, base: str) -> tuple[str, list[dict[str, str]]]:
    """What a run says: its texts and, as Markdown, its media; and the media once more, as data."""
    texts = [told["text"] for first in run.outputs.values() for told in _each(first) if "text" in told]
    media = [
        {
            "name": path.stem,
            "modality": told["modality"],
            "url": data_uri(path) if how == "data" else base + url(run, path),
        }
        for first in run.outputs.values()
        for told in _each(first)
        if "text" not in told
        for path in paths({**told, "more": ()})
    ]
    links = [f"{'!' if m['modality'] == 'image' else ''}[{m['name']}]({m['url']})" for m in media]
    return "\n\n".join(texts + links), media


def speakers(flow: Flow) -> frozenset[str]:
    """The nodes whose tokens are the first text that a flow makes: what can be told while it is written."""
    sources = [source for source, kind in flow.plan.outputs.values() if kind.modality == TEXT]
    names = {owner(source) for source in sources[:1] if not source.startswith("inputs.")}
    before = {name for node in names for name in flow.plan.predecessors(node)}
    return frozenset(names | before if len(before) == 1 else names)


def written(event: Any, nodes: frozenset[str]) -> str | None:
    """What was written so far, if the event tells it; without an end that may still change."""
    if event.kind != "node_progress" or event.node not in nodes or event.progress.unit != "tokens":
        return None
    return str(event.progress.text).rstrip("\ufffd").rstrip()


def _each(told: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [told, *told.get("more", ())]


def _sound(part: Any) -> tuple[str, bytes]:
    try:
        return "audio", base64.b64decode(part.input_audio.data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError(f"input_audio.data is no base64: {error}") from None


READ: dict[str, Callable[[Any], tuple[str, str | bytes]]] = {
    "text": lambda part: (TEXT, part.text),
    "image_url": lambda part: ("image", part.image_url.url),
    "input_audio": _sound,
    "video_url": lambda part: ("video", part.video_url.url),
}
