"""Tiny checkpoints of today's generators, by the class of their pipeline. Pictures are 16 x 16 (see tests/tiny.py)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.tiny_films import cogvideox, ltx, stable_audio, wan
from tests.tiny_parts import WIDTH, autoencoder, clip, seeded, t5


def sdxl(folder: Path) -> Path:
    """A StableDiffusionXLPipeline: 16 wide states of two text encoders side by side."""
    from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline, UNet2DConditionModel

    (first, words), (second, words_2) = clip(), clip(projected=True)
    seeded()
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(8, 16),
        layers_per_block=1,
        norm_num_groups=4,
        attention_head_dim=2,
        transformer_layers_per_block=1,
        use_linear_projection=True,
        cross_attention_dim=2 * WIDTH,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + WIDTH,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    )
    parts = {"text_encoder": first, "tokenizer": words, "text_encoder_2": second, "tokenizer_2": words_2}
    scheduler = EulerDiscreteScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)
    StableDiffusionXLPipeline(vae=autoencoder(), unet=unet, scheduler=scheduler, **parts).save_pretrained(folder)
    return folder


def sd3(folder: Path) -> Path:
    """A StableDiffusion3Pipeline: two CLIPs beside each other, and T5 behind them."""
    from diffusers import FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel, StableDiffusion3Pipeline

    (first, words), (second, words_2), (third, words_3) = clip(projected=True), clip(projected=True), t5(2 * WIDTH)
    seeded()
    transformer = SD3Transformer2DModel(
        sample_size=8,
        patch_size=2,
        in_channels=4,
        out_channels=4,
        num_layers=1,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=2 * WIDTH,
        caption_projection_dim=16,
        pooled_projection_dim=2 * WIDTH,
        pos_embed_max_size=16,
    )
    StableDiffusion3Pipeline(
        vae=autoencoder(shift_factor=0.06, scaling_factor=1.5),
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        text_encoder=first,
        tokenizer=words,
        text_encoder_2=second,
        tokenizer_2=words_2,
        text_encoder_3=third,
        tokenizer_3=words_3,
    ).save_pretrained(folder)
    return folder


def flux(folder: Path, distilled: bool = True) -> Path:
    """A FluxPipeline, with its guidance distilled as in its dev checkpoint."""
    from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel

    (first, words), (second, words_2) = clip(), t5()
    seeded()
    transformer = FluxTransformer2DModel(
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=WIDTH,
        pooled_projection_dim=WIDTH,
        guidance_embeds=distilled,
        axes_dims_rope=(2, 2, 4),
    )
    FluxPipeline(
        vae=autoencoder(shift_factor=0.1, scaling_factor=0.5),
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        text_encoder=first,
        tokenizer=words,
        text_encoder_2=second,
        tokenizer_2=words_2,
    ).save_pretrained(folder)
    return folder


GENERATORS: dict[str, Callable[[Path], Path]] = {
    "StableDiffusionXLPipeline": sdxl,
    "StableDiffusion3Pipeline": sd3,
    "FluxPipeline": flux,
    "WanPipeline": wan,
    "LTXPipeline": ltx,
    "CogVideoXPipeline": cogvideox,
    "StableAudioPipeline": stable_audio,
}
