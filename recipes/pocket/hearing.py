"""What the sound encoder and the judge of sounds have in common: Whisper's features and size, and their teaching.

A few banks of sounds, some recordings and effects made by rule are all there is to learn from, so timbres are changed
hard; pitch, level and rhythm are kept.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import WhisperFeatureExtractor

from recipes.pocket import loop, sound_pool, sounds

SECONDS, BANDS, FRAMES = 2, 80, 50  # frames: a second
BATCH = 64
TEN_DB = 0.25  # in Whisper's logarithms


def extractor() -> WhisperFeatureExtractor:
    """80 bands, 50 frames a second, half of Whisper's; a longer window than its own, for low notes."""
    hop = sounds.RATE // FRAMES
    return WhisperFeatureExtractor(feature_size=BANDS, hop_length=hop, chunk_length=SECONDS, n_fft=1024)


def features(waves: Tensor) -> Tensor:
    """Waves [b, n] -> half-precision features [b, 80, 100]."""
    made = extractor()(list(waves.numpy()), sampling_rate=sounds.RATE, return_tensors="pt")
    return made.input_features.half()


def shape(width: int, layers: int) -> dict[str, Any]:
    """The sizes of a WhisperConfig for these features."""
    return {
        "num_mel_bins": BANDS,
        "d_model": width,
        "encoder_layers": layers,
        "encoder_attention_heads": 4,
        "encoder_ffn_dim": 3 * width,
        "max_source_positions": SECONDS * FRAMES // 2,
    }


def teach(
    model: nn.Module, cache: Path, path: Path, *, seed: int, pool: int, steps: int, lr: float, **shares: float
) -> None:
    """Train `model`, features [b, 80, 100] -> logits of all attributes [b, 32], and print what it hears; `shares` of
    the sounds are as `sound_pool.pool` has them."""
    heard, right = sound_pool.pool(cache, features, seed, pool, **shares)

    def batch(_: int) -> tuple[Tensor, Tensor]:
        chosen = torch.randint(len(heard), (BATCH,))
        return sound_pool.augment(heard[chosen].float().transpose(1, 2), TEN_DB).transpose(1, 2), right[chosen]

    def loss(data: tuple[Tensor, Tensor]) -> Tensor:
        return sound_pool.cross_entropy(model(data[0]), data[1], smoothing=0.05)

    loop.train(model, batch, loss, steps=steps, lr=lr, path=path, warmup=300, weight_decay=0.05)
    for font in (*sounds.TRAIN_FONTS, sounds.TEST_FONT):
        waves, truth = sound_pool.test_set(cache, font, rounds=12, tuned=False)
        print(f"{path.stem}, {font}: {told(model, features(waves), truth)}", flush=True)


@torch.inference_mode()
def told(model: nn.Module, heard: Tensor, right: Tensor) -> str:
    """The shares of right answers by attribute, as a line of text."""
    logits = torch.cat([model(part.float()) for part in heard.split(128)])
    return ", ".join(f"{name} {share:.1%}" for name, share in sound_pool.shares(logits, right).items())
