"""encode: I_X -> F_X."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from orchestrator.nodes.ports import Features, Port, PortType
from orchestrator.nodes.stage import Config, Context, Inputs, Outputs, Stage

if TYPE_CHECKING:
    from orchestrator.nodes.media import Media


class EncodeConfig(Config):
    """How media are read before they are encoded."""

    frames: int = Field(5, ge=1, le=64, description="Frames an image encoder sees of a video, sampled uniformly.")


class Encode(Stage):
    """Turn media into features with the bundle's encoder: F_X = ME_X(I_X), equation 1 of the survey.

    A video is `frames` pictures, sampled uniformly, each encoded by the image encoder (survey, section 2.1); an encoder
    of videos reads it as one, in as many frames as it was trained on.
    """

    name: ClassVar[str] = "encode"
    config_class = EncodeConfig
    inputs: ClassVar[Mapping[str, Port]] = {
        "media": Port(PortType("Media"), "I_X: a picture, a sound or a video.", not_modalities=("text",))
    }
    outputs: ClassVar[Mapping[str, Port]] = {
        "features": Port(PortType("Features"), "F_X: [n, d_x], the encoder's tokens.", like="media")
    }

    def parts(self, types: Mapping[str, PortType]) -> tuple[str, ...]:
        return (f"encoders.{types['media'].modality}",)

    def run(self, batch: Sequence[Inputs], context: Context) -> list[Outputs]:
        """Encode all media of one modality in one forward, where their sizes allow it."""
        import torch

        modality = batch[0]["media"].modality
        encoder = context.load(f"encoders.{modality}")
        views = [VIEWS[modality](encoder, request["media"], self.config.frames) for request in batch]
        tokens = encoder([view for media in views for view in media])  # [n, d_x] of each view
        out, start = [], 0
        for media in views:
            part = torch.cat(tokens[start : start + len(media)])
            out.append({"features": Features(modality, part, frames=len(media))})
            start += len(media)
        return out


# what the encoder sees of one medium: a picture, a sound; of a video its sampled frames, or all of it
VIEWS: dict[str, Callable[[Any, Media, int], list[Any]]] = {
    "image": lambda encoder, media, frames: [media.image],
    "audio": lambda encoder, media, frames: [media.audio],
    "video": lambda encoder, media, frames: encoder.views(media.video, frames),
}
