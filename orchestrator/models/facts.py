"""What the config files of a checkpoint say, read without loading it: widths and condition shapes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestrator.errors import BundleError, nearest

Where = tuple[str, ...]  # keys that lead to a value of a config
Size = int | Where | list[int | Where]
CHECKER = ("safety_checker", "feature_extractor")
CONFIGS = ("config.json", "tokenizer_config.json")  # a part of a pipeline has one of them

# the width of an LLM's embeddings and states by the first of these: OPT may project them, GPT-2 and MPT have own names
LLM_WIDTH = ("word_embed_proj_dim", "hidden_size", "n_embd", "d_model")

# H_X by the pipeline's class: the keyword that an output projector makes, and where its length L and width d stand: the
# part of the pipeline, then keys of its config; lengths in a list are added. A single vector has L = 1. What else a
# pipeline takes (the states that AudioLDM 2 has of T5, pooled vectors) the generator fills with its own encoding of an
# empty caption.
_CLIP: Where = ("text_encoder", "max_position_embeddings")
_CLIP_STATES: tuple[Size, Size] = (_CLIP, ("text_encoder", "hidden_size"))
_JOINT: Where = ("transformer", "joint_attention_dim")
CONDITION: dict[str, dict[str, tuple[Size, Size]]] = {
    "StableDiffusionPipeline": {"prompt_embeds": _CLIP_STATES},
    "StableDiffusionXLPipeline": {
        "prompt_embeds": (("text_encoder_2", "max_position_embeddings"), ("unet", "cross_attention_dim"))
    },
    "StableDiffusion3Pipeline": {"prompt_embeds": ([_CLIP, 256], _JOINT)},
    "FluxPipeline": {"prompt_embeds": (512, _JOINT)},
    "TextToVideoSDPipeline": {"prompt_embeds": _CLIP_STATES},
    "WanPipeline": {"prompt_embeds": (512, ("transformer", "text_dim"))},
    "LTXPipeline": {"prompt_embeds": (128, ("transformer", "caption_channels"))},
    "CogVideoXPipeline": {"prompt_embeds": (("transformer", "max_text_seq_length"), ("transformer", "text_embed_dim"))},
    "AudioLDMPipeline": {"prompt_embeds": (1, ("text_encoder", "projection_dim"))},
    "AudioLDM2Pipeline": {
        "generated_prompt_embeds": (("language_model", "max_new_tokens"), ("language_model", "n_embd"))
    },
    "StableAudioPipeline": {
        "prompt_embeds": (("tokenizer", "model_max_length"), ("projection_model", "text_encoder_dim"))
    },
}

CONTEXT = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length")  # what configs of LLMs call it

# the pipeline's keywords for the mask (1 real, 0 padding) of a condition
MASKS: dict[str, tuple[str, ...]] = {"prompt_embeds": ("attention_mask", "prompt_attention_mask")}


def read(file: Path) -> dict[str, Any]:
    """A JSON file of a checkpoint. Raises BundleError if it is missing or damaged."""
    try:
        content: dict[str, Any] = json.loads(file.read_text("utf-8"))
    except OSError as error:
        raise BundleError(f"{file}: {error.strerror}") from None
    except ValueError as error:
        raise BundleError(f"{file} is damaged: {error}") from None
    return content


def model_type(folder: Path) -> str:
    """The `model_type` of a transformers checkpoint."""
    return str(read(folder / "config.json").get("model_type", ""))


def llm_dim(folder: Path) -> int:
    """Width of the LLM's embeddings."""
    config = read(folder / "config.json")
    config = config.get("text_config", config)
    found = next((key for key in LLM_WIDTH if config.get(key) is not None), None)
    if found is None:
        raise BundleError(f"{folder / 'config.json'} names none of {', '.join(LLM_WIDTH)}, the width of an LLM")
    return int(config[found])


def condition(folder: Path) -> dict[str, tuple[int, int]]:
    """What an output projector makes for a generator: keyword -> [L, d], tau_X's length and width."""
    kind = pipeline_class(folder)
    if kind not in CONDITION:
        raise BundleError(f"{folder}: no generator of class '{kind}' is known.{nearest(kind, CONDITION)}")
    return {keyword: (_size(folder, n), _size(folder, d)) for keyword, (n, d) in CONDITION[kind].items()}


def pipeline_class(folder: Path) -> str:
    """The diffusers pipeline that a generator's `model_index.json` names."""
    return str(read(folder / "model_index.json").get("_class_name", ""))


def pipeline_models(folder: Path) -> dict[str, tuple[str, str]]:
    """The parts of a generator that have weights: name -> (library, class)."""
    index = read(folder / "model_index.json")
    parts = {name: index[name] for name in components(index)}
    found = {name for name in parts if any(map(is_weights, folder.glob(f"{name}/*")))}
    return {name: (entry[0], entry[1]) for name, entry in parts.items() if name in found}


def components(index: Mapping[str, Any]) -> list[str]:
    """The components of a pipeline that it is loaded with: not those of null, nor Stable Diffusion's safety checker
    (1.2 GB that no condition goes through) with its feature extractor."""
    parts = (name for name, entry in index.items() if isinstance(entry, list) and any(entry))
    return [name for name in parts if name not in left_out(index)]


def left_out(index: Mapping[str, Any]) -> dict[str, None]:
    """What a pipeline is loaded without, as arguments of its `from_pretrained`."""
    return {name: None for name in CHECKER if name in index} if CHECKER[0] in index else {}


def is_weights(file: Path) -> bool:
    """Whether a file of a checkpoint holds weights: safetensors, or pickles."""
    return file.suffix in (".safetensors", ".bin")


def kind(folder: Path) -> str:
    """The class of a checkpoint (`LlamaForCausalLM`, `TextToVideoSDPipeline`) or the kind of a projector (`mlp`)."""
    for file, key in (
        ("model_index.json", "_class_name"),
        ("projector.json", "kind"),
        ("config.json", "architectures"),
    ):
        if (folder / file).is_file():
            value = read(folder / file).get(key, "")
            return str(value[0] if isinstance(value, list) and value else value)
    raise BundleError(
        f"{folder} is no part of a bundle: it has neither config.json, model_index.json nor projector.json"
    )


def _size(folder: Path, where: Size) -> int:
    if isinstance(where, list):
        return sum(_size(folder, part) for part in where)
    return where if isinstance(where, int) else number(folder / where[0], where[1:])


def number(folder: Path, keys: Where, default: int | None = None) -> int:
    """A whole number in the config of a model or tokenizer. Raises BundleError if it is not there and there is no
    `default`."""
    file = next((f for name in CONFIGS if (f := folder / name).is_file()), folder / CONFIGS[0])
    value: Any = read(file)
    for key in keys:
        try:
            value = value[int(key)] if isinstance(value, list) else value[key]
        except (KeyError, IndexError):
            if default is not None:
                return default
            raise BundleError(f"{file} names no {'.'.join(keys)}") from None
    return int(value)


def context(folder: Path) -> int | None:
    """How many tokens an LLM can read, if its config says so."""
    config = read(folder / "config.json")
    text = config.get("text_config") or config
    return next((int(size) for name in CONTEXT if (size := text.get(name))), None)
