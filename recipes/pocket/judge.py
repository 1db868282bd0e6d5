"""The judge: names the concept of a picture or clip. Trained on real drawings only, never on generated frames.

    python -m recipes.pocket.judge --cache .pocket --out build/pocket

Not a part of the bundle: it measures the generator.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import ResNetConfig, ResNetForImageClassification

from recipes.pocket import loop, options, scenes, world
from recipes.pocket.augment import Bank, Batch, Strength
from recipes.pocket.sources import TRAIN_SETS, drawings

STRENGTH = Strength(turn=10, any_turn=0.15, colour=0.12, grey=0.05, soft=0.5, noise=0.08, cut=0.1)
STEPS, BATCH, LR = 1800, 128, 2e-3
STYLE_WEIGHT = {"3d": 4.0, "animated": 3.0}  # the generator's own styles count for more


def entries(cache: Path) -> Iterator[tuple[np.ndarray, int, float]]:
    """Every real drawing of a concept, with the concept's index and the weight of its style."""
    for style in ("3d", "animated", *TRAIN_SETS):
        found = drawings(style, cache)
        for label, name in enumerate(world.CONCEPTS.values()):
            frames = found[name].reshape(-1, *found[name].shape[-3:]) if name in found else ()
            for frame in frames:
                yield frame, label, STYLE_WEIGHT.get(style, 1.0) / len(frames)


def model() -> ResNetForImageClassification:
    """A ResNet of 0.7 M parameters for 64 px."""
    names = dict(enumerate(world.CONCEPTS))
    config = ResNetConfig(
        embedding_size=32,
        hidden_sizes=[32, 64, 128],
        depths=[2, 2, 2],
        layer_type="basic",
        id2label=names,
        label2id={v: k for k, v in names.items()},
    )
    return ResNetForImageClassification(config)


def judge_frames(judge: nn.Module, frames: Tensor) -> Tensor:
    """uint8 frames [b, f, s, s, 3] -> logits [b, concepts], the mean over the frames."""
    pixels = frames.flatten(0, 1).permute(0, 3, 1, 2).float() / 127.5 - 1
    return judge(pixel_values=pixels).logits.unflatten(0, frames.shape[:2]).mean(1)


@torch.inference_mode()
def accuracy(judge: nn.Module, style: str, cache: Path, moving: bool, rounds: int = 4) -> tuple[int, int]:
    """Right and total on fresh scenes of a style: clips when `moving`, else pictures."""
    rng, found, right, total = random.Random(2**31), drawings(style, cache), 0, 0
    for label, (concept, name) in enumerate(world.CONCEPTS.items()):
        if name not in found:
            continue
        frames = found[name].reshape(-1, *found[name].shape[-3:])
        todo = [world.sample(rng, concept, moving) for _ in range(rounds)]
        clips = [scenes.clip(frames, s, rng) if moving else scenes.picture(frames[0], s, rng)[None] for s in todo]
        right += int((judge_frames(judge, torch.from_numpy(np.stack(clips))).argmax(1) == label).sum())
        total += rounds
    return right, total


def main() -> None:
    args = options.parse(__doc__)
    if (args.out / "judge").exists():
        return
    torch.manual_seed(0)
    judge, bank = model(), Bank(entries(args.cache))

    def loss(batch: Batch) -> Tensor:
        logits = judge(pixel_values=batch.pixels * 2 - 1).logits
        return F.cross_entropy(logits.float(), batch.label, label_smoothing=0.05)

    path = args.out / "judge.ckpt"
    loop.train(judge, lambda step: bank.batch(BATCH, STRENGTH), loss, steps=STEPS, lr=LR, path=path, weight_decay=0.05)
    for style in ("3d", "animated", *TRAIN_SETS):
        for moving in (False, True):
            right, total = accuracy(judge, style, args.cache, moving)
            print(
                f"{style:20s} {'clips' if moving else 'pictures':8s} {right}/{total} = {right / total:.1%}", flush=True
            )
    judge.half().save_pretrained(args.out / "judge")


if __name__ == "__main__":
    main()
