"""ZeroScope, ModelScope's text to video: the parts of a `TextToVideoSDPipeline`, which diffusers deprecated at 0.33."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from diffusers.video_processor import VideoProcessor

from orchestrator.models.generators.thin import Made, ThinPipeline, Told, guided

if TYPE_CHECKING:
    from torch import Tensor


class TextToVideoSDPipeline(ThinPipeline):
    """CLIP, a UNet3DConditionModel and an AutoencoderKL that takes a frame at a time."""

    def __init__(self, vae: Any, text_encoder: Any, tokenizer: Any, unet: Any, scheduler: Any) -> None:
        super().__init__(vae=vae, text_encoder=text_encoder, tokenizer=tokenizer, unet=unet, scheduler=scheduler)
        self.video_processor = VideoProcessor(do_resize=False, vae_scale_factor=self.vae_scale_factor)

    def encode_prompt(self, captions: Sequence[str]) -> tuple[Tensor]:
        """CLIP's states [B, L, d]."""
        found, encoder = self.tokens(captions), self.text_encoder
        mask = found.attention_mask if getattr(encoder.config, "use_attention_mask", False) else None
        return (encoder(found.input_ids, attention_mask=mask)[0],)

    @torch.no_grad()
    def __call__(
        self,
        prompt_embeds: Tensor,
        negative_prompt_embeds: Tensor | None = None,
        width: int | None = None,
        height: int | None = None,
        num_frames: int = 16,
        num_inference_steps: int = 50,
        guidance_scale: float = 9.0,
        generator: Any = None,
        output_type: str = "np",
        callback_on_step_end: Told | None = None,
    ) -> Made:
        """Conditions [B, L, d] -> frames [B, F, H, W, 3]."""
        usual = self.unet.config.sample_size * self.vae_scale_factor
        sides = ((side or usual) // self.vae_scale_factor for side in (height, width))
        shape = (len(prompt_embeds), self.unet.config.in_channels, num_frames, *sides)
        condition = guided(prompt_embeds, negative_prompt_embeds, guidance_scale)
        latents = self.denoise(
            shape, condition, self._predict, num_inference_steps, guidance_scale, generator, callback_on_step_end
        )
        pictures = self.vae.decode(_fold(1 / self.vae.config.scaling_factor * latents)).sample
        film = pictures.unflatten(0, (len(latents), -1)).transpose(1, 2).float()  # [B, 3, F, H, W]
        made = Made(frames=self.video_processor.postprocess_video(video=film, output_type=output_type))
        self.maybe_free_model_hooks()
        return made

    def _predict(self, noisy: Tensor, time: Tensor, condition: Tensor) -> Tensor:
        made: Tensor = self.unet(noisy, time, encoder_hidden_states=condition, return_dict=False)[0]
        return made

    def advance(self, made: Tensor, time: Tensor, latents: Tensor, extra: Mapping[str, Any]) -> Tensor:
        """Each frame as a picture: schedulers know no films."""
        after = super().advance(_fold(made), time, _fold(latents), extra)
        return after.unflatten(0, (len(latents), -1)).transpose(1, 2)


def _fold(film: Tensor) -> Tensor:
    """[B, C, F, h, w] -> [B F, C, h, w]."""
    return film.transpose(1, 2).flatten(0, 1)
