"""Encoders ME_X: transformers vision models behind one call, `[media] -> [B, n, d_x]`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import transformers

from orchestrator.errors import BundleError, nearest
from orchestrator.models import facts, pretrained

if TYPE_CHECKING:
    from torch import Tensor

    from orchestrator.models.bundle import EncoderSpec


@dataclass(frozen=True)
class Family:
    """How a kind of encoder is loaded and read.

    `tokens(hidden)` turns a hidden layer into [B, n, d]; `pooled(output)` gives [B, d]; `prefix` tokens (CLS) come
    before the patches.
    """

    model: str
    tokens: Callable[[Tensor], Tensor]
    pooled: Callable[[Any], Tensor]
    prefix: int = 0


FAMILIES: dict[str, Family] = {
    "resnet": Family("ResNetModel", lambda h: h.flatten(2).transpose(1, 2), lambda o: o.pooler_output.flatten(1)),
    "clip_vision_model": Family("CLIPVisionModel", lambda h: h, lambda o: o.pooler_output, prefix=1),
    "clip": Family("CLIPVisionModel", lambda h: h, lambda o: o.pooler_output, prefix=1),
}


class Encoder:
    """A frozen encoder with its preprocessing. Calling it gives F_X, [B, n, d_x]."""

    def __init__(self, model: Any, processor: Any, family: Family, spec: EncoderSpec) -> None:
        self.model, self.processor, self.family, self.spec = model, processor, family, spec

    @classmethod
    def load(cls, folder: Path, spec: EncoderSpec, device: str, dtype: torch.dtype) -> Encoder:
        """Load a transformers checkpoint. Raises BundleError for a family that is not in the table."""
        kind = facts.model_type(folder)
        if kind not in FAMILIES:
            raise BundleError(f"{folder}: no encoder of type '{kind}' is known.{nearest(kind, FAMILIES)}")
        family = FAMILIES[kind]
        model = pretrained.load(getattr(transformers, family.model), folder, dtype)
        processor = transformers.AutoImageProcessor.from_pretrained(folder, backend="pil", local_files_only=True)
        return cls(model.to(device).eval().requires_grad_(False), processor, family, spec)

    def __call__(self, media: Sequence[Any]) -> Tensor:
        """Pictures (PIL or uint8 [H, W, 3]) -> [B, n, d_x]: n is 1 when pooled."""
        pixels = self.processor(images=list(media), return_tensors="pt")["pixel_values"]  # [B, 3, h, w]
        return self.encode(pixels.to(self.model.device, self.model.dtype))

    @torch.no_grad()
    def encode(self, pixels: Tensor) -> Tensor:
        """Preprocessed pixels [B, 3, h, w] -> [B, n, d_x]."""
        output = self.model(pixels, output_hidden_states=self.spec.layer != -1)
        if self.spec.select == "pooled":
            return self.family.pooled(output).unsqueeze(1)
        hidden = output.last_hidden_state if self.spec.layer == -1 else output.hidden_states[self.spec.layer]
        tokens = self.family.tokens(hidden)  # [B, prefix + patches, d_x]
        return tokens if self.spec.select == "all" else tokens[:, self.family.prefix :]
