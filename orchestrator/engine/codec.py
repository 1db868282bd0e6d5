"""Values of ports as bytes and back, without loss: a JSON tree, and safetensors for every tensor in it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL.Image import fromarray
from safetensors import safe_open
from safetensors.torch import save_file

from orchestrator.models.llm.calls import Call
from orchestrator.models.llm.signals import Span
from orchestrator.nodes.media import Audio, Media, Video
from orchestrator.nodes.ports import (
    Condition,
    Features,
    History,
    Observation,
    Prompts,
    Reply,
    Signals,
    Tool,
    Turn,
)

VALUES = {
    cls.__name__: cls
    for cls in (Features, Prompts, Reply, Span, Call, Signals, Condition, Tool, Observation, Turn, History)
}

MEDIA_OUT = {
    "text": lambda media: {"text": media.text},
    "image": lambda media: {"pixels": torch.from_numpy(np.array(media.image))},
    "audio": lambda media: {"samples": torch.from_numpy(media.audio.samples.copy()), "rate": media.audio.rate},
    "video": lambda media: {"frames": torch.from_numpy(media.video.frames.copy()), "fps": _rate(media.video.fps)},
}
MEDIA_IN = {
    "text": lambda tree: tree["text"],
    "image": lambda tree: fromarray(tree["pixels"].numpy()),
    "audio": lambda tree: Audio(tree["samples"].numpy(), tree["rate"]),
    "video": lambda tree: Video(tree["frames"].numpy(), _fps(tree["fps"])),
}
MEDIA_SIZE: dict[str, Callable[[Media], int]] = {
    "text": lambda media: len(media.text),
    "image": lambda media: media.image.width * media.image.height * 3,
    "audio": lambda media: media.audio.samples.nbytes,
    "video": lambda media: media.video.frames.nbytes,
}


def save(outputs: dict[str, Any], file: Path) -> None:
    """Write a node's outputs."""
    tensors: dict[str, torch.Tensor] = {}
    tree = _pack(outputs, tensors)
    apart = {name: tensor.clone() for name, tensor in tensors.items()}  # safetensors refuses shared memory
    save_file(apart, file, metadata={"tree": json.dumps(tree)})


def load(file: Path) -> dict[str, Any]:
    """Read a node's outputs."""
    with safe_open(file, framework="pt") as stored:
        tree = json.loads(stored.metadata()["tree"])
        names = stored.keys()  # a list: safe_open is no mapping
        outputs: dict[str, Any] = _unpack(tree, {name: stored.get_tensor(name) for name in names})
    return outputs


def digest(outputs: dict[str, Any]) -> str:
    """The hash of what a node gave, for one whose inputs do not tell it."""
    tensors: dict[str, torch.Tensor] = {}
    found = hashlib.sha256(json.dumps(_pack(outputs, tensors), sort_keys=True).encode())
    for tensor in tensors.values():
        found.update(
            f"{tensor.dtype} {list(tensor.shape)}".encode() + tensor.view(-1).view(torch.uint8).numpy().tobytes()
        )
    return found.hexdigest()


def size(value: Any) -> int:
    """Bytes that a value holds, near enough to bound a store; nothing is copied."""
    if isinstance(value, torch.Tensor):
        return value.nbytes
    if isinstance(value, Media):
        return MEDIA_SIZE[value.modality](value)
    if is_dataclass(value) and not isinstance(value, type):
        return sum(size(getattr(value, f.name)) for f in fields(value))
    items = value.values() if isinstance(value, dict) else value if isinstance(value, (tuple, list)) else ()
    return sum(size(item) for item in items)


def _pack(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    """A JSON tree of a value; its tensors go into `tensors` under running names."""
    if isinstance(value, torch.Tensor):
        name = str(len(tensors))
        tensors[name] = value.detach().cpu().contiguous()
        return {"$tensor": name}
    if isinstance(value, Media):
        content = _pack(MEDIA_OUT[value.modality](value), tensors)
        return {"$media": value.modality, "content": content, "key": value.given_key}
    if is_dataclass(value) and not isinstance(value, type):
        content = _pack({f.name: getattr(value, f.name) for f in fields(value)}, tensors)
        return {"$value": type(value).__name__, "content": content}
    if isinstance(value, tuple):
        return {"$tuple": [_pack(item, tensors) for item in value]}
    if isinstance(value, list):
        return [_pack(item, tensors) for item in value]
    return {"$dict": {k: _pack(v, tensors) for k, v in value.items()}} if isinstance(value, dict) else value


def _unpack(tree: Any, tensors: dict[str, torch.Tensor]) -> Any:
    if isinstance(tree, list):
        return [_unpack(item, tensors) for item in tree]
    if not isinstance(tree, dict):
        return tree
    if "$tensor" in tree:
        return tensors[tree["$tensor"]]
    if "$tuple" in tree:
        return tuple(_unpack(item, tensors) for item in tree["$tuple"])
    if "$dict" in tree:
        return {k: _unpack(v, tensors) for k, v in tree["$dict"].items()}
    content = _unpack(tree["content"], tensors)
    if "$media" in tree:
        return Media(tree["$media"], MEDIA_IN[tree["$media"]](content), tree["key"])
    return VALUES[tree["$value"]](**content)


def _rate(fps: float | Fraction) -> float | tuple[int, int]:
    """Frames a second; files have fractions, such as 30000/1001."""
    return (fps.numerator, fps.denominator) if isinstance(fps, Fraction) else fps


def _fps(rate: float | tuple[int, int]) -> float | Fraction:
    return Fraction(*rate) if isinstance(rate, tuple) else rate
