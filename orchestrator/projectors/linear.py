"""One linear map: the input projector of LLaVA (arXiv 2304.08485), NExT-GPT v1 (2309.05519) and GILL (2305.17216)."""

from __future__ import annotations

from typing import final

from torch import Tensor, nn

from orchestrator.projectors.base import Projector


@final
class LinearProjector(Projector):
    """[*, n, in_dim] -> [*, n * num_tokens, out_dim].

    `num_tokens` are made of each token: 1 on patches is LLaVA, 4 on one pooled token is GILL.
    """

    def __init__(self, in_dim: int, out_dim: int, num_tokens: int = 1) -> None:
        super().__init__(in_dim, out_dim, num_tokens)
        self.linear = nn.Linear(in_dim, num_tokens * out_dim)

    def forward(self, x: Tensor) -> Tensor:
        """Project each token by itself."""
        self.check(x)
        return self.split(self.linear(x))
