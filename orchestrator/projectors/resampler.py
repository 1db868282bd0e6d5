"""The Perceiver Resampler of Flamingo (arXiv 2204.14198): any number of features in, a fixed number of tokens out.

Shapes: b batch, f frames, n features, l = num_tokens latents, h = hidden_dim, a = heads * head_dim.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from orchestrator.projectors.base import Projector, attend, bring


@final
class ResamplerProjector(Projector):
    """[*, n, in_dim] -> [*, num_tokens, out_dim]; with `frames` [*, f, n, in_dim] -> [*, num_tokens, out_dim].

    In each layer learnable latents read the features and themselves: keys and values are concat(features, latents).
    It works in the encoder's width unless `hidden_dim` is given. With `frames`, the frames of a video are read
    together, each with a learnable embedding of its time; of another number of frames, embeddings are interpolated.
    """

    makes = "fixed"

    def __init__(
        self,
        in_dim: int,
        out_dim: int,
        num_tokens: int = 64,
        hidden_dim: int | None = None,
        layers: int = 6,
        heads: int = 8,
        head_dim: int = 64,
        ffn_dim: int | None = None,
        frames: int | None = None,
    ) -> None:
        width = in_dim if hidden_dim is None else hidden_dim
        ffn_dim = 4 * width if ffn_dim is None else ffn_dim
        sizes = {"hidden_dim": width, "layers": layers, "heads": heads, "head_dim": head_dim, "ffn_dim": ffn_dim}
        sizes |= {"frames": frames} if frames is not None else {}
        super().__init__(in_dim, out_dim, num_tokens, **sizes)
        self.narrow = bring(in_dim, width)
        # N(0, 1), never zeros: equal latents would stay equal.
        self.latents = nn.Parameter(torch.randn(1, num_tokens, width))
        self.joins_frames = frames is not None
        self.times = nn.Parameter(torch.randn(frames, in_dim)) if frames is not None else None  # f d
        self.layers = nn.ModuleList(_Layer(width, heads, head_dim, ffn_dim) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.widen = nn.Linear(width, out_dim)

    def forward(self, x: Tensor) -> Tensor:
        """Read the features with the latents."""
        self.check(x)
        if self.times is not None:
            x = (x + _spread(self.times, x.shape[-3])).flatten(-3, -2)  # * f*n d
        features = self.narrow(self.rows(x))  # b n h
        latents = self.latents.expand(len(features), -1, -1)  # b l h
        for layer in self.layers:
            latents = layer(latents, features)
        return self.unrows(self.widen(self.norm(latents)), x)


def _spread(times: Tensor, frames: int) -> Tensor:
    """Embeddings of times [f, d] for so many frames, [frames, 1, d]: interpolated, if these are others."""
    if frames != len(times):
        times = F.interpolate(times.T[None], size=frames, mode="linear", align_corners=True)[0].T
    return times[:, None]


class _Layer(nn.Module):
    """Attention of the latents, then a feed-forward net, each normed before and added; no biases."""

    def __init__(self, width: int, heads: int, head_dim: int, ffn_dim: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_features, self.norm_latents = nn.LayerNorm(width), nn.LayerNorm(width)
        self.q = nn.Linear(width, heads * head_dim, bias=False)
        self.kv = nn.Linear(width, 2 * heads * head_dim, bias=False)
        self.out = nn.Linear(heads * head_dim, width, bias=False)
        self.feed = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, ffn_dim, bias=False),
            nn.GELU(),
            nn.Linear(ffn_dim, width, bias=False),
        )

    def forward(self, latents: Tensor, features: Tensor) -> Tensor:
        """[b, l, h], [b, n, h] -> [b, l, h]."""
        normed = self.norm_latents(latents)
        k, v = self.kv(torch.cat([self.norm_features(features), normed], dim=1)).chunk(2, dim=-1)  # b n+l a
        latents = latents + self.out(attend(self.q(normed), k, v, self.heads))
        return latents + self.feed(latents)
