"""A frozen encoder of any family: media in, F_X out. B media, n tokens, d_x the encoder's width."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

import torch

from orchestrator.errors import BundleError
from orchestrator.models import encoder_facts, facts, pretrained
from orchestrator.models.encoders.families import FAMILIES, Family

if TYPE_CHECKING:
    from torch import Tensor

    from orchestrator.models.bundle import EncoderSpec


class Encoder:
    """A frozen encoder with its preprocessing. Calling it gives F_X, [n, d_x] of each."""

    def __init__(self, model: Any, processor: Any, family: Family, spec: EncoderSpec) -> None:
        self.model, self.processor, self.family, self.spec = model, processor, family, spec

    @classmethod
    def load(cls, folder: Path, spec: EncoderSpec, device: str, dtype: torch.dtype) -> Encoder:
        """Load a transformers checkpoint. Raises BundleError for a family that is not in the table, for tokens or a
        layer that it does not offer, and for weights that do not fit."""
        if problems := encoder_facts.unfit(folder, spec):
            raise BundleError("\n".join(f"{folder}: {told}" for told in problems))
        family = FAMILIES[facts.model_type(folder)]
        processor = family.sense.load(folder)
        model = pretrained.load(resolve_name(family.model), folder, dtype, spec=spec, **family.options)
        return cls(model.to(device).eval().requires_grad_(False), processor, family, spec)

    def views(self, film: Any, frames: int) -> list[Any]:
        """What of a film (`Video`) it reads: that many pictures, or the film as one."""
        return self.family.sense.views(film, frames)

    def __call__(self, media: Sequence[Any]) -> list[Tensor]:
        """Pictures (PIL or uint8 [H, W, 3]), films (`Video`) or sounds (`Audio`) -> [n, d_x] of each: n is 1 when
        pooled, and the same for all unless the family reads media in their own sizes."""
        together = [[one] for one in media] if self.family.sense.alone else [media]
        return [tokens for some in together for tokens in self._encode(some)]

    @torch.no_grad()
    def _encode(self, media: Sequence[Any]) -> list[Tensor]:
        read = self.family.sense.read(self.processor, media, self.model.config)
        read = {name: self._placed(values) for name, values in read.items()}
        names = (self.processor.model_input_names[0], *self.family.takes)
        output = self.model(**{name: read[name] for name in names}, output_hidden_states=self.spec.layer != -1)
        if self.spec.select == "pooled":
            return list(self.family.pooled(output, read).unsqueeze(1))
        return self._chosen(self.family.tokens(self._layer(output)), read)

    def _placed(self, values: Tensor) -> Tensor:
        """On the model's device, in its precision; masks and sizes keep their type."""
        return values.to(self.model.device, self.model.dtype if values.is_floating_point() else values.dtype)

    def _layer(self, output: Any) -> Tensor:
        """The chosen layer; of the last one what the model gives, after its final norm where it has one."""
        if self.spec.layer == -1:
            last: Tensor = output.last_hidden_state
            return last
        layer: Tensor = (*output.hidden_states[:-1], output.last_hidden_state)[self.spec.layer]
        return layer

    def _chosen(self, tokens: Tensor, read: Mapping[str, Tensor]) -> list[Tensor]:
        """[B, prefix + patches, d_x] -> [n, d_x] of each."""
        if self.family.real:
            return [row[real.bool()] for row, real in zip(tokens, read[self.family.real], strict=True)]
        start = self.family.prefix(self.model.config)
        part = {"cls": slice(0, 1), "patches": slice(start, None), "all": slice(None)}[self.spec.select]
        return list(tokens[:, part])
