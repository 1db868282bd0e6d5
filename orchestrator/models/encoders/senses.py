"""How media become a model's input, by the checkpoint's own processor."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import transformers

from orchestrator.errors import BundleError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor


def _frames(film: Any, n: int) -> list[Any]:
    """A film as n pictures."""
    return list(film.sample(n))


@dataclass(frozen=True)
class Sense:
    """`load(folder)` gives the checkpoint's processor, `read(processor, media, config)` a batch of its outputs, by the
    model's `config`. `views(film, n)` is what of a film is read: n pictures, or the film. Media that are read `alone`
    differ in their number of tokens, and padding would change them."""

    load: Callable[[Path], Any]
    read: Callable[[Any, Sequence[Any], Any], Mapping[str, Tensor]]
    views: Callable[[Any, int], list[Any]] = _frames
    alone: bool = False


def _load(auto: Any, folder: Path, **options: Any) -> Any:
    try:
        return auto.from_pretrained(folder, local_files_only=True, **options)
    except (OSError, ValueError) as error:
        told = str(error).partition("\n")[0]
        raise BundleError(f"{folder} has no processor that can be read (preprocessor_config.json): {told}") from error


def _picture_processor(folder: Path) -> Any:
    return _load(transformers.AutoImageProcessor, folder, backend="pil")


def _sound_processor(folder: Path) -> Any:
    return _load(transformers.AutoFeatureExtractor, folder)


def _see(processor: Any, pictures: Sequence[Any], config: Any) -> Mapping[str, Tensor]:
    """Pictures, PIL or uint8 [H, W, 3]."""
    seen: Mapping[str, Tensor] = processor(images=list(pictures), return_tensors="pt")
    return seen


def _watch(processor: Any, films: Sequence[Any], config: Any) -> Mapping[str, Tensor]:
    """Films (`Video`), each as the number of frames that the model reads."""
    watched: Mapping[str, Tensor] = processor(
        [list(film.sample(config.num_frames)) for film in films], return_tensors="pt"
    )
    return watched


def _samples(processor: Any, sounds: Sequence[Any]) -> list[NDArray[np.float32]]:
    """One channel of each sound (`Audio`), at the rate of the checkpoint."""
    return [sound.mono().resample(processor.sampling_rate).samples for sound in sounds]


def _hear(processor: Any, samples: Sequence[NDArray[np.float32]], **options: Any) -> Mapping[str, Tensor]:
    heard: Mapping[str, Tensor] = processor(
        samples, sampling_rate=processor.sampling_rate, return_tensors="pt", **options
    )
    return heard


def _hear_window(processor: Any, sounds: Sequence[Any], config: Any) -> Mapping[str, Tensor]:
    """Log-mel features, in the window of the checkpoint; `attention_mask` [B, T] is 1 where they are no padding."""
    return _hear(processor, _samples(processor, sounds), return_attention_mask=True)


def _hear_start(processor: Any, sounds: Sequence[Any], config: Any) -> Mapping[str, Tensor]:
    """Log-mel features of CLAP. Of a sound that is longer than its window the extractor takes parts at random; here it
    is the beginning, and none is longer."""
    samples = [samples[: processor.nb_max_samples] for samples in _samples(processor, sounds)]
    heard = _hear(processor, samples)
    return {**heard, "is_longer": heard["is_longer"] & False}


def _hear_all(processor: Any, sounds: Sequence[Any], config: Any) -> Mapping[str, Tensor]:
    """The samples as they are; a sound that is too short for one token gets silence after it."""
    shortest = 1
    for kernel, stride in zip(reversed(config.conv_kernel), reversed(config.conv_stride), strict=True):
        shortest = (shortest - 1) * stride + kernel
    samples = [np.pad(s, (0, max(0, shortest - len(s)))) for s in _samples(processor, sounds)]
    return _hear(processor, samples)


SIGHT = Sense(_picture_processor, _see)
CLIPS = Sense(_picture_processor, _watch, views=lambda film, _: [film])
HEARING = Sense(_sound_processor, _hear_window)
HEARING_START = Sense(_sound_processor, _hear_start)
HEARING_ALL = Sense(_sound_processor, _hear_all, alone=True)
