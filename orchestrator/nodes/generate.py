"""generate: H_X -> X."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from orchestrator.nodes.media import Media, Video
from orchestrator.nodes.ports import Condition, Port, PortType
from orchestrator.nodes.stage import Config, Context, Inputs, Outputs, Progress, Stage

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from torch import Tensor

    from orchestrator.models.generators import Generator

PREVIEWS = 16  # at most so many previews a run: each costs one pass of the decoder


class GenerateConfig(Config):
    """How it is denoised; what is not given comes from the bundle."""

    steps: int | None = Field(None, ge=1, le=1000, description="Denoising steps.")
    guidance: float | None = Field(None, ge=0, description="Classifier-free guidance scale; 1 is none.")
    negative: str | None = Field(None, description="What it should not show.")
    width: int | None = Field(None, ge=8, description="Pixels.")
    height: int | None = Field(None, ge=8, description="Pixels.")
    frames: int | None = Field(None, ge=1, description="Frames of a video.")
    fps: float | None = Field(None, gt=0, description="Frames a second of a video.")
    seed: int | None = Field(None, description="Instead of the run's seed.")


class Generate(Stage):
    """Make media from a condition with the bundle's diffusion pipeline: X = MG_X(H_X).

    Its objective is L_X-gen, equation 5 of the survey. A reply with several signals gives several media.
    """

    name: ClassVar[str] = "generate"
    config_class = GenerateConfig
    random = True
    inputs: ClassVar[Mapping[str, Port]] = {"condition": Port(PortType("Condition"), "H_X: condition tensors.")}
    outputs: ClassVar[Mapping[str, Port]] = {
        "media": Port(PortType("Media"), "X: one medium, or one a signal.", like="condition")
    }

    def parts(self, types: Mapping[str, PortType]) -> tuple[str, ...]:
        return (f"generators.{types['condition'].modality}",)

    def run(self, batch: Sequence[Inputs], context: Context) -> list[Outputs]:
        """All conditions of all requests are denoised as one batch; each has a seed of its own."""
        conditions: list[Condition] = [request["condition"] for request in batch]
        modality = conditions[0].modality
        generator: Generator = context.load(f"generators.{modality}")
        seeds = [self._seed(s) + i for c, s in zip(conditions, context.seeds, strict=True) for i in range(len(c.items))]
        settings = {**generator.settings, **self.config.model_dump(exclude_none=True)}
        total = int(settings.get("steps", 50))
        every = max(1, total // PREVIEWS)

        def on_step(step: int, preview: Callable[[], np.ndarray]) -> None:
            from PIL.Image import fromarray

            pictures = (fromarray(preview()),) if context.watched and step % every == 0 else ()
            for i in range(len(batch)):
                context.report(i, Progress("steps", step, total, preview=pictures if i == 0 else ()))

        items = [item for condition in conditions for item in condition.items]
        frames = iter(generator.generate(items, settings, seeds, on_step))
        fps = float(settings.get("fps", 8))
        made = [tuple(MAKERS[modality](next(frames), fps) for _ in c.items) for c in conditions]
        return [{"media": media[0] if len(media) == 1 else media} for media in made]

    def loss(self, batch: Sequence[Inputs], context: Context) -> Tensor:
        """L_X-gen, equation 5. Each request brings its `media`, uint8 [F, H, W, 3], beside the condition."""
        import torch

        conditions: list[Condition] = [request["condition"] for request in batch]
        generator: Generator = context.load(f"generators.{conditions[0].modality}")
        pixels = torch.stack([torch.as_tensor(request["media"]) for request in batch])  # [B, F, H, W, 3]
        media = pixels.permute(0, 1, 4, 2, 3).to(torch.float32) / 127.5 - 1
        return generator.loss([condition.items[0] for condition in conditions], media)

    def _seed(self, seed: int) -> int:
        return seed if self.config.seed is None else int(self.config.seed)


MAKERS: dict[str, Callable[[Any, float], Media]] = {
    "image": lambda frames, _: Media.load(frames[0], "image"),
    "video": lambda frames, fps: Media.load(Video(frames, fps), "video"),
}
