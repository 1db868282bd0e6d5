"""Tiny encoders of every family, each as the hub has it: the model's `save_pretrained`, and its processor's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from orchestrator.models.bundle import EncoderSpec
from orchestrator.models.encoders import Encoder
from orchestrator.nodes.media import Audio, Video
from tests.tiny import seeded

Sizes = Mapping[str, Any]  # arguments of a config or a processor
Made = Callable[[str], Path]  # the checkpoint of a kind

WIDTH, SIDE, FRAMES, RATE = 16, 16, 4, 16000
SIZE = {"height": SIDE, "width": SIDE}
LAYERS: Sizes = {"hidden_size": WIDTH, "intermediate_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2}
ENDS: Sizes = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
TEXT: Sizes = {**LAYERS, **ENDS, "vocab_size": 32, "max_position_embeddings": 8}
PATCHES: Sizes = {**LAYERS, "image_size": SIDE, "patch_size": 8}
NAFLEX: Sizes = {**LAYERS, "patch_size": 8, "num_patches": 4}
FILM: Sizes = {**PATCHES, "num_frames": FRAMES, "use_mean_pooling": False}
SPEECH: Sizes = {
    **LAYERS,
    "conv_dim": (8, 8),
    "conv_kernel": (10, 8),
    "conv_stride": (10, 8),
    "num_conv_pos_embeddings": 4,
    "num_conv_pos_embedding_groups": 2,
    "vocab_size": 4,
}
STABLE: Sizes = {**SPEECH, "do_stable_layer_norm": True}
MEL: Sizes = {
    "spec_size": 64,
    "window_size": 4,
    "num_mel_bins": 16,
    "patch_size": 4,
    "patch_stride": 4,
    "patch_embeds_hidden_size": 8,
    "hidden_size": WIDTH,
    "depths": [1, 1],
    "num_attention_heads": [2, 2],
    "projection_dim": 8,
}


@dataclass(frozen=True)
class Kind:
    """A kind of checkpoint, by names of classes of transformers. `counts` are the tokens of each select; `layers` is
    where its layers are; `whole` are larger models whose checkpoints hold it, as their attribute `inside`."""

    model: str
    sizes: Sizes
    processor: str
    settings: Sizes
    counts: Mapping[str, int]
    modality: str = "image"
    layers: str = "encoder.layer"
    whole: Mapping[str, Sizes] = field(default_factory=dict)
    inside: str = "vision_model"


def _counts(patches: int, **others: int) -> dict[str, int]:
    return {"pooled": 1, "patches": patches, "all": patches, **others}


def _pictures(model: str, sizes: Sizes, processor: str, settings: Sizes, counts: Mapping[str, int], dual: str) -> Kind:
    """A tower of a model of texts and pictures."""
    whole = {dual: {"text_config": TEXT, "vision_config": sizes}}
    return Kind(model, sizes, processor, settings, counts, layers="encoder.layers", whole=whole)


def _alone(model: str, counts: Mapping[str, int], **more: Any) -> Kind:
    return Kind(model, PATCHES, "ViTImageProcessorPil", {"size": SIZE}, counts, **more)


def _speech(model: str, sizes: Sizes, **more: Any) -> Kind:
    settings = {"sampling_rate": RATE}
    return Kind(model, sizes, "Wav2Vec2FeatureExtractor", settings, _counts(20), "audio", "encoder.layers", **more)


def _clap(sizes: Sizes, truncation: str, **more: Any) -> Kind:
    bins: Sizes = {"feature_size": 16, "sampling_rate": RATE, "max_length_s": 1, "frequency_max": 8000}
    settings = {**bins, "truncation": truncation}
    return Kind("ClapAudioModel", sizes, "ClapFeatureExtractor", settings, _counts(64), "audio", **more)


CLS = _counts(4, all=5, cls=1)
CROP = {"size": SIZE, "crop_size": SIZE}
KINDS: dict[str, Kind] = {
    "clip": _pictures("CLIPVisionModel", PATCHES, "CLIPImageProcessorPil", CROP, CLS, "CLIPModel"),
    "siglip": _pictures(
        "SiglipVisionModel", PATCHES, "SiglipImageProcessorPil", {"size": SIZE}, _counts(4), "SiglipModel"
    ),
    "siglip2": _pictures(
        "Siglip2VisionModel",
        NAFLEX,
        "Siglip2ImageProcessorPil",
        {"patch_size": 8, "max_num_patches": 6},
        _counts(6),
        "Siglip2Model",
    ),
    "dinov2": _alone("Dinov2Model", CLS, whole={"Dinov2ForImageClassification": PATCHES}, inside="dinov2"),
    "dinov2_with_registers": _alone("Dinov2WithRegistersModel", _counts(4, all=9, cls=1)),
    "vit": _alone("ViTModel", CLS, layers="layers", whole={"ViTForImageClassification": PATCHES}, inside="vit"),
    "videomae": Kind(
        "VideoMAEModel",
        FILM,
        "VideoMAEImageProcessorPil",
        {"size": {"shortest_edge": SIDE}, "crop_size": SIZE},
        _counts(8),
        "video",
        whole={"VideoMAEForVideoClassification": FILM},
        inside="videomae",
    ),
    "hubert": _speech("HubertModel", SPEECH, whole={"HubertForCTC": SPEECH}, inside="hubert"),
    "wav2vec2": _speech("Wav2Vec2Model", STABLE, whole={"Wav2Vec2ForCTC": STABLE}, inside="wav2vec2"),
    "clap": _clap(
        MEL,
        "rand_trunc",
        whole={
            "ClapModel": {"text_config": TEXT, "audio_config": MEL, "projection_dim": 8},
            "ClapAudioModelWithProjection": MEL,
        },
        inside="audio_model",
    ),
    "clap_fused": _clap({**MEL, "enable_fusion": True}, "fusion"),
}


def encoder(folder: Path, kind: str) -> Path:
    """A checkpoint of the encoder alone."""
    return _saved(folder, KINDS[kind], KINDS[kind].model, KINDS[kind].sizes)


def whole(folder: Path, kind: str, model: str) -> Path:
    """A checkpoint of a larger model that holds the encoder."""
    return _saved(folder, KINDS[kind], model, KINDS[kind].whole[model])


def _saved(folder: Path, row: Kind, model: str, sizes: Sizes) -> Path:
    import transformers

    made: Callable[[Any], Any] = getattr(transformers, model)
    seeded()
    made(made.config_class(**sizes)).save_pretrained(folder)  # type: ignore[attr-defined]
    getattr(transformers, row.processor)(**row.settings).save_pretrained(folder)
    return folder


def sound(seconds: float = 0.4, rate: int = RATE, channels: int = 1, seed: int = 0) -> Audio:
    samples = np.random.default_rng(seed).normal(size=(int(seconds * rate), channels)).astype(np.float32) * 0.1
    return Audio(samples, rate)


def pixels(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), np.uint8)


MEDIA: dict[str, Callable[[], list[Any]]] = {  # two of each modality, of different sizes
    "image": lambda: [pixels(24, 32), pixels(16, 16, seed=1)],
    "video": lambda: [Video(pixels(7, 20, 24)), Video(pixels(2, 16, 16, seed=1))],
    "audio": lambda: [sound(0.1), sound(0.2, seed=1)],
}


def load(folder: Path, **spec: Any) -> Encoder:
    """As a bundle's spec asks for it."""
    return Encoder.load(folder, EncoderSpec(path="x", **spec), "cpu", torch.float32)


def close(some: Sequence[Tensor], others: Sequence[Tensor]) -> None:
    """The same tokens, up to the order of sums."""
    for one, other in zip(some, others, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
