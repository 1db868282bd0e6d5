"""A router that knows nothing: words of a request tell what is to be made. What a model's routes are held to."""

from __future__ import annotations

from orchestrator.evaluation import text

WORDS: dict[str, tuple[str, ...]] = {
    "image": ("draw", "paint", "sketch", "picture of", "image of", "drawing of", "photo of"),
    "audio": ("play", "sing", "sound of", "sounds of", "noise of", "hear", "what it sounds like"),
    "video": ("film", "animate", "video of", "clip of", "movie of", "move", "moving"),
}


def route(request: str) -> str:
    """The modalities whose words stand in a request: `video`, `audio+image`; `text` where there are none."""
    return "+".join(sorted(modality for modality, words in WORDS.items() if text.names(request, words))) or "text"
