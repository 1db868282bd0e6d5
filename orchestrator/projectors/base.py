"""What the projectors have in common: the facts that a bundle's manifest keeps, and the checks of sizes.

Shapes: * any leading dimensions, n tokens, d features.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from torch import Tensor, nn
from torch.nn import functional as F

from orchestrator.errors import BundleError, UserError


class Projector(nn.Module, ABC):
    """[*, n_in, in_dim] -> [*, n_out, out_dim]; subclasses are final. `config` rebuilds it: `type(p)(**p.config)`.

    `makes` says how n_out follows: `each` token becomes num_tokens, a `fixed` number of num_tokens whatever n_in is, or
    the `same` number, n_in being num_tokens. `adds_embeddings`: as an output projector it reads the hidden state plus
    the input embedding of each signal token (GILL, NExT-GPT), otherwise the state only (MiniGPT-5, MetaQuery).
    `joins_frames`: it reads all frames of a video at once, [*, frames, n_in, in_dim], otherwise one by one.
    """

    makes: ClassVar[Literal["each", "fixed", "same"]] = "each"
    adds_embeddings: bool = True
    joins_frames: bool = False

    def __init__(self, in_dim: int, out_dim: int, num_tokens: int, **sizes: int | Sequence[int]) -> None:
        super().__init__()
        plain = {name: list(size) if isinstance(size, Sequence) else size for name, size in sizes.items()}
        self.config: dict[str, Any] = {"in_dim": in_dim, "out_dim": out_dim, "num_tokens": num_tokens, **plain}
        problems = _problems(self.config)
        if problems:
            raise UserError("\n".join(f"{type(self).__name__}: {problem}" for problem in problems))
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

    def rows(self, x: Tensor) -> Tensor:
        """Check and flatten: [*, n, in_dim] -> [b, n, in_dim]."""
        self.check(x)
        return x.flatten(0, -3) if x.ndim > 2 else x[None]

    def unrows(self, made: Tensor, x: Tensor) -> Tensor:
        """The leading dimensions of `x` again: [b, num_tokens, out_dim] -> [*, num_tokens, out_dim]."""
        return made.reshape(*x.shape[:-2], self.num_tokens, self.out_dim)

    def set_dropout(self, dropout: float) -> float:
        """Keep it in the config. Raises UserError unless 0 <= dropout < 1."""
        if not 0 <= dropout < 1:
            raise UserError(f"{type(self).__name__}: dropout is in 0 <= dropout < 1, not {dropout}")
        self.config["dropout"] = float(dropout)
        return self.config["dropout"]


def attend(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    """Multi-head attention, every query to every key: [b, n_q, h], [b, n_k, h], [b, n_k, h] -> [b, n_q, h]."""
    q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v))  # b heads n h/heads
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


def bring(in_dim: int, hidden_dim: int) -> nn.Module:
    """To the width that a projector works in: a linear map, nothing if it is that wide already."""
    return nn.Identity() if in_dim == hidden_dim else nn.Linear(in_dim, hidden_dim)


def _problems(config: Mapping[str, Any]) -> list[str]:
    """Every size that is none, and heads that do not divide the width (heads of a width of their own need not)."""
    wrong = [f"{name}={value!r}" for name, value in config.items() if not all(map(_is_size, _each(value)))]
    if wrong:
        return [f"sizes are whole numbers >= 1, not {', '.join(wrong)}"]
    width, heads = config.get("hidden_dim", 1), config.get("heads", 1)
    if width % heads and "head_dim" not in config:
        return [f"hidden_dim ({width}) must be divisible by heads ({heads})"]
    return []


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and value >= 1


def _each(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else [value]
