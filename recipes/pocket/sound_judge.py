"""The judge of sounds: names concept, pitch, loudness and rhythm. Trained on rendered notes only.

    python -m recipes.pocket.sound_judge --cache .pocket --out build/pocket

Not a part of the bundle: it measures the sound generator. A WhisperForAudioClassification whose labels are concepts
and `pitch: low` and the like, as `orch eval` reads them.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import WhisperConfig, WhisperForAudioClassification

from recipes.pocket import hearing, options, sound_pool

STEPS, LR, POOL = 2200, 1.5e-3, 10_000
OWN = 0.4  # the share of sounds in the generator's style, which is what it is to judge


def model() -> WhisperForAudioClassification:
    names = [w if k == "concept" else f"{k}: {w}" for k, table in sound_pool.ATTRIBUTES.items() for w in table]
    config = WhisperConfig(
        **hearing.shape(width=96, layers=3),
        classifier_proj_size=96,
        id2label=dict(enumerate(names)),
        label2id={name: i for i, name in enumerate(names)},
    )
    judge = WhisperForAudioClassification(config)
    judge.set_attn_implementation("eager")
    return judge


class Judge(nn.Module):
    """The judge as a function of features [b, 80, 100]: logits [b, 32] of all attributes, side by side."""

    def __init__(self, judge: WhisperForAudioClassification):
        super().__init__()
        self.judge = judge

    def forward(self, heard: Tensor) -> Tensor:
        logits: Tensor = self.judge(input_features=heard).logits
        return logits


@torch.inference_mode()
def hears(out: Path, waves: Tensor, right: Tensor) -> str:
    """The judge's share of right answers on waves [n, samples], as a line of text."""
    judge = Judge(WhisperForAudioClassification.from_pretrained(out / "sound_judge", dtype=torch.float32).eval())
    return hearing.told(judge, hearing.features(waves), right)


def main() -> None:
    args = options.parse(__doc__)
    target = args.out / "sound_judge"
    if target.exists():
        return
    torch.manual_seed(5)
    judge = Judge(model())
    path = args.out / "state/sound_judge.ckpt"
    hearing.teach(judge, args.cache, path, seed=11, pool=POOL, steps=STEPS, lr=LR, own=OWN)
    judge.judge.half().save_pretrained(target)
    hearing.extractor().save_pretrained(target)


if __name__ == "__main__":
    main()
