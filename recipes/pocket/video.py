"""Text -> video: the picture UNet inflated to a UNet3DConditionModel on latents [b, 8, 8, 8, 8] (b c f h w).

    python -m recipes.pocket.video --cache .pocket --out build/pocket

Writes `generators/video`, a folder that diffusers' TextToVideoSDPipeline loads as it is.
"""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path
from typing import Any

import torch
from diffusers import TextToVideoSDPipeline, UNet2DConditionModel, UNet3DConditionModel
from torch import Tensor, nn
from transformers import CLIPTokenizer

from recipes.pocket import autoencoder, loop, options, picture, scenes, words, world
from recipes.pocket.sources import drawings

CLIPS, STEPS, BATCH = 8320, 9000, 8


def build_unet() -> UNet3DConditionModel:
    """The picture UNet's shape, with temporal convolutions and attentions between its layers."""
    return UNet3DConditionModel(
        down_block_types=tuple(name + "3D" for name in picture.DOWN),
        up_block_types=tuple(name + "3D" for name in picture.UP),
        attention_head_dim=picture.UNET["block_out_channels"][-1] // picture.HEADS,
        **picture.UNET,
    )


def inflate(spatial: UNet2DConditionModel) -> UNet3DConditionModel:
    """A video UNet that draws every frame exactly as `spatial` would: its temporal layers start as the identity."""
    unet = build_unet()
    report = unet.load_state_dict(spatial.state_dict(), strict=False)
    strangers = [key for key in report.missing_keys if not is_temporal(key)] + report.unexpected_keys
    if strangers:
        raise ValueError(f"the picture UNet does not fit the video UNet: {strangers}")
    for name, module in unet.named_modules():
        if is_temporal(name) and name.endswith("proj_out"):
            nn.init.zeros_(module.weight)
            nn.init.zeros_(module.bias)
        if isinstance(module, nn.Dropout):
            module.p = 0.0  # so short a training underfits
    return unet


def is_temporal(name: str) -> bool:
    """Whether a parameter or module mixes frames (the last layer of a `temp_conv` is born zero)."""
    return any(part in ("transformer_in", "temp_convs", "temp_attentions") for part in name.split("."))


def clip_latents(cache: Path, out: Path) -> tuple[list[world.Scene], Tensor]:
    """`CLIPS` random moving scenes, every concept equally often, and their latents [n, c, f, h, w]; made once."""
    still, moving, rng = drawings("3d", cache), drawings("animated", cache), random.Random(4)
    concepts = list(world.CONCEPTS)
    todo = [world.sample(rng, concepts[i % len(concepts)], moving=True) for i in range(CLIPS)]
    path = out / "state/clip_latents.pt"
    if not path.exists():
        vae, parts = autoencoder.load(out), []
        for scene in todo:
            frames = scenes.clip(autoencoder.film(world.CONCEPTS[scene.concept], still, moving, rng), scene, rng)
            parts.append(autoencoder.encode(vae, frames).transpose(0, 1).half())
        torch.save(torch.stack(parts), path)
    return todo, torch.load(path, weights_only=True).float()


def export(model: picture.Denoiser, tokenizer: CLIPTokenizer, out: Path) -> None:
    """Write the pipeline in fp16 beside its place and then rename it, so that a reader never sees half of one."""
    place = out / "generators/video"
    fresh, old = place.with_suffix(".new"), place.with_suffix(".old")
    for folder in (fresh, old):
        shutil.rmtree(folder, ignore_errors=True)
    TextToVideoSDPipeline(
        vae=autoencoder.load(out),
        text_encoder=model.text_encoder,
        tokenizer=tokenizer,
        unet=model.unet,
        scheduler=picture.build_scheduler(),
    ).save_pretrained(fresh)
    autoencoder.save_half(model.text_encoder, fresh / "text_encoder")
    autoencoder.save_half(model.unet, fresh / "unet")
    shutil.copytree(out / "generators/image/vae", fresh / "vae", dirs_exist_ok=True)
    if place.exists():
        os.rename(place, old)
    os.rename(fresh, place)
    shutil.rmtree(old, ignore_errors=True)


def main() -> None:
    args = options.parse(__doc__)
    if (args.out / "generators/video").exists():
        return
    torch.manual_seed(2)
    spatial = UNet2DConditionModel.from_pretrained(args.out / "generators/image/unet", torch_dtype=torch.float32)
    tokenizer, text_encoder, reader = picture.load_text(args.out)
    # Where things are in which frame is decided while there is much noise: train there more often.
    model = picture.Denoiser(inflate(spatial), text_encoder, reader, tilt=0.5)
    todo, latents = clip_latents(args.cache, args.out)

    def batch(step: int) -> tuple[Tensor, ...]:
        rng = random.Random(step)
        chosen = [rng.randrange(len(todo)) for _ in range(BATCH)]
        return latents[chosen], *words.batch(tokenizer, [todo[i] for i in chosen], rng)

    named = list(model.unet.named_parameters())
    groups: list[dict[str, Any]] = [
        {"params": [p for name, p in named if is_temporal(name)]},
        {"params": [p for name, p in named if not is_temporal(name)], "scale": 0.25},
        {"params": [*text_encoder.parameters(), *reader.parameters()], "scale": 0.1},
    ]
    path = args.out / "state/video.ckpt"
    loop.train(
        model, batch, lambda data: model.loss(*data), steps=STEPS, lr=1.2e-3, path=path, groups=groups, ema=0.998
    )
    export(model, tokenizer, args.out)


if __name__ == "__main__":
    main()
