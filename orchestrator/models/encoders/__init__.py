"""Encoders ME_X: transformers models of pictures, films and sounds behind one call, `[media] -> [n, d_x] each`."""

from orchestrator.models.encoders.encoder import Encoder
from orchestrator.models.encoders.families import FAMILIES, Family
from orchestrator.models.encoders.senses import Sense

__all__ = ["FAMILIES", "Encoder", "Family", "Sense"]
