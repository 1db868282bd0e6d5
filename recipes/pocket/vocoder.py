"""The vocoder: transformers' SpeechT5HifiGan, log-mel spectrograms [b, t, 64] -> waves [b, 256 t] at 16 kHz.

    python -m recipes.pocket.vocoder --cache .pocket --out build/pocket

Trained on spectrograms at several resolutions. A steady note gives it the same frame again and again, from which it can
only make what repeats with the frames: the generator's instruments are tuned to that (`playing.tune`).
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

from recipes.pocket import autoencoder, loop, mel, options, sound_judge, sound_pool, sounds

PLACE = "generators/audio/vocoder"
POOL, FRAMES, BATCH, STEPS = 4000, 32, 8, 6500
RESOLUTIONS = ((256, 64, 32), (512, 128, 64), (1024, 256, 80), (2048, 512, 128))  # window, hop, bands
HEARD = -4.6  # log-mel below it, 60 to 80 dB under a loud note, is silence: else most of the loss is about that


def build() -> SpeechT5HifiGan:
    config = SpeechT5HifiGanConfig(
        model_in_dim=mel.BANDS,
        sampling_rate=sounds.RATE,
        upsample_initial_channel=128,
        upsample_rates=[8, 8, 4],
        upsample_kernel_sizes=[16, 16, 8],
        resblock_kernel_sizes=[3, 7],
        resblock_dilation_sizes=[[1, 3, 5], [1, 3, 5]],
    )
    vocoder = SpeechT5HifiGan(config)
    for module in vocoder.modules():
        if isinstance(module, nn.Conv1d | nn.ConvTranspose1d):
            module.reset_parameters()  # the class's own start, deviation 0.01, is made for weight norm
    vocoder.mean.fill_(mel.MEAN)
    vocoder.scale.fill_(mel.DEVIATION)
    return vocoder


def spectral_loss(made: Tensor, real: Tensor) -> Tensor:
    """L1 of log-mel spectrograms, as far as they are heard, and of root magnitudes: the mean over the resolutions.

    Waves are [b, n].
    """
    losses = []
    for window, hop, bands in RESOLUTIONS:
        heard = [mel.log_mel(wave, window, hop, bands).clamp(min=HEARD) for wave in (made, real)]
        losses.append(F.l1_loss(heard[0], heard[1]))
        losses.append(F.l1_loss(mel.magnitudes(made, window, hop).sqrt(), mel.magnitudes(real, window, hop).sqrt()))
    return torch.stack(losses).sum() / len(RESOLUTIONS)


def segments(waves: Tensor) -> tuple[Tensor, Tensor]:
    """A random batch of stretches of FRAMES frames: their log-mel spectrograms, and their waves [b, n]."""
    rows, length = torch.randint(len(waves), (BATCH,)), FRAMES * mel.HOP
    starts = torch.randint(sounds.SAMPLES - length, (BATCH,)).tolist()
    real = torch.stack([waves[r, s : s + length] for r, s in zip(rows.tolist(), starts, strict=True)]).float() / 32_767
    return mel.log_mel(real), real


def load(out: Path) -> SpeechT5HifiGan:
    return SpeechT5HifiGan.from_pretrained(out / PLACE, dtype=torch.float32).eval().requires_grad_(False)


@torch.no_grad()
def measure(vocoder: SpeechT5HifiGan, out: Path, cache: Path) -> None:
    """What the judge hears in real sounds, in the vocoder's, and in Griffin-Lim's, at unseen pitches."""
    waves, right = sound_pool.test_set(cache, sounds.OWN_FONT, rounds=4, tuned=True)
    mels = mel.log_mel(waves)
    made = torch.cat([vocoder(part) for part in mels.split(16)])
    for name, again in {"real": waves, "vocoder": made, "Griffin-Lim": mel.griffin_lim(mels)}.items():
        error = (mel.log_mel(again) - mels).abs().mean().item() * mel.DECIBELS
        print(f"{name}: {error:.2f} dB, the judge hears {sound_judge.hears(out, again, right)}", flush=True)


def main() -> None:
    args = options.parse(__doc__)
    if (args.out / PLACE).exists():
        return
    torch.manual_seed(0)
    vocoder = build()
    waves, _ = sound_pool.pool(args.cache, lambda w: (w * 32_767).short(), seed=31, count=POOL, own=1.0)

    def batch(_: int) -> tuple[Tensor, Tensor]:
        return segments(waves)

    def plain(data: tuple[Tensor, Tensor]) -> Tensor:
        return spectral_loss(vocoder(data[0]).float(), data[1])

    path = args.out / "state/vocoder.ckpt"
    loop.train(vocoder, batch, plain, steps=STEPS, lr=2e-3, path=path, weight_decay=0.0, clip=5.0)
    measure(vocoder, args.out, args.cache)
    autoencoder.save_half(vocoder, args.out / PLACE)


if __name__ == "__main__":
    main()
