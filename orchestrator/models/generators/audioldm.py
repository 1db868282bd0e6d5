"""AudioLDM: the parts of an `AudioLDMPipeline`, which diffusers deprecated at 0.33."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import normalize

from orchestrator.models.generators.thin import Made, ThinPipeline, Told, guided

if TYPE_CHECKING:
    from torch import Tensor


class AudioLDMPipeline(ThinPipeline):
    """CLAP's text side, a UNet2DConditionModel, an AutoencoderKL of spectrograms and a vocoder."""

    def __init__(self, vae: Any, text_encoder: Any, tokenizer: Any, unet: Any, scheduler: Any, vocoder: Any) -> None:
        super().__init__(
            vae=vae, text_encoder=text_encoder, tokenizer=tokenizer, unet=unet, scheduler=scheduler, vocoder=vocoder
        )

    def encode_prompt(self, captions: Sequence[str]) -> tuple[Tensor]:
        """CLAP's vectors [B, d], of length one."""
        found = self.tokens(captions)
        made = self.text_encoder(found.input_ids, attention_mask=found.attention_mask).text_embeds
        return (normalize(made, dim=-1),)

    @torch.no_grad()
    def __call__(
        self,
        prompt_embeds: Tensor,
        negative_prompt_embeds: Tensor | None = None,
        audio_length_in_s: float | None = None,
        num_inference_steps: int = 10,
        guidance_scale: float = 2.5,
        generator: Any = None,
        output_type: str = "np",
        callback_on_step_end: Told | None = None,
    ) -> Made:
        """Conditions [B, d] -> sounds [B, n]; spectrograms are rounded up to what the autoencoder can halve."""
        vocoder, scale = self.vocoder.config, self.vae_scale_factor
        frame = math.prod(vocoder.upsample_rates) / vocoder.sampling_rate  # seconds
        seconds = audio_length_in_s or self.unet.config.sample_size * scale * frame
        times = math.ceil(int(seconds / frame) / scale)
        shape = (len(prompt_embeds), self.unet.config.in_channels, times, vocoder.model_in_dim // scale)
        condition = guided(prompt_embeds, negative_prompt_embeds, guidance_scale)
        latents = self.denoise(
            shape, condition, self._predict, num_inference_steps, guidance_scale, generator, callback_on_step_end
        )
        mel = self.vae.decode(1 / self.vae.config.scaling_factor * latents).sample.squeeze(1)  # [B, T, bins]
        sounds = self.vocoder(mel).cpu().float()[:, : int(seconds * vocoder.sampling_rate)]
        self.maybe_free_model_hooks()
        return Made(audios=sounds.numpy() if output_type == "np" else sounds)

    def _predict(self, noisy: Tensor, time: Tensor, condition: Tensor) -> Tensor:
        made: Tensor = self.unet(noisy, time, encoder_hidden_states=None, class_labels=condition).sample
        return made
