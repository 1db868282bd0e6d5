"""What some denoisers are told besides their condition, and in which layout their latents come.

Each function is what its pipeline does in its loop, for the rows of a training step. Latents are [B, C, h, w] of
pictures, [B, C, F, h, w] of films, [B, C, n] of waves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from diffusers.models.embeddings import get_1d_rotary_pos_embed

from orchestrator.errors import BundleError
from orchestrator.models.generators.family import Step
from orchestrator.models.generators.outputs import Grid

if TYPE_CHECKING:
    from torch import Tensor


def sdxl(pipe: Any, step: Step) -> dict[str, Any]:
    """The pooled vector, and the size as one that was neither scaled nor cut."""
    size = tuple(side * pipe.vae_scale_factor for side in step.noisy.shape[-2:])
    pooled = step.condition["pooled_prompt_embeds"]
    ids = pipe._get_add_time_ids(size, (0, 0), size, pooled.dtype, text_encoder_projection_dim=pooled.shape[-1])
    times = ids.to(pooled.device).repeat(len(pooled), 1)  # [B, 6]
    return {"added_cond_kwargs": {"text_embeds": pooled, "time_ids": times}}


def flux(pipe: Any, step: Step) -> dict[str, Any]:
    """Places of words and of packed latents, the guidance that it was distilled for, and times of 0..1."""
    (batch, _, h, w), words = step.noisy.shape, step.condition["prompt_embeds"]
    guided = pipe.transformer.config.guidance_embeds
    scale = float(step.settings.get("guidance", 3.5))
    return {
        "txt_ids": torch.zeros(words.shape[1], 3).to(words),
        "img_ids": pipe._prepare_latent_image_ids(batch, h // 2, w // 2, words.device, words.dtype),
        "guidance": torch.full([batch], scale, device=words.device) if guided else None,
        "timestep": step.times / pipe.scheduler.config.num_train_timesteps,
    }


def flux_pack(pipe: Any, latents: Tensor) -> Tensor:
    """[B, C, h, w] -> [B, h w / 4, 4 C]."""
    packed: Tensor = pipe._pack_latents(latents, *latents.shape)
    return packed


def flux_unpack(pipe: Any, packed: Tensor, size: Sequence[int]) -> Tensor:
    """[B, h w / 4, 4 C] -> [B, C, h, w]."""
    height, width = (side * pipe.vae_scale_factor for side in size[-2:])
    latents: Tensor = pipe._unpack_latents(packed, height, width, pipe.vae_scale_factor)
    return latents


def wan(pipe: Any, step: Step) -> dict[str, Any]:
    """Wan 2.2's small model has a time for each patch. Its large one has a second denoiser for late steps, for which
    there is no training here: BundleError."""
    if pipe.config.boundary_ratio is not None:
        raise BundleError(
            f"nothing can be trained through {type(pipe).__name__} with two denoisers (boundary_ratio "
            f"{pipe.config.boundary_ratio}): take a checkpoint with one, as Wan 2.1 or Wan 2.2 TI2V"
        )
    if not pipe.config.expand_timesteps:
        return {}
    patches = step.noisy[0, 0, :, ::2, ::2].numel()
    return {"timestep": step.times[:, None].expand(-1, patches)}


def ltx(pipe: Any, step: Step) -> dict[str, Any]:
    """The size of what is packed, and of a latent in seconds and pixels."""
    frames, height, width = step.noisy.shape[2:]
    fps, side = float(step.settings.get("fps", 25)), pipe.vae_spatial_compression_ratio
    scale = (pipe.vae_temporal_compression_ratio / fps, side, side)
    return {"num_frames": frames, "height": height, "width": width, "rope_interpolation_scale": scale}


def ltx_pack(pipe: Any, latents: Tensor) -> Tensor:
    """[B, C, F, h, w] -> [B, F h w, C] for patches of one latent."""
    packed: Tensor = pipe._pack_latents(latents, *_ltx_patch(pipe))
    return packed


def ltx_unpack(pipe: Any, packed: Tensor, size: Sequence[int]) -> Tensor:
    """[B, F h w, C] -> [B, C, F, h, w]."""
    latents: Tensor = pipe._unpack_latents(packed, *size, *_ltx_patch(pipe))
    return latents


def _ltx_patch(pipe: Any) -> tuple[int, int]:
    return pipe.transformer_spatial_patch_size, pipe.transformer_temporal_patch_size


def cogvideox(pipe: Any, step: Step) -> dict[str, Any]:
    """Rotary places, where it has no table of places."""
    if not pipe.transformer.config.use_rotary_positional_embeddings:
        return {}
    frames, height, width = step.noisy.shape[2:]
    side = pipe.vae_scale_factor_spatial
    sizes = (height * side, width * side, frames + _missing(pipe, frames))
    return {"image_rotary_emb": pipe._prepare_rotary_positional_embeddings(*sizes, step.noisy.device)}


def cogvideox_pack(pipe: Any, latents: Tensor) -> Tensor:
    """[B, C, F, h, w] -> [B, F, C, h, w]; version 1.5 wants an even number of frames, and has them at the start."""
    first = latents[:, :, :1].expand(-1, -1, _missing(pipe, latents.shape[2]), -1, -1)
    return torch.cat([first, latents], 2).transpose(1, 2)


def cogvideox_unpack(pipe: Any, packed: Tensor, size: Sequence[int]) -> Tensor:
    """[B, F, C, h, w] -> [B, C, F, h, w], without what was put at the start."""
    return packed.transpose(1, 2)[:, :, -size[0] :]


def _missing(pipe: Any, frames: int) -> int:
    """Latent frames that lack to whole patches."""
    return -frames % (pipe.transformer.config.patch_size_t or 1)


def stable_audio(pipe: Any, step: Step) -> dict[str, Any]:
    """The projected condition, with start and end in seconds behind it, and these alone for all positions."""
    words, mask = step.condition["prompt_embeds"], step.condition["attention_mask"]
    text = pipe.encode_prompt(None, words.device, False, prompt_embeds=words, attention_mask=mask)
    most = step.noisy.shape[-1] * pipe.vae.hop_length / pipe.vae.config.sampling_rate
    end = float(step.settings.get("seconds", most))
    start_and_end = pipe.encode_duration(0.0, end, words.device, False, len(words))
    rotary = get_1d_rotary_pos_embed(
        pipe.rotary_embed_dim, step.noisy.shape[-1] + 1, use_real=True, repeat_interleave_real=False
    )
    return {
        "encoder_hidden_states": torch.cat([text, *start_and_end], 1),  # [B, L + 2, d]
        "global_hidden_states": torch.cat(start_and_end, 2),  # [B, 1, 2 d]
        "rotary_embedding": tuple(part.to(words.device) for part in rotary),
    }


def flux_grid(pipe: Any) -> Grid:
    """Latents are packed two by two."""
    return Grid(1, pipe.vae_scale_factor, 2 * pipe.vae_scale_factor)


def sd3_grid(pipe: Any) -> Grid:
    """Whole patches, as the pipeline checks."""
    return Grid(1, pipe.vae_scale_factor, pipe.patch_size * pipe.vae_scale_factor)


def wan_grid(pipe: Any) -> Grid:
    """Whole patches, and 16 pixels, which the pipeline checks."""
    side = pipe.vae_scale_factor_spatial
    patch = max(pipe.transformer.config.patch_size[1:])
    return Grid(pipe.vae_scale_factor_temporal, side, max(16, side * patch))


def ltx_grid(pipe: Any) -> Grid:
    """Whole patches, and 32 pixels, which the pipeline checks."""
    side = pipe.vae_spatial_compression_ratio
    return Grid(pipe.vae_temporal_compression_ratio, side, max(32, side * pipe.transformer_spatial_patch_size))


def cogvideox_grid(pipe: Any) -> Grid:
    """Whole patches, and 8 pixels, which the pipeline checks."""
    side = pipe.vae_scale_factor_spatial
    return Grid(int(pipe.vae_scale_factor_temporal), side, max(8, side * pipe.transformer.config.patch_size))


def cogvideox_usual(pipe: Any) -> dict[str, int]:
    """The size that its denoiser was trained on."""
    config, side = pipe.transformer.config, pipe.vae_scale_factor_spatial
    return {
        "width": config.sample_width * side,
        "height": config.sample_height * side,
        "frames": config.sample_frames,
    }
