"""The judge of motions: a VideoMAEForVideoClassification that says how a clip moves. Trained on real drawings only.

    python -m recipes.pocket.motion_judge --cache .pocket --out build/pocket

Not a part of the bundle. Its labels are `motion: spin` and the like, as `orch eval` reads them.
"""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import VideoMAEConfig, VideoMAEForVideoClassification, VideoMAEImageProcessorPil

from recipes.pocket import loop, options, scenes, world
from recipes.pocket.sources import FRAMES, TRAIN_SETS, drawings

CLIPS, STEPS, BATCH, LR = 8000, 3000, 32, 1e-3
MOTIONS = list(world.MOTIONS)


def model() -> VideoMAEForVideoClassification:
    names = [f"motion: {name}" for name in MOTIONS]
    config = VideoMAEConfig(
        image_size=scenes.SIZE,
        patch_size=16,
        num_frames=FRAMES,
        hidden_size=96,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=256,
        id2label=dict(enumerate(names)),
        label2id={name: i for i, name in enumerate(names)},
    )
    return VideoMAEForVideoClassification(config)


def clips(cache: Path, seed: int, count: int) -> tuple[Tensor, Tensor]:
    """Clips of all training styles, uint8 [n, f, s, s, 3], every motion equally often, and their motions [n]."""
    rng = random.Random(seed)
    out: list[np.ndarray] = []
    said: list[int] = []
    styles = [drawings(style, cache) for style in ("3d", "animated", *TRAIN_SETS)]
    concepts = list(world.CONCEPTS)
    while len(out) < count:
        scene = world.sample(rng, rng.choice(concepts), moving=True)
        motion = MOTIONS[len(out) % len(MOTIONS)]
        scene = world.Scene(scene.concept, scene.ground, scene.place, scene.size, motion)
        drawing = rng.choice(styles).get(world.CONCEPTS[scene.concept])
        if drawing is not None:
            out.append(scenes.clip(drawing.reshape(-1, *drawing.shape[-3:]), scene, rng))
            said.append(MOTIONS.index(motion))
    return torch.from_numpy(np.stack(out)), torch.tensor(said)


def see(judge: VideoMAEForVideoClassification, frames: Tensor) -> Tensor:
    """uint8 clips [b, f, s, s, 3] -> logits [b, motions]."""
    logits: Tensor = judge(pixel_values=frames.permute(0, 1, 4, 2, 3).float() / 127.5 - 1).logits
    return logits


def main() -> None:
    args = options.parse(__doc__)
    target = args.out / "motion_judge"
    if target.exists():
        return
    torch.manual_seed(0)
    judge, (found, right) = model(), clips(args.cache, seed=61, count=CLIPS)

    def batch(_: int) -> tuple[Tensor, Tensor]:
        chosen = torch.randint(len(found), (BATCH,))
        frames = found[chosen]
        noise = 12 * torch.rand(BATCH, 1, 1, 1, 1) * torch.randn(frames.shape)  # as poor films have it
        return (frames + noise).clamp(0, 255), right[chosen]

    def loss(data: tuple[Tensor, Tensor]) -> Tensor:
        return F.cross_entropy(see(judge, data[0]).float(), data[1], label_smoothing=0.05)

    path = args.out / "state/motion_judge.ckpt"
    loop.train(judge, batch, loss, steps=STEPS, lr=LR, path=path, weight_decay=0.05)
    with torch.inference_mode():
        fresh, truth = clips(args.cache, seed=62, count=400)
        share = (see(judge, fresh).argmax(1) == truth).float().mean().item()
    print(f"motion judge: {share:.1%} of 400 fresh clips", flush=True)
    judge.half().save_pretrained(target)
    half = [0.5] * 3
    VideoMAEImageProcessorPil(
        size={"height": scenes.SIZE, "width": scenes.SIZE}, do_center_crop=False, image_mean=half, image_std=half
    ).save_pretrained(target)


if __name__ == "__main__":
    main()
