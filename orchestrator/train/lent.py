"""What nodes are lent in training, where the engine does not run them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from orchestrator.models.bundle import Bundle
from orchestrator.models.loading import load_part
from orchestrator.nodes.stage import Progress


class Lent:
    """The parts of a bundle (nodes.stage.Context), each loaded when first needed, and kept. `seeds`: one a request."""

    watched = False

    def __init__(self, bundle: Bundle, device: str = "cpu", dtype: torch.dtype = torch.float32) -> None:
        self.bundle, self.device, self.dtype = bundle, device, dtype
        self.seeds: Sequence[int] = (0,)
        self.loaded: dict[str, Any] = {}

    def load(self, part: str) -> Any:
        """A loaded part. Raises BundleError."""
        if part not in self.loaded:
            self.loaded[part] = load_part(self.bundle, part, self.device, self.dtype)
        return self.loaded[part]

    def report(self, request: int, progress: Progress) -> None:
        """Steps are counted elsewhere."""
