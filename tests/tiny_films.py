"""Tiny checkpoints that make films and waves: Wan, LTX, CogVideoX, StableAudio (see tests/tiny.py)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.tiny_parts import RATE, SOUND, T5_LENGTH, WIDTH, seeded, t5


def wan(folder: Path, transformer_2: bool = False, **config: Any) -> Path:
    """A WanPipeline: each channel of its latents has a mean and a deviation; with a second denoiser as Wan 2.2 A14B."""
    from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanPipeline, WanTransformer3DModel

    encoder, words = t5(umt5=True)
    seeded()
    vae = AutoencoderKLWan(
        base_dim=4,
        z_dim=4,
        dim_mult=[1, 1, 1, 1],
        num_res_blocks=1,
        temperal_downsample=[False, True, True],
        latents_mean=[0.1, -0.2, 0.3, 0.0],
        latents_std=[1.5, 0.5, 2.0, 1.0],
    )
    sizes = {"num_attention_heads": 2, "attention_head_dim": 12, "freq_dim": 16, "ffn_dim": 32, "num_layers": 1}
    transformers = [
        WanTransformer3DModel(in_channels=4, out_channels=4, text_dim=WIDTH, rope_max_seq_len=32, **sizes)
        for _ in range(1 + transformer_2)
    ]
    scheduler = UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0)
    WanPipeline(
        tokenizer=words,
        text_encoder=encoder,
        vae=vae,
        scheduler=scheduler,
        transformer=transformers[0],
        transformer_2=transformers[1] if transformer_2 else None,
        **config,
    ).save_pretrained(folder)
    return folder


def ltx(folder: Path) -> Path:
    """An LTXPipeline: packed latents, a thirty-second of each side."""
    import torch
    from diffusers import (
        AutoencoderKLLTXVideo,
        FlowMatchEulerDiscreteScheduler,
        LTXPipeline,
        LTXVideoTransformer3DModel,
    )

    encoder, words = t5()
    seeded()
    vae = AutoencoderKLLTXVideo(
        latent_channels=8,
        block_out_channels=(8, 8, 8, 8),
        decoder_block_out_channels=(8, 8, 8, 8),
        layers_per_block=(1, 1, 1, 1, 1),
        decoder_layers_per_block=(1, 1, 1, 1, 1),
        spatio_temporal_scaling=(True, True, True, False),
        decoder_spatio_temporal_scaling=(True, True, True, False),
        scaling_factor=0.8,
    )
    vae.latents_mean.copy_(torch.linspace(0, 1, 8) - 0.5)
    vae.latents_std.copy_(torch.linspace(0, 1, 8) + 0.5)
    transformer = LTXVideoTransformer3DModel(
        in_channels=8,
        out_channels=8,
        num_attention_heads=2,
        attention_head_dim=8,
        cross_attention_dim=16,
        num_layers=1,
        caption_channels=WIDTH,
    )
    scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)
    LTXPipeline(
        tokenizer=words, text_encoder=encoder, vae=vae, scheduler=scheduler, transformer=transformer
    ).save_pretrained(folder)
    return folder


def cogvideox(folder: Path, **config: Any) -> Path:
    """A CogVideoXPipeline with a table of places, as its 2b has; `use_rotary_positional_embeddings` as its 5b."""
    from diffusers import (
        AutoencoderKLCogVideoX,
        CogVideoXDDIMScheduler,
        CogVideoXPipeline,
        CogVideoXTransformer3DModel,
    )

    encoder, words = t5()
    seeded()
    vae = AutoencoderKLCogVideoX(
        down_block_types=("CogVideoXDownBlock3D",) * 4,
        up_block_types=("CogVideoXUpBlock3D",) * 4,
        block_out_channels=(4, 4, 4, 4),
        latent_channels=4,
        layers_per_block=1,
        norm_num_groups=2,
        temporal_compression_ratio=4,
    )
    transformer = CogVideoXTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=16,
        in_channels=4,
        out_channels=4,
        time_embed_dim=2,
        text_embed_dim=WIDTH,
        num_layers=1,
        sample_width=2,
        sample_height=2,
        sample_frames=5,
        max_text_seq_length=T5_LENGTH,
        **config,
    )
    scheduler = CogVideoXDDIMScheduler(
        prediction_type="v_prediction", rescale_betas_zero_snr=True, timestep_spacing="trailing", snr_shift_scale=3.0
    )
    CogVideoXPipeline(
        tokenizer=words, text_encoder=encoder, vae=vae, scheduler=scheduler, transformer=transformer
    ).save_pretrained(folder)
    return folder


def stable_audio(folder: Path) -> Path:
    """A StableAudioPipeline: two channels of samples, start and end told to the denoiser."""
    from diffusers import (
        AutoencoderOobleck,
        EDMDPMSolverMultistepScheduler,
        StableAudioDiTModel,
        StableAudioPipeline,
        StableAudioProjectionModel,
    )

    encoder, words = t5()
    seeded()
    vae = AutoencoderOobleck(
        encoder_hidden_size=8,
        downsampling_ratios=[2, 2],
        channel_multiples=[1, 2],
        decoder_channels=4,
        decoder_input_channels=4,
        audio_channels=2,
        sampling_rate=RATE,
    )
    transformer = StableAudioDiTModel(
        sample_size=SOUND // 4,
        in_channels=4,
        out_channels=4,
        num_layers=1,
        attention_head_dim=8,
        num_attention_heads=2,
        num_key_value_attention_heads=1,
        cross_attention_dim=8,
        cross_attention_input_dim=8,
        time_proj_dim=8,
        global_states_input_dim=16,
    )
    scheduler = EDMDPMSolverMultistepScheduler(
        sigma_min=0.3, sigma_max=500.0, sigma_data=1.0, prediction_type="v_prediction", sigma_schedule="exponential"
    )
    StableAudioPipeline(
        vae=vae,
        text_encoder=encoder,
        projection_model=StableAudioProjectionModel(WIDTH, 8, 0, 512),
        tokenizer=words,
        transformer=transformer,
        scheduler=scheduler,
    ).save_pretrained(folder)
    return folder
