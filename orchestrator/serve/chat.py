"""Chat completions: what is asked of a flow, and what it makes as a message."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from orchestrator.errors import InputError
from orchestrator.flow.history import place
from orchestrator.flow.plan import owner
from orchestrator.serve.media import data_uri
from orchestrator.serve.messages import TEXT, ChatMessage
from orchestrator.serve.runs import Run
from orchestrator.serve.shapes import paths, url

if TYPE_CHECKING:
    from orchestrator.engine.flow import Flow

MAX_MESSAGES = 256
# What would be left out of the answer in silence, and the values that ask for nothing.
UNMET: dict[str, tuple[Any, ...]] = {
    "tools": (None, []), "functions": (None, []), "n": (None, 1), "logprobs": (None, False),
    "response_format": (None, {"type": "text"}), "audio": (None,),
}  # fmt: skip


class ChatRequest(BaseModel):
    """A chat completion. `model` is a flow; `media` says how media come back: as addresses of this server, or as data
    URIs. How the LLM samples is set in the flow: temperature, max_tokens and their kin change nothing."""

    model_config = ConfigDict(extra="allow")

    model: str
    messages: list[ChatMessage] = Field(min_length=1, max_length=MAX_MESSAGES)
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


def remembers(flow: Flow) -> bool:
    """Whether a flow takes messages before the request."""
    try:
        place(flow.plan)
    except InputError:
        return False
    return True


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
