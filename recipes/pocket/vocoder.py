"""The vocoder: transformers' SpeechT5HifiGan, log-mel spectrograms [b, t, 64] -> waves [b, 256 t] at 16 kHz.

    python -m recipes.pocket.vocoder --cache .pocket --out build/pocket

Trained on spectrograms at several resolutions, and given half of them as the generator's autoencoder gives them back.
A steady note is the same frame again and again, from which it can only make what repeats with the frames: the
generator's instruments are tuned to that (`playing.tune`).
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

from recipes.pocket import autoencoder, loop, mel, options, sound_autoencoder, sound_judge, sound_pool, sounds

PLACE = "generators/audio/vocoder"
POOL, FRAMES, BATCH, STEPS = 4000, 32, 8, 10_000
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


def decoded(out: Path, waves: Tensor) -> Tensor:
    """Spectrograms [n, 128, 64] of waves (int16) as the generator's autoencoder gives them back."""
    vae = sound_autoencoder.load(out)
    parts = (mel.log_mel(part.float() / 32_767) for part in waves.split(128))
    return torch.cat([sound_autoencoder.decode(vae, sound_autoencoder.encode(vae, part)).half() for part in parts])


def segments(waves: Tensor, again: Tensor) -> tuple[Tensor, Tensor]:
    """A random batch of stretches of FRAMES frames: log-mel spectrograms, of the waves or decoded, and waves [b, n]."""
    rows, length = torch.randint(len(waves), (BATCH,)).tolist(), FRAMES * mel.HOP
    starts = torch.randint(sounds.SAMPLES // mel.HOP - FRAMES, (BATCH,)).tolist()
    at = list(zip(rows, starts, strict=True))
    real = torch.stack([waves[r, s * mel.HOP : s * mel.HOP + length] for r, s in at]).float() / 32_767
    given = torch.stack([again[r, s : s + FRAMES] for r, s in at]).float()
    return torch.where(torch.rand(BATCH, 1, 1) < 0.5, given, mel.log_mel(real)), real


def load(out: Path) -> SpeechT5HifiGan:
    return SpeechT5HifiGan.from_pretrained(out / PLACE, dtype=torch.float32).eval().requires_grad_(False)


@torch.no_grad()
def measure(vocoder: SpeechT5HifiGan, out: Path, cache: Path) -> None:
    """What the judge hears in real sounds and in those made of their spectrograms, at unseen pitches."""
    waves, right = sound_pool.test_set(cache, sounds.OWN_FONT, rounds=4, tuned=True)
    mels = mel.log_mel(waves)
    vae = sound_autoencoder.load(out)
    coded = sound_autoencoder.decode(vae, sound_autoencoder.encode(vae, mels))
    made, remade = (torch.cat([vocoder(part) for part in found.split(16)]) for found in (mels, coded))
    heard = {"real": waves, "vocoder": made, "decoded, vocoder": remade, "Griffin-Lim": mel.griffin_lim(mels)}
    for name, again in heard.items():
        error = (mel.log_mel(again) - mels).abs().mean().item() * mel.DECIBELS
        print(f"{name}: {error:.2f} dB, the judge hears {sound_judge.hears(out, again, right)}", flush=True)


def main() -> None:
    args = options.parse(__doc__)
    if (args.out / PLACE).exists():
        return
    torch.manual_seed(0)
    vocoder = build()
    waves, _ = sound_pool.pool(args.cache, lambda w: (w * 32_767).short(), seed=31, count=POOL, own=1.0)
    again = decoded(args.out, waves)

    def batch(_: int) -> tuple[Tensor, Tensor]:
        return segments(waves, again)

    def plain(data: tuple[Tensor, Tensor]) -> Tensor:
        return spectral_loss(vocoder(data[0]).float(), data[1])

    path = args.out / "state/vocoder.ckpt"
    loop.train(vocoder, batch, plain, steps=STEPS, lr=2e-3, path=path, weight_decay=0.0, clip=5.0)
    measure(vocoder, args.out, args.cache)
    autoencoder.save_half(vocoder, args.out / PLACE)


if __name__ == "__main__":
    main()
