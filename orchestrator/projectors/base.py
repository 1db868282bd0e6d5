"""What the projectors have in common: the facts that a bundle's manifest keeps, and the checks of sizes.

Shapes: * any leading dimensions, n tokens, d features.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor, nn

from orchestrator.errors import BundleError, UserError


class Projector(nn.Module, ABC):
    """[*, n_in, in_dim] -> [*, n_out, out_dim]; subclasses are final. `config` rebuilds it: `type(p)(**p.config)`."""

    def __init__(self, in_dim: int, out_dim: int, num_tokens: int, **sizes: int) -> None:
        super().__init__()
        self.config: dict[str, Any] = {"in_dim": in_dim, "out_dim": out_dim, "num_tokens": num_tokens, **sizes}
        wrong = [f"{k}={v!r}" for k, v in self.config.items() if not isinstance(v, int) or v < 1]
        if wrong:
            raise UserError(f"{type(self).__name__}: sizes are whole numbers >= 1, not {', '.join(wrong)}")
        self.in_dim, self.out_dim, self.num_tokens = in_dim, out_dim, num_tokens

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Project tokens."""

    def check(self, x: Tensor) -> None:
        """Refuse what was not made for this projector."""
        if x.ndim < 2 or x.shape[-1] != self.in_dim:
            raise BundleError(
                f"{type(self).__name__} takes [*, n, {self.in_dim}], not {list(x.shape)}: its in_dim is {self.in_dim},"
                f" the features have {x.shape[-1] if x.ndim else 0}: it was trained with another encoder or LLM"
            )

    def split(self, x: Tensor) -> Tensor:
        """[*, n, num_tokens * out_dim] -> [*, n * num_tokens, out_dim]."""
        return x.reshape(*x.shape[:-2], x.shape[-2] * self.num_tokens, self.out_dim)
