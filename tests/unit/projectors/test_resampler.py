"""The Perceiver Resampler: sizes of Flamingo, order of the features."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from orchestrator.errors import UserError
from orchestrator.projectors.resampler import ResamplerProjector, _spread


def small(**sizes: Any) -> ResamplerProjector:
    torch.manual_seed(0)
    return ResamplerProjector(6, 5, num_tokens=4, layers=2, heads=2, head_dim=3, **sizes).double().eval()


def test_parameters_at_flamingos_sizes() -> None:
    """64 latents, 6 layers, 8 heads of 64, ffn 4 times as wide, at CLIP ViT-L's width."""
    with torch.device("meta"):
        made = ResamplerProjector(1024, 4096)
    each = 4 * 1024 + 1024 * 512 + 1024 * 1024 + 512 * 1024 + 2 * 1024 + 2 * 1024 * 4096
    assert sum(p.numel() for p in made.parameters()) == (64 * 1024 + 6 * each + 2 * 1024 + 1024 * 4096 + 4096)
    assert made(torch.zeros(2, 257, 1024, device="meta")).shape == (2, 64, 4096)


def test_the_order_of_the_features_does_not_matter() -> None:
    made, x = small(), torch.randn(3, 7, 6, dtype=torch.float64)
    torch.testing.assert_close(made(x.flip(1)), made(x))


def test_latents_differ_and_so_does_what_they_read() -> None:
    assert torch.pdist(small()(torch.randn(1, 7, 6, dtype=torch.float64))[0]).min() > 1e-3


def test_a_width_of_its_own() -> None:
    made = small(hidden_dim=8)
    assert (made.latents.shape[-1], made.config["ffn_dim"]) == (8, 32)
    assert made(torch.zeros(3, 6).double()).shape == (4, 5)


def test_frames_together_are_told_apart_by_their_time() -> None:
    made, x = small(frames=3), torch.randn(2, 3, 7, 6, dtype=torch.float64)
    assert made(x).shape == (2, 4, 5)
    assert made.config["frames"] == 3
    assert not torch.allclose(made(x.flip(1)), made(x))


def test_of_another_number_of_frames_the_times_are_interpolated() -> None:
    made = small(frames=2)
    first, last = made.times
    torch.testing.assert_close(_spread(made.times, 3)[:, 0], torch.stack([first, (first + last) / 2, last]))
    torch.testing.assert_close(_spread(made.times, 1)[0, 0], first)


def test_wrong_sizes() -> None:
    with pytest.raises(UserError, match="sizes are whole numbers >= 1, not num_tokens=0, layers=-1"):
        ResamplerProjector(6, 5, 0, layers=-1)
