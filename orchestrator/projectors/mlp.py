"""Two linear maps with a GELU between them: the input projector `mlp2x_gelu` of LLaVA-1.5 (arXiv 2310.03744)."""

from __future__ import annotations

from typing import final

from torch import Tensor, nn
from torch.nn import functional as F

from orchestrator.projectors.base import Projector


@final
class MlpProjector(Projector):
    """[*, n, in_dim] -> [*, n * num_tokens, out_dim].

    `num_tokens` are made of each token; `hidden_dim` is `out_dim` unless given, as in LLaVA-1.5.
    """

    def __init__(self, in_dim: int, out_dim: int, num_tokens: int = 1, hidden_dim: int | None = None) -> None:
        hidden_dim = out_dim if hidden_dim is None else hidden_dim
        super().__init__(in_dim, out_dim, num_tokens, hidden_dim=hidden_dim)
        self.first = nn.Linear(in_dim, hidden_dim)
        self.second = nn.Linear(hidden_dim, num_tokens * out_dim)

    def forward(self, x: Tensor) -> Tensor:
        """Project each token by itself."""
        self.check(x)
        return self.split(self.second(F.gelu(self.first(x))))
