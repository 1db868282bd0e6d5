"""The vocoder: transformers' SpeechT5HifiGan, log-mel spectrograms [b, t, 64] -> waves [b, 256 t] at 16 kHz.

    python -m recipes.pocket.vocoder --cache .pocket --out build/pocket

Two stages: spectrograms alone at several resolutions, which finds the notes; then discriminators as well (HiFi-GAN,
arXiv 2010.05646; of spectrograms, UnivNet, arXiv 2106.07889), which take the buzz out of them.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm
from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

from recipes.pocket import autoencoder, loop, mel, options, sound_judge, sound_pool, sounds

PLACE = "generators/audio/vocoder"
POOL, FRAMES, BATCH, STEPS, PLAY_STEPS = 4000, 32, 8, 6500, 800
RESOLUTIONS = ((256, 64, 32), (512, 128, 64), (1024, 256, 80), (2048, 512, 128))  # window, hop, bands
PERIODS = (2, 3, 5)
HEARD = -4.6  # log-mel below it, 60 to 80 dB under a loud note, is silence: else most of the loss is about that
MATCH = 2.0  # weight of the discriminators' features


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


class Critic(nn.Module):
    """A stack of strided convolutions over a picture of the wave: its features, the last of which is its verdict."""

    def __init__(self, kernel: tuple[int, int], stride: tuple[int, int], widths: tuple[int, ...]):
        super().__init__()
        around = (kernel[0] // 2, kernel[1] // 2)
        pairs = zip((1, *widths), widths, strict=False)
        layers = [weight_norm(nn.Conv2d(a, b, kernel, stride, around)) for a, b in pairs]
        self.layers, self.last = nn.ModuleList(layers), weight_norm(nn.Conv2d(widths[-1], 1, 3, 1, 1))

    def forward(self, picture: Tensor) -> list[Tensor]:
        features = []
        for layer in self.layers:
            picture = F.leaky_relu(layer(picture), 0.1)
            features.append(picture)
        return [*features, self.last(picture)]


class Critics(nn.Module):
    """One critic a period, which sees the wave folded, and one a resolution, which sees its magnitudes."""

    def __init__(self) -> None:
        super().__init__()
        self.folded = nn.ModuleList([Critic((5, 1), (3, 1), (16, 32, 64, 64)) for _ in PERIODS])
        self.seen = nn.ModuleList([Critic((3, 3), (1, 2), (16, 32, 32)) for _ in RESOLUTIONS])

    def forward(self, waves: Tensor) -> list[list[Tensor]]:
        out = []
        for period, critic in zip(PERIODS, self.folded, strict=True):
            whole = waves[:, : waves.shape[1] // period * period]
            out.append(critic(whole.unflatten(1, (-1, period))[:, None]))
        for (window, hop, _), critic in zip(RESOLUTIONS, self.seen, strict=True):
            out.append(critic(mel.magnitudes(waves, window, hop).sqrt()[:, None]))
        return out


class Game(nn.Module):
    """Vocoder and critics, trained by one optimizer in one step: neither's loss reaches the other's weights."""

    def __init__(self, vocoder: SpeechT5HifiGan):
        super().__init__()
        self.vocoder, self.critics = vocoder, Critics()

    def loss(self, mels: Tensor, real: Tensor) -> Tensor:
        """Least-squares adversarial losses of both players, feature matching and the spectral loss."""
        made = self.vocoder(mels).float()
        judged = zip(self.critics(real), self.critics(made.detach()), strict=True)
        verdicts = [(1 - r[-1].float()).square().mean() + m[-1].float().square().mean() for r, m in judged]
        self.critics.requires_grad_(False)
        with torch.no_grad():
            wanted = self.critics(real)
        found = self.critics(made)
        self.critics.requires_grad_(True)
        fooled = [(1 - m[-1].float()).square().mean() for m in found]
        pairs = [p for w, m in zip(wanted, found, strict=True) for p in zip(w[:-1], m[:-1], strict=True)]
        match = [F.l1_loss(m.float(), w.float()) for w, m in pairs]
        play = torch.stack(verdicts).mean() + torch.stack(fooled).mean() + MATCH * torch.stack(match).mean()
        return play + 2 * spectral_loss(made, real)


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
    game = Game(vocoder.train())
    path = args.out / "state/vocoder_game.ckpt"
    loop.train(
        game, batch, lambda data: game.loss(*data), steps=PLAY_STEPS, lr=5e-4, path=path, weight_decay=0.0, clip=10.0
    )
    measure(vocoder, args.out, args.cache)
    autoencoder.save_half(vocoder, args.out / PLACE)


if __name__ == "__main__":
    main()
