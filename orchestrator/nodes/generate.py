"""generate: H_X -> X."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from orchestrator.errors import InputError
from orchestrator.nodes.media import Audio, Media, Video
from orchestrator.nodes.ports import Condition, Port, PortType
from orchestrator.nodes.stage import Config, Context, Inputs, Learned, Outputs, Progress, Stage

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from PIL.Image import Image

    from orchestrator.models.generators import Generator
    from orchestrator.models.generators.outputs import Form

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
    seconds: float | None = Field(None, gt=0, description="Length of a sound.")
    seed: int | None = Field(None, description="Instead of the run's seed.")


class Generate(Stage):
    """Make media from a condition with the bundle's diffusion pipeline: X = MG_X(H_X).

    A reply with several signals gives several media. Its objective is `x_gen`: L_X-gen, equation 5 of the survey.
    """

    name: ClassVar[str] = "generate"
    version: ClassVar[int] = 2
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
        settings = {**generator.settings, **self._settings()}
        total = int(settings.get("steps", 50))
        every = max(1, total // PREVIEWS)

        def on_step(step: int, preview: Callable[[], np.ndarray] | None) -> None:
            from PIL.Image import fromarray

            pictures = (fromarray(preview()),) if preview and context.watched and step % every == 0 else ()
            for i in range(len(batch)):
                context.report(i, Progress("steps", step, total, preview=pictures if i == 0 else ()))

        items = [item for condition in conditions for item in condition.items]
        seeds = [seed if self.config.seed is None else int(self.config.seed) for seed in context.seeds]
        arrays = iter(generator.generate(items, settings, _seeds(conditions, seeds), on_step))
        rate = generator.form(settings).rate or float(settings.get("fps", 8))
        made = [tuple(MAKERS[modality](next(arrays), rate) for _ in c.items) for c in conditions]
        return [{"media": media[0] if len(media) == 1 else media} for media in made]

    def learn(self, batch: Sequence[Inputs], context: Context, objectives: Mapping[str, Mapping[str, Any]]) -> Learned:
        """`x_gen`: each request brings its `latents`, one a signal; noise and step follow from its seed. Option
        `snr_gamma`: 5 unless given; null weighs all steps alike. Nothing comes out of the node."""
        outputs: list[Outputs] = [{} for _ in batch]
        if "x_gen" not in objectives:
            return Learned(outputs)
        conditions: list[Condition] = [request["condition"] for request in batch]
        for request, condition in zip(batch, conditions, strict=True):
            if len(request["latents"]) != len(condition.items):
                media = f"{len(request['latents'])} {condition.modality} media"
                raise InputError(f"{media} to learn from, but the reply has {len(condition.items)} signals for them")
        generator: Generator = context.load(f"generators.{conditions[0].modality}")
        items = [item for condition in conditions for item in condition.items]
        latents = [latent for request in batch for latent in request["latents"]]
        loss = generator.denoise(
            items, latents, _seeds(conditions, context.seeds), settings=self._settings(), **objectives["x_gen"]
        )
        return Learned(outputs, {"x_gen": loss}, {"x_gen": len(items)})

    def targets(self, batch: Sequence[Inputs], context: Context) -> list[Outputs]:
        """`latents`: those of each request's `media`, one a signal, read in the size that the generator makes."""
        media: list[tuple[Media, ...]] = [request["media"] for request in batch]
        modality = media[0][0].modality
        generator: Generator = context.load(f"generators.{modality}")
        form = generator.form(self._settings())
        arrays = [READERS[modality](medium, form) for some in media for medium in some]
        latents = iter(generator.encode_media(arrays, self._settings()))
        return [{"latents": tuple(next(latents).clone() for _ in some)} for some in media]  # kept without their batch

    def _settings(self) -> dict[str, Any]:
        return dict(self.config.model_dump(exclude_none=True))


def _seeds(conditions: Sequence[Condition], seeds: Sequence[int]) -> list[int]:
    """One a signal: the request's own for its first, for the others a hash of it and their index, so that they coincide
    with no neighbour's."""
    return [seed_at(s, i) for c, s in zip(conditions, seeds, strict=True) for i in range(len(c.items))]


def seed_at(seed: int, index: int) -> int:
    """The seed of a request's medium number `index`."""
    digest = hashlib.sha256(f"{seed} {index}".encode()).digest()
    return int.from_bytes(digest[:8]) if index else seed


def _fit(picture: Image, form: Form) -> np.ndarray:
    """Scaled to cover the generator's size, and cut to it around the middle: uint8 [height, width, 3]."""
    import numpy as np
    from PIL import ImageOps

    return np.array(ImageOps.fit(picture, (form.width, form.height)))


def _frames(media: Media, form: Form) -> np.ndarray:
    import numpy as np
    from PIL.Image import fromarray

    return np.stack([_fit(fromarray(frame), form) for frame in media.video.sample(form.frames)])


READERS: dict[str, Callable[[Media, Form], np.ndarray]] = {
    "image": lambda media, form: _fit(media.image, form)[None],
    "video": _frames,
    "audio": lambda media, form: media.audio.mono().resample(form.rate).samples,
}
MAKERS: dict[str, Callable[[Any, float], Media]] = {  # of an array and its frames or samples a second
    "image": lambda frames, _: Media.load(frames[0], "image"),
    "video": lambda frames, fps: Media.load(Video(frames, fps), "video"),
    "audio": lambda samples, rate: Media.load(Audio(samples, int(rate)), "audio"),
}
