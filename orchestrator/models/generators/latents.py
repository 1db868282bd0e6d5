"""Autoencoders: media <-> latents, normalised as the denoiser takes them.

x [B, C, H, W], films [B, C, F, H, W], waves [B, channels, n] <-> z of as many axes. Normalised is
(z - mean) / std * scale, by what the autoencoder's config (or LTX's buffers) says: a mean and std of each channel, a
shift, a scale, or some of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch import Tensor


def encode(vae: Any, x: Tensor, folded: bool, device: Any) -> Tensor:
    """Normalised latents in float32; of an autoencoder with a distribution, its mode. `folded`: each frame alone."""
    if folded:
        frames = encode(vae, x.transpose(1, 2).flatten(0, 1), False, device).unflatten(0, (len(x), -1))
        return frames.transpose(1, 2)
    encoded = vae.encode(x.to(device, vae.dtype))
    latents = encoded.latent_dist.mode() if hasattr(encoded, "latent_dist") else encoded.latent
    mean, std, scale = _normal(vae, latents.float())
    normalised: Tensor = (latents.float() - mean) / std * scale
    return normalised


def decode(vae: Any, z: Tensor, folded: bool) -> Tensor:
    """Normalised latents -> x in float32."""
    if folded:
        return decode(vae, z.transpose(1, 2).flatten(0, 1), False).unflatten(0, (len(z), -1)).transpose(1, 2)
    mean, std, scale = _normal(vae, z.float())
    timed = {"temb": torch.zeros(len(z), device=z.device, dtype=vae.dtype)} if _timed(vae) else {}
    x: Tensor = vae.decode((z.float() / scale * std + mean).to(vae.dtype), **timed, return_dict=False)[0]
    return x.float()


def _normal(vae: Any, like: Tensor) -> tuple[Tensor, Tensor, float]:
    """Mean, std [C, 1, ...] and scale."""
    said = {**vae.config, **dict(vae.named_buffers(recurse=False))}

    def of_channels(*names: str, default: float) -> Tensor:
        found = next((said[name] for name in names if said.get(name) is not None), default)
        return torch.as_tensor(found).to(like).reshape(-1, *[1] * (like.ndim - 2))

    mean = of_channels("latents_mean", "shift_factor", default=0.0)
    return mean, of_channels("latents_std", default=1.0), float(said.get("scaling_factor") or 1.0)


def _timed(vae: Any) -> bool:
    """Whether the decoder denoises a last time, as LTX's later ones do."""
    return bool(vae.config.get("timestep_conditioning"))
