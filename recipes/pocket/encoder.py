"""The image encoder of the bundle: a ResNetModel whose pooled vector says what is drawn, where, how large, on what.

    python -m recipes.pocket.encoder --cache .pocket --out build/pocket

Unseen styles are the difficulty: the number of styles and names bounds it, so that the encoder learns every emoji
name that at least three training sets draw, on drawings whose colours, proportions and textures are changed hard.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Collection
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import ResNetConfig, ResNetModel, ViTImageProcessorPil

from recipes.pocket import loop, options, scenes, world
from recipes.pocket.augment import IGNORE, Bank, Batch, Strength
from recipes.pocket.sources import TRAIN_SETS, drawings

STRENGTH = Strength(
    turn=14, any_turn=0.1, stretch=0.15, colour=0.3, grey=0.15, edges=0.08, flat=0.15, warp=0.06, cut=0.25
)
STEPS, BATCH, LR = 6000, 128, 2e-3
STYLES_OF_A_NAME = 3  # a name is learnt when so many training sets draw it
POSE = 5  # numbers that say how a drawing lies: motions are read from them, frame by frame
CONCEPT_WEIGHT = 5.0  # the concepts of the captions are drawn more often than other names


def bank(cache: Path) -> tuple[Bank, list[str]]:
    """The drawings of all names that enough sets draw, and the names: the concepts first, in their order."""
    sets = [drawings(style, cache) for style in ("3d", *TRAIN_SETS)]
    count = Counter(name for found in sets for name in found)
    concepts = list(world.CONCEPTS.values())
    names = concepts + sorted(n for n, c in count.items() if c >= STYLES_OF_A_NAME and n not in world.CONCEPTS.values())
    weight = [CONCEPT_WEIGHT] * len(concepts) + [1.0] * (len(names) - len(concepts))
    entries = [(found[n], i, weight[i]) for found in sets for i, n in enumerate(names) if n in found]
    moving = drawings("animated", cache)
    entries += [(frame, i, weight[i] / 8) for i, n in enumerate(names) if n in moving for frame in moving[n][::2]]
    return Bank(entries), names


class Student(nn.Module):
    """The encoder and the linear heads that teach it; all heads read the pooled vector [b, d]."""

    def __init__(self, names: int):
        super().__init__()
        config = ResNetConfig(embedding_size=40, hidden_sizes=[40, 80, 160], depths=[2, 2, 2], layer_type="basic")
        self.encoder = ResNetModel(config)
        width = config.hidden_sizes[-1]
        sizes = {"label": names, "concept": len(world.CONCEPTS), "ground": len(world.GROUNDS)}
        sizes |= {"place": len(world.PLACES), "size": len(world.SIZES), "pose": POSE}
        self.heads = nn.ModuleDict({k: nn.Linear(width, n) for k, n in sizes.items()})

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        """Pictures [b, 3, 64, 64] in [0, 1] -> logits [b, classes] by head."""
        pooled = self.encoder(pixels * 2 - 1).pooler_output.flatten(1)
        return {k: head(pooled).float() for k, head in self.heads.items()}

    def loss(self, batch: Batch) -> Tensor:
        """Cross-entropies of all heads, and the error of the pose; the concept head sees the concepts only."""
        concept = torch.where(batch.label < len(world.CONCEPTS), batch.label, IGNORE)
        targets = {"label": batch.label, "concept": concept}
        targets |= {k: getattr(batch, k) for k in ("ground", "place", "size")}
        logits = self(batch.pixels)
        smooth = {"label": 0.1, "concept": 0.1}
        losses = [F.cross_entropy(logits[k], t, label_smoothing=smooth.get(k, 0.0)) for k, t in targets.items()]
        return torch.stack(losses).sum() + 2 * F.mse_loss(logits["pose"], batch.pose)


@torch.inference_mode()
def accuracy(student: Student, style: str, cache: Path, plain: bool, rounds: int = 4) -> dict[str, float]:
    """Share of right read-outs by head on scenes of a style; `plain`: one large picture a concept, on white."""
    rng, found = random.Random(2**31), drawings(style, cache)
    todo = (
        [world.Scene(c) for c in world.CONCEPTS]
        if plain
        else [world.sample(rng, c) for c in [*world.CONCEPTS] * rounds]
    )
    todo = [s for s in todo if world.CONCEPTS[s.concept] in found]
    pictures = [scenes.picture(found[world.CONCEPTS[s.concept]], s, None if plain else rng) for s in todo]
    logits = student(torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2) / 255)
    tables: dict[str, Collection[str]] = {
        "concept": world.CONCEPTS,
        "ground": world.GROUNDS,
        "place": world.PLACES,
        "size": world.SIZES,
    }
    truth = {k: torch.tensor([list(table).index(getattr(s, k)) for s in todo]) for k, table in tables.items()}
    return {k: (logits[k].argmax(1) == t).float().mean().item() for k, t in truth.items()}


def main() -> None:
    args = options.parse(__doc__)
    target = args.out / "encoders" / "image"
    if target.exists():
        return
    torch.manual_seed(0)
    data, names = bank(args.cache)
    student = Student(len(names))
    parameters = sum(p.numel() for p in student.encoder.parameters())
    print(f"{len(data.labels)} drawings of {len(names)} names, {parameters} parameters", flush=True)

    def batch(_: int) -> Batch:
        return data.batch(BATCH, STRENGTH)

    path = args.out / "encoder.ckpt"
    loop.train(student, batch, student.loss, steps=STEPS, lr=LR, path=path, weight_decay=0.05)
    for style in ("3d", *TRAIN_SETS):
        print(style, {k: f"{v:.1%}" for k, v in accuracy(student, style, args.cache, plain=False).items()}, flush=True)
    fresh = target.with_name("image.tmp")
    student.encoder.half().save_pretrained(fresh)
    ViTImageProcessorPil(
        size={"height": scenes.SIZE, "width": scenes.SIZE}, resample=1, image_mean=[0.5] * 3, image_std=[0.5] * 3
    ).save_pretrained(fresh)
    os.replace(fresh, target)


if __name__ == "__main__":
    main()
