"""What a trace says of a value: one line, and the media that can be shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from orchestrator.nodes.media import Media
from orchestrator.nodes.ports import Condition, Features, Prompts, Reply, Signals


def describe(value: Any) -> str:
    """One line: type and shape, e.g. `P_X [4, 128]`, `video 8 frames 64x64`."""
    if isinstance(value, tuple):
        return f"{len(value)} x {describe(value[0])}"
    return LINES[type(value)](value) if type(value) in LINES else type(value).__name__


def shown(outputs: Mapping[str, Any]) -> dict[str, Media]:
    """The media among a node's outputs, by port; the first of several."""
    firsts = {port: value[0] if isinstance(value, tuple) else value for port, value in outputs.items()}
    return {port: value for port, value in firsts.items() if isinstance(value, Media)}


def _media(media: Media) -> str:
    facts = MEDIA[media.modality](media.meta) if media.modality in MEDIA else ""
    return f"{media.modality} {facts}".strip()


MEDIA: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "text": lambda m: f"{m['chars']} characters",
    "image": lambda m: f"{m['size'][0]}x{m['size'][1]}",
    "audio": lambda m: f"{m['seconds']:.1f} s at {m['rate']} Hz",
    "video": lambda m: f"{m['frames']} frames {m['size'][0]}x{m['size'][1]}",
}

LINES: dict[type, Callable[[Any], str]] = {
    Media: _media,
    Features: lambda v: f"F_X {list(v.tokens.shape)}",
    Prompts: lambda v: f"P_X {list(v.tokens.shape)}",
    Reply: lambda v: f"{0 if v.ids is None else len(v.ids)} tokens, {len(v.spans)} signal{'s' * (len(v.spans) != 1)}",
    Signals: lambda v: (
        f"S_X {' + '.join('caption' if s.states is None else str(list(s.states.shape)) for s in v.items)}"
    ),
    Condition: lambda v: "H_X " + ", ".join(f"{k} {list(t.shape)}" for k, t in v.items[0].items()) + f" by {v.bridge}",
}
