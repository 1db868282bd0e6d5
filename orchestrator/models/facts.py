"""What the config files of a checkpoint say, read without loading it: widths and condition shapes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from orchestrator.errors import BundleError, nearest

# where the width of F_X stands, by the encoder's model_type
ENCODER_WIDTH: dict[str, tuple[str, ...]] = {
    "resnet": ("hidden_sizes", "-1"),
    "clip_vision_model": ("hidden_size",),
    "clip": ("vision_config", "hidden_size"),
}


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


def encoder_dim(folder: Path) -> int:
    """Width of the encoder's tokens."""
    kind = model_type(folder)
    if kind not in ENCODER_WIDTH:
        raise BundleError(f"{folder}: no encoder of type '{kind}' is known.{nearest(kind, ENCODER_WIDTH)}")
    value: Any = read(folder / "config.json")
    for key in ENCODER_WIDTH[kind]:
        value = value[int(key)] if isinstance(value, list) else value[key]
    return int(value)


def llm_dim(folder: Path) -> int:
    """Width of the LLM's embeddings."""
    config = read(folder / "config.json")
    width = config.get("text_config", config).get("hidden_size")
    if width is None:
        raise BundleError(f"{folder / 'config.json'} names no hidden_size")
    return int(width)


def condition(folder: Path) -> dict[str, tuple[int, int]]:
    """The generator's condition: keyword -> [L, d], tau_X's length and width (Stable Diffusion and its video kin)."""
    text = read(folder / "text_encoder" / "config.json")
    return {"prompt_embeds": (int(text["max_position_embeddings"]), int(text["hidden_size"]))}


def pipeline_class(folder: Path) -> str:
    """The diffusers pipeline that a generator's `model_index.json` names."""
    return str(read(folder / "model_index.json").get("_class_name", ""))


def pipeline_models(folder: Path) -> dict[str, tuple[str, str]]:
    """The parts of a generator that have weights: name -> (library, class)."""
    parts = {name: entry for name, entry in read(folder / "model_index.json").items() if isinstance(entry, list)}
    return {name: (entry[0], entry[1]) for name, entry in parts.items() if any((folder / name).glob("*.safetensors"))}


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
