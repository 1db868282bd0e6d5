"""A bundle of the real classes whose layers are as wide as real ones, though fewer: 1.6 GB of random weights.

As sides_bundle, with a CLIP ViT-L of 6 layers, a Llama of 4 layers, 2048 wide, and a UNet of half the width of Stable
Diffusion's; with projectors between them, pictures go in and pictures come out.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
import yaml
from sides_bundle import SIDE, SPEC, VOCABULARY, WIDTH, generator, llm
from transformers import CLIPImageProcessorPil, CLIPVisionConfig, CLIPVisionModel, LlamaConfig, LlamaForCausalLM

PROJECTORS: dict[str, tuple[str, dict[str, Any]]] = {
    "input_projectors.image": ("linear", {"num_tokens": 4}),
    "output_projectors.image": ("transformer", {"hidden_dim": 512, "layers": 1, "ffn_dim": 1024}),
}
PATHS = {group: {"image": {"path": group}} for group in ("input_projectors", "output_projectors")}


def bundle(folder: Path) -> Path:
    """All parts."""
    from orchestrator.models.bundle import Bundle
    from orchestrator.models.bundle.manifest import new_projector, save_projector

    torch.manual_seed(0)
    heads = {"num_attention_heads": 16}
    seen = CLIPVisionConfig(hidden_size=1024, intermediate_size=4096, num_hidden_layers=6, **heads, image_size=SIDE)
    CLIPVisionModel(seen).save_pretrained(folder / "encoder")
    CLIPImageProcessorPil(size={"shortest_edge": SIDE}).save_pretrained(folder / "encoder")
    llm(folder / "llm")
    ids = {f"{name}_token_id": i for i, name in enumerate(("pad", "bos", "eos"))}
    said = LlamaConfig(hidden_size=2048, intermediate_size=5504, num_hidden_layers=4, **heads, **ids)
    said.vocab_size = VOCABULARY
    LlamaForCausalLM(said).save_pretrained(folder / "llm")
    generator(folder / "generator")
    unet().save_pretrained(folder / "generator/unet")
    (folder / "bundle.yaml").write_text(yaml.safe_dump({**SPEC, **PATHS, "name": "large"}))
    made = Bundle.open(folder)
    for part, (kind, config) in PROJECTORS.items():
        module: Any = new_projector(made, part, kind, "benchmarks/large_bundle.py", **config)
        save_projector(module, module.manifest, folder / made.part(part).path)
    return folder


def unet() -> Any:
    """A UNet of two levels."""
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(160, 320, 640),
        layers_per_block=1,
        attention_head_dim=8,
        cross_attention_dim=WIDTH,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
    )


if __name__ == "__main__":
    bundle(Path(sys.argv[1]))
