"""How much is alive at once while a part runs, estimated from its config: numbers (not bytes) beside the weights.

Each estimate counts the widest tensors of a forward without gradients and how many of them live together; attention is
taken not to keep its matrix. `tests/numerics/test_activations.py` holds them to within a factor of two of what is alive
in a forward of the real classes. Symbols: n tokens, d width, F frames, H x W pixels, c channels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestrator.models import facts

PROMPT = 512  # tokens of a prompt, where nobody knows
REPLY = 96  # tokens of a reply, where the node does not say
GUIDED = 2  # rows of a denoiser for each item: with the condition and without
UNKNOWN = 4  # a part whose config tells nothing is taken to need a fourth of its weights

Settings = Mapping[str, Any]


def estimate(folder: Path, part: str, settings: Settings, floats: int) -> int:
    """Activations of a part at these settings (max_new_tokens; width, height, frames, seconds)."""
    found = ESTIMATES[part.partition(".")[0]](folder, settings)
    return floats // UNKNOWN if found is None else int(found)


def _llm(folder: Path, settings: Settings) -> float | None:
    """Keys and values of all layers, the widest layer over the prompt, and the logits of one position in float32."""
    config = facts.read(folder / "config.json")
    config = config.get("text_config", config)
    layers, d = _first(config, "num_hidden_layers", "n_layer"), _first(config, "hidden_size", "n_embd")
    if not (layers and d):
        return None
    heads = _first(config, "num_attention_heads", "n_head") or 1
    keys = (config.get("num_key_value_heads") or heads) * (config.get("head_dim") or d // heads)
    inner, vocab = _first(config, "intermediate_size", "n_inner") or 4 * d, config.get("vocab_size", 0)
    n = PROMPT + int(settings.get("max_new_tokens") or REPLY)
    n = min(n, _first(config, "max_position_embeddings", "n_positions") or n)
    return 2 * layers * keys * n + n * (4 * d + 3 * inner) + 2 * vocab


def _encoder(folder: Path, settings: Settings) -> float | None:
    """The widest layer over all tokens of all views."""
    config = facts.read(folder / "config.json")
    config = config.get("vision_config") or config.get("audio_config") or config
    d, n = _first(config, "hidden_size", "d_model"), _tokens(config)
    if not (d and n):
        return None
    inner = _first(config, "intermediate_size", "encoder_ffn_dim") or 4 * d
    return int(settings.get("frames") or 1) * n * (5 * d + 2 * inner)


def _tokens(config: Mapping[str, Any]) -> int | None:
    """How many tokens an encoder has: patches of a picture, or steps of a sound."""
    if config.get("image_size") and config.get("patch_size"):
        return (_side(config["image_size"]) // _side(config["patch_size"])) ** 2 + 1
    if config.get("max_length") and config.get("num_mel_bins"):  # AST: overlapping patches of the spectrogram
        steps = [(config[k] - config["patch_size"]) // config[s] + 1 for k, s in _STRIDES]
        return math.prod(steps) + 2
    return _first(config, "max_source_positions")


_STRIDES = (("max_length", "time_stride"), ("num_mel_bins", "frequency_stride"))


def _generator(folder: Path, settings: Settings) -> float | None:
    """The denoiser at the size of the latents, or the decoder at the full size: one runs after the other."""
    autoencoder = folder / "vae" / "config.json"
    denoiser = next((folder / name / "config.json" for name in DENOISERS if (folder / name).is_dir()), None)
    if denoiser is None or not autoencoder.is_file():
        return None
    config, vae = facts.read(denoiser), facts.read(autoencoder)
    channels = _channels(vae)
    scale = int(vae.get("spatial_compression_ratio") or vae.get("scale_factor_spatial") or 2 ** (len(channels) - 1))
    height, width = _pixels(folder, config, scale, settings)
    frames = int(settings.get("frames") or 1)
    area = (height // scale) * (width // scale)
    inside = DENOISERS[denoiser.parent.name](config, area, _latent_frames(vae, frames))
    decoded = frames * height * width * (2 * channels[0] + 2 * channels[min(1, len(channels) - 1)])
    return max(GUIDED * inside, decoded) if inside else None


def _channels(vae: Mapping[str, Any]) -> list[int]:
    """Widths of an autoencoder, that at full size first."""
    for key in ("block_out_channels", "decoder_block_out_channels"):
        if vae.get(key):
            return [int(c) for c in vae[key]]
    base = int(vae.get("base_dim") or vae.get("decoder_base_dim") or 128)
    return [base * int(m) for m in vae.get("dim_mult") or (1, 2, 4, 4)]


def _latent_frames(vae: Mapping[str, Any], frames: int) -> int:
    ratio = _first(vae, "temporal_compression_ratio", "scale_factor_temporal") or 1
    return 1 + (frames - 1) // int(ratio)


def _pixels(folder: Path, config: Mapping[str, Any], scale: int, settings: Settings) -> tuple[int, int]:
    """Height and width of what is decoded: pixels, or the mel frames and bins of a sound."""
    vocoder = folder / "vocoder" / "config.json"
    if vocoder.is_file():
        sound = facts.read(vocoder)
        rate = sound["sampling_rate"] / math.prod(sound["upsample_rates"])  # mel frames a second
        return int(float(settings.get("seconds") or 10) * rate), int(sound["model_in_dim"])
    usual = _side(config.get("sample_size") or 64) * scale
    return int(settings.get("height") or usual), int(settings.get("width") or usual)


def _unet(config: Mapping[str, Any], area: int, frames: int) -> int:
    """All skip connections, and the widest layer of the finest level, a gated one of 2 x 4 c with what it needs."""
    widths = [int(c) for c in config["block_out_channels"]]
    layers = config.get("layers_per_block", 2)
    counts = layers if isinstance(layers, Sequence) else [layers] * len(widths)
    skips = sum((n + 1) * c * area // 4**level for level, (c, n) in enumerate(zip(widths, counts, strict=True)))
    return frames * (skips + 22 * widths[0] * area)


def _transformer(config: Mapping[str, Any], area: int, frames: int) -> int | None:
    """The widest layer over all patches."""
    heads, each = _first(config, "num_attention_heads"), _first(config, "attention_head_dim")
    if not (heads and each):
        return None
    patch = config.get("patch_size") or 1
    n = frames * area // (math.prod(patch) if isinstance(patch, Sequence) else int(patch) ** 2)
    return n * heads * each * 10


DENOISERS: dict[str, Callable[[Mapping[str, Any], int, int], int | None]] = {
    "unet": _unet,
    "transformer": _transformer,
}
ESTIMATES: dict[str, Callable[[Path, Settings], float | None]] = {
    "llm": _llm,
    "encoders": _encoder,
    "input_projectors": lambda folder, settings: None,
    "output_projectors": lambda folder, settings: None,
    "generators": _generator,
}


def _first(config: Mapping[str, Any], *keys: str) -> int | None:
    """The first of these that a config has, as a number."""
    found = (config[key] for key in keys if config.get(key))
    return next((int(_side(value)) for value in found), None)


def _side(value: Any) -> int:
    """A size that is given once, or for each side: the larger."""
    return max(value) if isinstance(value, (list, tuple)) else int(value)
