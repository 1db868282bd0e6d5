"""A judge: a classification checkpoint of transformers that says what a medium shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import transformers

from orchestrator.errors import BundleError, nearest
from orchestrator.models import facts, pretrained
from orchestrator.models.loading import LOADING, quiet

if TYPE_CHECKING:
    from torch import Tensor

    from orchestrator.nodes.media import Media

FRAMES = 16  # at most so many frames of a video are shown to a judge of pictures
CONCEPT = "concept"  # the group of labels that name none


@dataclass(frozen=True)
class Kind:
    """How judges of a kind are loaded and asked: `logits(judge, media)` is [B, labels]."""

    model: str
    processor: str
    modalities: tuple[str, ...]
    logits: Callable[[Judge, Sequence[Media]], Tensor]


class Judge:
    """A loaded checkpoint. Its labels are `guitar` or `group: word` (`motion: spinning`): the groups are judged apart,
    and a label without a group is a concept."""

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        """Reads configs only. Raises BundleError if the folder is no classification checkpoint with its processor."""
        self.folder, self.device, self.kind, self.groups = folder, device, _kind(folder), _groups(folder)

    @cached_property
    def model(self) -> Any:
        """The classifier, loaded when first asked. Raises BundleError."""
        with LOADING, quiet():
            model = pretrained.load(getattr(transformers, self.kind.model), self.folder, torch.float32)
        return model.to(self.device).eval().requires_grad_(False)

    @cached_property
    def processor(self) -> Any:
        """What prepares media for it."""
        options = {"backend": "pil"} if self.kind.processor == "AutoImageProcessor" else {}
        return getattr(transformers, self.kind.processor).from_pretrained(self.folder, local_files_only=True, **options)

    @torch.no_grad()
    def __call__(self, media: Sequence[Media]) -> list[dict[str, str]]:
        """What it sees in each medium: group -> word."""
        scores = self.kind.logits(self, media)  # [B, labels]
        seen: list[dict[str, str]] = [{} for _ in media]
        for group, words in self.groups.items():
            best = scores[:, list(words)].argmax(1).tolist()
            for found, place in zip(seen, best, strict=True):
                found[group] = list(words.values())[place]
        return seen

    def score(self, views: Any, **options: Any) -> Tensor:
        """Logits [b, labels] of what the processor takes."""
        made = self.processor(views, return_tensors="pt", **options).to(self.device)
        logits: Tensor = self.model(**made).logits
        return logits.float()


def _kind(folder: Path) -> Kind:
    if not folder.is_dir():
        raise BundleError(f"no judge: there is no folder {folder}")
    architecture = facts.kind(folder)
    name = architecture[architecture.find("For") :]
    if name not in KINDS:
        raise BundleError(f"{folder} is no judge: its class is '{architecture}'.{nearest(name, KINDS)}")
    if not (folder / "preprocessor_config.json").is_file():
        raise BundleError(
            f"{folder} has no preprocessor_config.json: a judge says how media are prepared for it; save its image "
            "processor or feature extractor beside the weights"
        )
    return KINDS[name]


def _groups(folder: Path) -> dict[str, dict[int, str]]:
    """The labels of a checkpoint: group -> index -> word."""
    labels: dict[str, str] = facts.read(folder / "config.json").get("id2label", {})
    found: dict[str, dict[int, str]] = {}
    for index, label in labels.items():
        group, colon, word = label.partition(": ")
        found.setdefault(group if colon else CONCEPT, {})[int(index)] = word if colon else label
    if not found:
        raise BundleError(f"{folder}: its config.json names no labels (id2label)")
    return found


def _frames(media: Media, most: int) -> list[np.ndarray]:
    if media.modality == "image":
        return [np.asarray(media.image)]
    return list(media.video.sample(min(most, len(media.video.frames))))


def _of_pictures(judge: Judge, media: Sequence[Media]) -> Tensor:
    """The mean over the frames of each."""
    frames = [_frames(medium, FRAMES) for medium in media]
    scores = judge.score([frame for views in frames for frame in views])
    return torch.stack([part.mean(0) for part in scores.split([len(views) for views in frames])])


def _of_videos(judge: Judge, media: Sequence[Media]) -> Tensor:
    """As many frames, uniformly, as the model takes."""
    count = int(judge.model.config.num_frames)
    return torch.cat([judge.score(list(medium.video.sample(count))) for medium in media])


def _of_sounds(judge: Judge, media: Sequence[Media]) -> Tensor:
    rate = int(judge.processor.sampling_rate)
    sounds = [medium.audio.mono().resample(rate).samples for medium in media]
    return torch.cat([judge.score(sound, sampling_rate=rate) for sound in sounds])


KINDS: dict[str, Kind] = {
    "ForImageClassification": Kind(
        "AutoModelForImageClassification", "AutoImageProcessor", ("image", "video"), _of_pictures
    ),
    "ForVideoClassification": Kind("AutoModelForVideoClassification", "AutoImageProcessor", ("video",), _of_videos),
    "ForAudioClassification": Kind("AutoModelForAudioClassification", "AutoFeatureExtractor", ("audio",), _of_sounds),
    "ForSequenceClassification": Kind(
        "AutoModelForAudioClassification", "AutoFeatureExtractor", ("audio",), _of_sounds
    ),
}
