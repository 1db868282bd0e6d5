"""The projectors that treat each token by itself, against the formulas."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from orchestrator.projectors.linear import LinearProjector
from orchestrator.projectors.mlp import MlpProjector


def test_linear_is_a_matrix_product() -> None:
    made = LinearProjector(6, 4).double()
    x = torch.randn(2, 5, 6, dtype=torch.float64)
    expected = torch.einsum("bni,oi->bno", x, made.linear.weight) + made.linear.bias
    torch.testing.assert_close(made(x), expected)


def test_linear_at_llava_and_gill_size() -> None:
    with torch.device("meta"):
        llava, gill = LinearProjector(1024, 4096), LinearProjector(1024, 4096, num_tokens=4)
    assert sum(p.numel() for p in llava.parameters()) == 4_198_400
    assert sum(p.numel() for p in gill.parameters()) == 4 * 4_198_400
    assert gill(torch.zeros(2, 1, 1024, device="meta")).shape == (2, 4, 4096)


def test_the_tokens_made_of_one_follow_each_other() -> None:
    made = LinearProjector(6, 4, num_tokens=3)
    x = torch.randn(2, 5, 6)
    for token in range(5):
        expected = made.linear(x[:, token]).view(2, 3, 4)
        torch.testing.assert_close(made(x)[:, 3 * token : 3 * token + 3], expected)


def test_mlp_is_linear_gelu_linear() -> None:
    made = MlpProjector(6, 4, num_tokens=2, hidden_dim=10).double()
    x = torch.randn(2, 5, 6, dtype=torch.float64)
    hidden = F.linear(x, made.first.weight, made.first.bias)
    hidden = hidden * 0.5 * (1 + torch.erf(hidden / 2**0.5))  # the exact GELU, as in LLaVA-1.5
    expected = F.linear(hidden, made.second.weight, made.second.bias).view(2, 10, 4)
    torch.testing.assert_close(made(x), expected)


def test_mlp_at_llava_15_size() -> None:
    with torch.device("meta"):
        made = MlpProjector(1024, 4096)
    assert made.config == {"in_dim": 1024, "out_dim": 4096, "num_tokens": 1, "hidden_dim": 4096}
    assert sum(p.numel() for p in made.parameters()) == 1024 * 4096 + 4096 + 4096 * 4096 + 4096
