"""The sound encoder of the bundle: a WhisperEncoder whose mean state says what sounds, how high, loud and often.

python -m recipes.pocket.sound_encoder --cache .pocket --out build/pocket
"""

from __future__ import annotations

import os

import torch
from torch import Tensor, nn
from transformers import WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from recipes.pocket import hearing, options, playing, sound_pool

WIDTH = 128
POOL, STEPS, LR = 24_000, 7000, 1.5e-3


class Listener(nn.Module):
    """The encoder, and the linear layer that teaches it: all attributes from the mean state [b, 128]."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = WhisperEncoder(WhisperConfig(**hearing.shape(WIDTH, layers=4)))
        self.encoder.set_attn_implementation("eager")  # on a CPU, the gradient of the fused kernel takes twice the time
        self.head = nn.Linear(WIDTH, sum(sound_pool.SIZES))

    def forward(self, heard: Tensor) -> Tensor:
        """Features [b, 80, 100] -> logits [b, 32]."""
        logits: Tensor = self.head(self.encoder(heard).last_hidden_state.mean(1))
        return logits


def main() -> None:
    args = options.parse(__doc__)
    target = args.out / "encoders/audio"
    if target.exists():
        return
    torch.manual_seed(0)
    listener = Listener()
    path = args.out / "state/sound_encoder.ckpt"
    hearing.teach(listener, args.cache, path, seed=51, pool=POOL, steps=STEPS, lr=LR, fontless=playing.FONTLESS)
    fresh = target.with_name("audio.tmp")
    listener.encoder.half().save_pretrained(fresh)
    hearing.extractor().save_pretrained(fresh)
    os.replace(fresh, target)


if __name__ == "__main__":
    main()
