"""The sound generator's autoencoder: log-mel spectrograms [b, 1, 128, 64] <-> latents [b, 8, 16, 8].

    python -m recipes.pocket.sound_autoencoder --cache .pocket --out build/pocket

The same AutoencoderDC as that of the pictures, with one channel. It takes and gives plain log-mel values, as the
vocoder and AudioLDM's pipeline have them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import torch
from diffusers import AutoencoderDC
from torch import Tensor, nn

from recipes.pocket import autoencoder, loop, mel, options, sound_judge, sound_pool, sounds

POOL, BATCH, STEPS, SHARPEN_STEPS = 6000, 16, 1800, 500
PLACE = "generators/audio/vae"


def build() -> AutoencoderDC:
    """An autoencoder that starts on values of mean 0 and deviation 1 inside: the outer layers take up the scale."""
    vae = autoencoder.build(channels=1)
    first, last = cast(Any, vae.encoder.conv_in).conv, cast(Any, vae.decoder.conv_out).conv
    with torch.no_grad():
        first.weight.div_(mel.DEVIATION)
        first.bias.sub_(mel.MEAN * first.weight.sum((1, 2, 3)))
        last.weight.mul_(mel.DEVIATION)
        last.bias.mul_(mel.DEVIATION).add_(mel.MEAN)
    return vae


def reconstruction_loss(made: Tensor, real: Tensor) -> Tensor:
    return autoencoder.reconstruction_loss(made.float() / mel.DEVIATION, real / mel.DEVIATION)


@torch.no_grad()
def encode(vae: AutoencoderDC, mels: Tensor, batch: int = 128) -> Tensor:
    """Log-mel spectrograms [n, 128, 64] -> scaled latents [n, 8, 16, 8]."""
    parts = []
    for part in mels.split(batch):
        with loop.autocast():
            parts.append(vae.encode(part[:, None].float()).latent.float())
    return torch.cat(parts) * vae.config.scaling_factor


@torch.no_grad()
def decode(vae: AutoencoderDC, latents: Tensor, batch: int = 128) -> Tensor:
    """Scaled latents [n, 8, 16, 8] -> log-mel spectrograms [n, 128, 64]."""
    return torch.cat([vae.decode(z / vae.config.scaling_factor).sample[:, 0] for z in latents.split(batch)])


def fit(vae: AutoencoderDC, mels: Tensor, path: Path) -> None:
    """Train both halves; then scale latents to unit deviation."""

    def batch(_: int) -> Tensor:
        return mels[torch.randint(len(mels), (BATCH,))][:, None].float()

    def loss(real: Tensor) -> Tensor:
        latent = vae.encode(real).latent.float()
        made = vae.decode(latent + autoencoder.NOISE * torch.randn_like(latent)).sample
        return reconstruction_loss(made, real) + 2e-3 * latent.square().mean()

    loop.train(vae, batch, loss, steps=STEPS, lr=1.5e-3, decay="linear", weight_decay=0.0, path=path)
    vae.register_to_config(scaling_factor=round(1 / encode(vae, mels[::8]).std().item(), 4))


def sharpen(vae: AutoencoderDC, mels: Tensor, path: Path) -> None:
    """Train the decoder alone: the latents stay as they are."""
    latents, decoder = encode(vae, mels) / vae.config.scaling_factor, cast(nn.Module, vae.decoder)

    def batch(_: int) -> tuple[Tensor, Tensor]:
        chosen = torch.randint(len(mels), (BATCH,))
        return latents[chosen], mels[chosen][:, None].float()

    def loss(data: tuple[Tensor, Tensor]) -> Tensor:
        latent, real = data
        return reconstruction_loss(decoder(latent + autoencoder.NOISE / 2 * torch.randn_like(latent)), real)

    steps = SHARPEN_STEPS
    loop.train(decoder, batch, loss, steps=steps, lr=1e-3, decay="linear", weight_decay=0.0, seed=1, path=path)


def load(out: Path) -> AutoencoderDC:
    vae = AutoencoderDC.from_pretrained(out / PLACE, torch_dtype=torch.float32)
    return vae.to(memory_format=torch.channels_last).eval().requires_grad_(False)


def main() -> None:
    args = options.parse(__doc__)
    if (args.out / PLACE).exists():
        return
    torch.manual_seed(0)
    vae = build()
    mels, _ = sound_pool.pool(args.cache, mel.half_mel, seed=21, count=POOL, own=1.0)
    fit(vae, mels, args.out / "state/sound_autoencoder.ckpt")
    sharpen(vae, mels, args.out / "state/sound_decoder.ckpt")
    autoencoder.save_half(vae, args.out / PLACE)
    measure(vae, args.out, args.cache)


@torch.no_grad()
def measure(vae: AutoencoderDC, out: Path, cache: Path) -> None:
    """Error in decibels, and what the judge hears through Griffin-Lim, at unseen pitches of the generator's font."""
    waves, right = sound_pool.test_set(cache, sounds.OWN_FONT, rounds=4, tuned=True)
    mels = mel.log_mel(waves)
    made = decode(vae, encode(vae, mels))
    print(f"sound autoencoder: {(made - mels).abs().mean().item() * mel.DECIBELS:.2f} dB of mean error", flush=True)
    again = {"waves": waves, "spectrograms": mel.griffin_lim(mels), "reconstructions": mel.griffin_lim(made)}
    for name, heard in again.items():
        print(f"{name}: the judge hears {sound_judge.hears(out, heard, right)}", flush=True)


if __name__ == "__main__":
    main()
