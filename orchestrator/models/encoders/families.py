"""The kinds of encoders. A new one is a row here, and one of the same name in `encoder_facts.ENCODERS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from orchestrator.models.encoders.senses import CLIPS, HEARING, HEARING_ALL, HEARING_START, SIGHT, Sense

if TYPE_CHECKING:
    from torch import Tensor

Read = Mapping[str, "Tensor"]  # what a processor made of media


def _as_it_is(hidden: Tensor) -> Tensor:
    return hidden


def _map(hidden: Tensor) -> Tensor:
    """A feature map [B, d, h, w] as tokens [B, h w, d]."""
    return hidden.flatten(2).transpose(1, 2)


def _pooler(output: Any, read: Read) -> Tensor:
    pooled: Tensor = output.pooler_output.flatten(1)
    return pooled


def _cls(output: Any, read: Read) -> Tensor:
    first: Tensor = output.last_hidden_state[:, 0]
    return first


def _mean(output: Any, read: Read) -> Tensor:
    """The mean of the tokens that are no padding: a short sound is a small part of the window."""
    hidden, mask = output.last_hidden_state, read.get("attention_mask")  # [B, n, d], [B, T]
    if mask is None:
        mean: Tensor = hidden.mean(1)
        return mean
    real = mask[:, :: mask.shape[1] // hidden.shape[1]].to(hidden).unsqueeze(-1)  # [B, n, 1]
    some: Tensor = (hidden * real).sum(1) / real.sum(1).clamp(min=1)
    return some


@dataclass(frozen=True)
class Family:
    """How a kind of encoder is loaded and read.

    `model` is `module:Class`, `options` further arguments of its `from_pretrained` (`key_mapping` maps names of weights
    in a checkpoint of a larger model). `takes` are outputs of the processor that it takes beside the first, `real` the
    one that says which tokens are no padding [B, n]. `tokens(hidden)` turns a hidden layer into [B, n, d], of which
    `prefix(config)` come before the patches, cls being the first; `pooled(output, read)` gives [B, d].
    """

    model: str
    sense: Sense = SIGHT
    pooled: Callable[[Any, Read], Tensor] = _pooler
    tokens: Callable[[Tensor], Tensor] = _as_it_is
    prefix: Callable[[Any], int] = lambda config: 0
    takes: tuple[str, ...] = ()
    real: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)


_CLIP = Family("transformers:CLIPVisionModel", prefix=lambda config: 1)
_SIGLIP = Family("transformers:SiglipVisionModel")
_NAFLEX = Family(
    "transformers:Siglip2VisionModel", takes=("pixel_attention_mask", "spatial_shapes"), real="pixel_attention_mask"
)
_HUBERT = Family("transformers:HubertModel", HEARING_ALL, _mean)
_CLAP = Family(
    "transformers:ClapAudioModel",
    HEARING_START,
    tokens=_map,
    takes=("is_longer",),
    options={"key_mapping": {r"^audio_model\.": ""}},
)

FAMILIES: dict[str, Family] = {
    "clip": _CLIP,
    "clip_vision_model": _CLIP,
    "siglip": _SIGLIP,
    "siglip_vision_model": _SIGLIP,
    "siglip2": _NAFLEX,
    "siglip2_vision_model": _NAFLEX,
    "dinov2": Family("transformers:Dinov2Model", prefix=lambda config: 1),
    "dinov2_with_registers": Family(
        "transformers:Dinov2WithRegistersModel", prefix=lambda config: 1 + config.num_register_tokens
    ),
    # a classifier has no pooler, and its head reads the cls token
    "vit": Family("transformers:ViTModel", pooled=_cls, prefix=lambda config: 1, options={"add_pooling_layer": False}),
    "resnet": Family("transformers:ResNetModel", tokens=_map),
    "videomae": Family("transformers:VideoMAEModel", CLIPS, _mean),
    "whisper": Family(
        "transformers.models.whisper.modeling_whisper:WhisperEncoder",
        HEARING,
        _mean,
        options={"key_mapping": {r"^(model\.)?encoder\.": ""}},
    ),
    "audio-spectrogram-transformer": Family("transformers:ASTModel", HEARING, prefix=lambda config: 2),
    "hubert": _HUBERT,
    "wav2vec2": replace(_HUBERT, model="transformers:Wav2Vec2Model"),
    "clap": _CLAP,
    "clap_audio_model": _CLAP,
}
