"""What a trace says of a value: one line, and the media that can be shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from orchestrator.nodes.media import Media
from orchestrator.nodes.ports import Condition, Features, History, Observation, Prompts, Reply, Signals, Tool

T = TypeVar("T")


def describe(value: Any) -> str:
    """One line: type and shape, e.g. `P_X [4, 128]`, `video 8 frames 64x64`."""
    if isinstance(value, tuple):
        return f"{len(value)} x {describe(value[0])}"
    return LINES[type(value)](value) if type(value) in LINES else type(value).__name__


def shown(outputs: Mapping[str, Any]) -> dict[str, Media]:
    """The media among a node's outputs, by port; several by `media`, `media-2` and so on."""
    each = {port: value if isinstance(value, tuple) else (value,) for port, value in outputs.items()}
    found = {name: value for port, values in each.items() for name, value in numbered(port, values).items()}
    return {name: value for name, value in found.items() if isinstance(value, Media)}


def numbered(name: str, values: Sequence[T]) -> dict[str, T]:
    """`video` -> the first, `video-2` -> the second, and so on."""
    return {name if i == 1 else f"{name}-{i}": value for i, value in enumerate(values, start=1)}


def _media(media: Media) -> str:
    facts = MEDIA[media.modality](media.meta) if media.modality in MEDIA else ""
    return f"{media.modality} {facts}".strip()


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'s' * (number != 1)}"


MEDIA: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "text": lambda m: f"{m['chars']} characters",
    "image": lambda m: f"{m['size'][0]}x{m['size'][1]}",
    "audio": lambda m: f"{m['seconds']:.1f} s at {m['rate']} Hz",
    "video": lambda m: f"{m['frames']} frames {m['size'][0]}x{m['size'][1]}",
}


def _many(count: int, word: str) -> str:
    return f"{count} {word}{'s' * (count != 1)}"


LINES: dict[type, Callable[[Any], str]] = {
    Media: _media,
    Features: lambda v: f"F_X {list(v.tokens.shape)}",
    Prompts: lambda v: f"P_X {list(v.tokens.shape)}",
    Reply: lambda v: (
        f"{len(v.text)} characters, {_many(len(v.calls), 'call')}"
        if v.ids is None
        else f"{len(v.ids)} tokens, {_many(len(v.spans), 'signal')}"
    ),
    Signals: lambda v: (
        f"S_X {' + '.join('caption' if s.states is None else str(list(s.states.shape)) for s in v.items)}"
    ),
    Tool: lambda v: v.name,
    Observation: lambda v: f"{v.call.name}: {v.error or ', '.join(map(_media, v.media))}",
    History: lambda v: f"{len(v.turns)} turns",
    Condition: lambda v: "H_X " + ", ".join(f"{k} {list(t.shape)}" for k, t in v.items[0].items()) + f" by {v.bridge}",
}
