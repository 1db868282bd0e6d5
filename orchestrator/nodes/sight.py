"""What an LLM sees as it is: media themselves, of a remote LLM that takes them, in place of soft prompts."""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.nodes.media import Media
from orchestrator.nodes.modality import MODALITIES
from orchestrator.nodes.ports import PortType

if TYPE_CHECKING:
    from orchestrator.models.bundle import Bundle

# modality -> the part of a message that holds it, as chat endpoints take it, of base64; video_url is vLLM's and others'
PARTS: dict[str, Callable[[str], dict[str, Any]]] = {
    "image": lambda data: {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}},
    "audio": lambda data: {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}},
    "video": lambda data: {"type": "video_url", "video_url": {"url": f"data:video/mp4;base64,{data}"}},
}


def part(media: Media) -> dict[str, Any]:
    """A medium as a part of a message: a picture as PNG, a sound as WAV, a film as MP4."""
    with tempfile.TemporaryDirectory(prefix="orch-") as folder:
        data = media.save(Path(folder, f"medium{MODALITIES[media.modality].saved_as}")).read_bytes()
    return PARTS[media.modality](base64.b64encode(data).decode("ascii"))


def unseen(bundle: Bundle, types: Mapping[str, PortType]) -> Iterator[str]:
    """What is wrong with the media that a node shows to the LLM of a bundle as they are, at its port `media`."""
    shown = {found.modality for name, found in types.items() if name.startswith("media[") and found.kind == "Media"}
    for modality in (name for name in MODALITIES if name in shown):
        if not bundle.remote:
            yield (
                f"the LLM of bundle '{bundle.name}' runs here: it takes soft prompts, not the {modality} itself; put "
                "nodes {stage: encode, media: ...} and {stage: project, features: ...} between"
            )
        elif modality not in bundle.sees:
            yield unsaid(bundle, modality)


def unsaid(bundle: Bundle, modality: str) -> str:
    """A remote LLM that is not said to see a modality, and where to say it."""
    sees = ", ".join((*bundle.sees, modality))
    return (
        f"the LLM of bundle '{bundle.name}' is remote, and not said to see {modality}; if it does, write so in the "
        f"bundle.yaml: `llm: {{sees: [{sees}]}}`"
    )
