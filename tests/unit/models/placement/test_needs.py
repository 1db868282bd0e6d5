"""What parts need, read from headers and configs of checkpoints that are headers and configs alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.models.bundle import Bundle
from orchestrator.models.placement.needs import need

LLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "num_hidden_layers": 32,
    "hidden_size": 4096,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "intermediate_size": 11008,
    "vocab_size": 32000,
    "max_position_embeddings": 4096,
}
Tensors = dict[str, tuple[str, list[int]]]
LAYERS: Tensors = {
    "model.embed_tokens.weight": ("F16", [10, 4]),
    "model.layers.0.mlp.weight": ("F16", [4, 4]),
    "model.layers.0.norm.weight": ("F16", [4]),
    "model.layers.1.mlp.weight": ("F16", [8, 4]),
    "model.places": ("I64", [6]),
}
BYTES = {"F32": 4, "F16": 2, "BF16": 2, "I64": 8}


def header(file: Path, tensors: Tensors) -> None:
    """A safetensors file of which nobody reads the weights; there are none."""
    table, at = {}, 0
    for name, (dtype, shape) in tensors.items():
        count = BYTES[dtype]
        for side in shape:
            count *= side
        table[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + count]}
        at += count
    text = json.dumps(table).encode()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(len(text).to_bytes(8, "little") + text + bytes(at))


def bundle(root: Path, **fields: Any) -> Bundle:
    (root / "bundle.yaml").write_text(yaml.safe_dump({"name": "made", "llm": {"path": "llm"}} | fields))
    return Bundle.open(root)


def write(file: Path, content: dict[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(tmp_path / "llm/config.json", LLAMA)
    header(tmp_path / "llm/model.safetensors", LAYERS)
    return tmp_path


def test_weights_of_a_model(root: Path) -> None:
    found = need(bundle(root), "llm", ["reason"])
    assert (found.kind, found.used_by, found.native) == ("LlamaForCausalLM", ("reason",), "float16")
    assert (found.floats, found.largest, found.fixed) == (92, 92, 48)
    assert (found.floor, found.streamed) == (40, 40 + 32)  # beside the largest block
    assert (found.weights("float32"), found.weights("bfloat16")) == (92 * 4 + 48, 92 * 2 + 48)


def test_shards_and_a_precision_that_most_weights_have(root: Path) -> None:
    (root / "llm/model.safetensors").unlink()
    header(root / "llm/model-00001-of-00002.safetensors", {"a.weight": ("BF16", [100])})
    header(root / "llm/model-00002-of-00002.safetensors", {"b.weight": ("F32", [99])})
    write(
        root / "llm/model.safetensors.index.json",
        {"weight_map": {f"{n}.weight": f"model-0000{i}-of-00002.safetensors" for i, n in ((1, "a"), (2, "b"))}},
    )
    found = need(bundle(root), "llm")
    assert (found.floats, found.native) == (199, "bfloat16")


def test_quantized_matrices_of_the_layers(root: Path) -> None:
    found = need(bundle(root, llm={"path": "llm", "quantize": "4bit"}), "llm")
    assert (found.floats, found.fixed, found.movable) == (44, 48 + 9 + 18, False)


@pytest.mark.parametrize(
    ("reply", "tokens"), [({}, 512 + 96), ({"max_new_tokens": 10}, 522), ({"max_new_tokens": 9999}, 4096)]
)
def test_activations_of_an_llm_grow_with_the_reply(root: Path, reply: dict[str, int], tokens: int) -> None:
    cache = 2 * 32 * 8 * 128 * tokens
    work = need(bundle(root), "llm", asked=[reply]).work
    assert work == cache + tokens * (4 * 4096 + 3 * 11008) + 2 * 32000


def test_a_remote_llm_needs_nothing(root: Path) -> None:
    remote = {"url": "http://localhost:8000/v1", "model": "m"}
    found = need(bundle(root, llm=remote), "llm", ["reason"])
    assert (found.weights("float32"), found.work, found.kind) == (0, 0, "remote m")


def pipeline(root: Path, **models: dict[str, Any]) -> Bundle:
    index: dict[str, Any] = {"_class_name": "StableDiffusionPipeline"}
    for name, config in models.items():
        write(root / "sd" / name / "config.json", config)
        header(root / "sd" / name / "diffusion_pytorch_model.safetensors", {"w.0.weight": ("F32", [100])})
        index[name] = ["diffusers", "Any"]
    write(root / "sd/model_index.json", index)
    return bundle(root, generators={"image": {"path": "sd"}})


UNET = {"block_out_channels": [320, 640], "layers_per_block": 2, "sample_size": 64}
VAE = {"block_out_channels": [128, 256, 512, 512]}


@pytest.mark.parametrize(
    ("asked", "pixels"), [({}, 512 * 512), ({"width": 256}, 256 * 512), ({"width": 64, "height": 64}, 64 * 64)]
)
def test_a_generator_needs_most_when_it_decodes(root: Path, asked: dict[str, int], pixels: int) -> None:
    made = pipeline(root, unet=UNET, vae=VAE)
    found = need(made, "generators.image", asked=[asked])
    assert (found.floats, found.largest) == (200, 100)
    assert found.work == pixels * (2 * 128 + 2 * 256)


def test_the_most_that_any_node_asks_for(root: Path) -> None:
    made = pipeline(root, unet=UNET, vae=VAE)
    both = need(made, "generators.image", asked=[{"width": 64, "height": 64}, {"width": 1024, "height": 512}])
    assert both.work == need(made, "generators.image", asked=[{"width": 1024, "height": 512}]).work


def test_a_config_that_tells_nothing(root: Path) -> None:
    assert need(pipeline(root, unet=UNET), "generators.image").work == 100 // 4
