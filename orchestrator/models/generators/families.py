"""The table of families, by the class that a checkpoint's `model_index.json` names."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from orchestrator.models.generators import steps
from orchestrator.models.generators.audioldm import AudioLDMPipeline
from orchestrator.models.generators.family import Family
from orchestrator.models.generators.outputs import CLIP, FILM, PICTURE, SOUND, WAVE, canvas
from orchestrator.models.generators.text import states, t5, t5_and_gpt2
from orchestrator.models.generators.text_to_video import TextToVideoSDPipeline

WORDS = {"prompt_embeds": "encoder_hidden_states"}
POOLED = "pooled_prompt_embeds"
ONLY: dict[str, Any] = {"do_classifier_free_guidance": False}  # no negative ones


def _device(pipe: Any) -> Any:
    return pipe._execution_device


FAMILIES: dict[str, Family] = {
    "StableDiffusionPipeline": Family(
        PICTURE, states("prompt_embeds", device=_device, num_images_per_prompt=1, **ONLY), WORDS
    ),
    "StableDiffusionXLPipeline": Family(
        PICTURE,
        states("prompt_embeds", "", POOLED, vectors=[POOLED], **ONLY),
        {**WORDS, POOLED: ""},
        also=steps.sdxl,
        vectors=(POOLED,),
        negative="asked",
        precise=("vae",),
    ),
    "StableDiffusion3Pipeline": Family(
        replace(PICTURE, grid=steps.sd3_grid),
        states("prompt_embeds", "", POOLED, vectors=[POOLED], prompt_2=None, prompt_3=None, **ONLY),
        {**WORDS, POOLED: "pooled_projections"},
        denoiser="transformer",
        vectors=(POOLED,),
    ),
    "FluxPipeline": Family(
        replace(PICTURE, grid=steps.flux_grid),
        states("prompt_embeds", POOLED, vectors=[POOLED]),
        {**WORDS, POOLED: "pooled_projections"},
        also=steps.flux,
        denoiser="transformer",
        pack=steps.flux_pack,
        unpack=steps.flux_unpack,
        vectors=(POOLED,),
        negative="never",
    ),
    "TextToVideoSDPipeline": Family(FILM, states("prompt_embeds"), WORDS, pipeline=TextToVideoSDPipeline),
    "WanPipeline": Family(
        replace(CLIP, grid=steps.wan_grid),
        states("prompt_embeds", max_sequence_length=512, **ONLY),
        WORDS,
        also=steps.wan,
        denoiser="transformer",
        precise=("vae",),
    ),
    "LTXPipeline": Family(
        replace(
            CLIP,
            grid=steps.ltx_grid,
            settings={
                **CLIP.settings,
                "fps": "frame_rate",
                "decode_timestep": "decode_timestep",
                "decode_noise_scale": "decode_noise_scale",
            },
        ),
        states("prompt_embeds", "prompt_attention_mask", **ONLY),
        {**WORDS, "prompt_attention_mask": "encoder_attention_mask"},
        also=steps.ltx,
        denoiser="transformer",
        pack=steps.ltx_pack,
        unpack=steps.ltx_unpack,
        ragged=True,
    ),
    "CogVideoXPipeline": Family(
        replace(CLIP, grid=steps.cogvideox_grid, form=canvas(steps.cogvideox_usual)),
        states("prompt_embeds", max_sequence_length=lambda pipe: pipe.transformer.config.max_text_seq_length, **ONLY),
        WORDS,
        also=steps.cogvideox,
        denoiser="transformer",
        pack=steps.cogvideox_pack,
        unpack=steps.cogvideox_unpack,
    ),
    "AudioLDMPipeline": Family(
        SOUND,
        states("prompt_embeds", vectors=["prompt_embeds"]),
        {"prompt_embeds": "class_labels"},
        {"encoder_hidden_states": None},
        vectors=("prompt_embeds",),
        unit=True,
        pipeline=AudioLDMPipeline,
    ),
    "AudioLDM2Pipeline": Family(
        SOUND,
        t5_and_gpt2,
        {
            "generated_prompt_embeds": "encoder_hidden_states",
            "prompt_embeds": "encoder_hidden_states_1",
            "attention_mask": "encoder_attention_mask_1",
        },
        ragged=True,
    ),
    "StableAudioPipeline": Family(
        WAVE,
        t5,
        {"prompt_embeds": "", "attention_mask": ""},
        also=steps.stable_audio,
        denoiser="transformer",
        negative="asked",
    ),
}
