"""What the config of an encoder says, read without loading it: what it reads, its width d_x, which tokens it offers.

One row of `ENCODERS` a `model_type`; how it is loaded and run is the row of the same name in `encoders.FAMILIES`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.errors import BundleError, nearest
from orchestrator.models import facts

if TYPE_CHECKING:
    from orchestrator.models.bundle import Bundle, EncoderSpec

TOKENS = ("pooled", "patches", "all")
WITH_CLS = (*TOKENS, "cls")
READERS = {"image": ("image",), "video": ("video", "image"), "audio": ("audio",)}  # who can read a modality


@dataclass(frozen=True)
class EncoderFacts:
    """What a kind of encoder offers.

    `reads` is a modality: of a film, `image` sees sampled frames one by one, `video` all of it. `within` are the keys
    of its config in that of a larger model; `width` and `depth` lead on to d_x and to the number of layers, `widest`
    and `deepest` are what a config means that leaves them out. `select` are its tokens; there is no `pooled` where the
    config has the field `head` and it is false. Layers before the last can be chosen if they are as wide (`layers`).
    """

    reads: str = "image"
    within: facts.Where = ()
    width: facts.Where = ("hidden_size",)
    depth: facts.Where = ("num_hidden_layers",)
    widest: int | None = 768
    deepest: int = 12
    select: tuple[str, ...] = TOKENS
    head: str = ""
    layers: bool = True


_CLIP = EncoderFacts(select=WITH_CLS)
_SIGLIP = EncoderFacts(head="vision_use_head")
_SPEECH = EncoderFacts(reads="audio")
_CLAP = EncoderFacts(reads="audio", layers=False)
_VISION: facts.Where = ("vision_config",)

ENCODERS: dict[str, EncoderFacts] = {
    "clip": replace(_CLIP, within=_VISION),
    "clip_vision_model": _CLIP,
    "siglip": replace(_SIGLIP, within=_VISION),
    "siglip_vision_model": _SIGLIP,
    "siglip2": replace(_SIGLIP, within=_VISION),
    "siglip2_vision_model": _SIGLIP,
    "dinov2": _CLIP,
    "dinov2_with_registers": _CLIP,
    "vit": _CLIP,
    "resnet": EncoderFacts(width=("hidden_sizes", "-1"), widest=2048, layers=False),
    "videomae": EncoderFacts(reads="video"),
    "whisper": EncoderFacts(reads="audio", width=("d_model",), depth=("encoder_layers",), widest=None),
    "audio-spectrogram-transformer": EncoderFacts(reads="audio", select=WITH_CLS),
    "hubert": _SPEECH,
    "wav2vec2": _SPEECH,
    "clap": replace(_CLAP, within=("audio_config",)),
    "clap_audio_model": _CLAP,
}


def encoder_facts(folder: Path) -> EncoderFacts:
    """The row of a checkpoint. Raises BundleError for a type that is not in the table."""
    kind = facts.model_type(folder)
    if kind not in ENCODERS:
        raise BundleError(f"{folder}: no encoder of type '{kind}' is known.{nearest(kind, ENCODERS)}")
    return ENCODERS[kind]


def encoder_dim(folder: Path) -> int:
    """Width d_x of the encoder's tokens."""
    row = encoder_facts(folder)
    return facts.number(folder, row.within + row.width, row.widest)


def encoder_depth(folder: Path) -> int:
    """The number of its layers."""
    row = encoder_facts(folder)
    return facts.number(folder, row.within + row.depth, row.deepest)


def unfit(folder: Path, spec: EncoderSpec) -> list[str]:
    """What a bundle asks of an encoder that it does not offer: tokens, a layer."""
    row, kind = encoder_facts(folder), facts.model_type(folder)
    offers = [name for name in row.select if name != "pooled" or _has_head(folder, row)]
    found = []
    if spec.select not in offers:
        found.append(f"select: {spec.select}: this '{kind}' encoder has none; it offers: {', '.join(offers)}")
    if spec.layer == -1:
        return found
    if not row.layers:
        found.append(f"layer: {spec.layer}: the layers of a '{kind}' encoder differ in width; take the last, layer: -1")
    elif not -(depth := encoder_depth(folder)) - 1 <= spec.layer <= depth:
        found.append(f"layer: {spec.layer}: this encoder has {depth} layers; choose one of {-depth - 1} to {depth}")
    if spec.select == "pooled":
        others = ", ".join(name for name in row.select if name != "pooled")
        found.append(f"layer: {spec.layer}: pooled is made of the last layer; choose `layer: -1`, or select: {others}")
    return found


def encoder_problems(bundle: Bundle, part: str) -> list[str]:
    """What does not fit of an encoder: its modality, tokens, layer; empty for other parts."""
    group, _, modality = part.partition(".")
    if group != "encoders":
        return []
    folder = bundle.path(part)
    row, found = encoder_facts(folder), unfit(folder, bundle.part(part))
    if row.reads not in READERS.get(modality, ()):
        found.insert(0, f"an encoder of type '{facts.model_type(folder)}' reads {row.reads}, not {modality}")
    return [f"bundle '{bundle.name}': {part}: {told}" for told in found]


def _has_head(folder: Path, row: EncoderFacts) -> bool:
    config: Any = facts.read(folder / "config.json")
    for key in row.within:
        config = config.get(key, {})
    return not row.head or config.get(row.head) is not False
