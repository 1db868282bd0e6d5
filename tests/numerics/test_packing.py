"""Packed rows against padded ones: the same states, losses and gradients."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from transformers import (
    BloomConfig,
    BloomForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from orchestrator.models.llm import packing

LENGTHS = (5, 2, 9, 3, 4, 8, 1)
SIZES = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
MODELS: dict[str, Any] = {
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**SIZES)),
    "llama, eager": lambda: LlamaForCausalLM(LlamaConfig(**SIZES, attn_implementation="eager")),
    "qwen 2": lambda: Qwen2ForCausalLM(Qwen2Config(**SIZES)),
    "qwen 3": lambda: Qwen3ForCausalLM(Qwen3Config(**SIZES, head_dim=16)),
    "mistral": lambda: MistralForCausalLM(MistralConfig(**SIZES, sliding_window=3)),
    "gpt 2": lambda: GPT2LMHeadModel(GPT2Config(vocab_size=64, n_embd=32, n_layer=2, n_head=2, **ENDS)),
}
ENDS = {"bos_token_id": 1, "eos_token_id": 2}


def sequences() -> list[Tensor]:
    dice = torch.Generator().manual_seed(3)
    return [torch.randn(n, 32, generator=dice).requires_grad_() for n in LENGTHS]


@pytest.mark.parametrize("name", MODELS)
def test_packed_is_padded_is_alone(name: str) -> None:
    torch.manual_seed(0)
    model = MODELS[name]().eval()
    assert packing.keeps_apart(model)
    assert not model.training
    found = {}
    for pack in (True, False):
        embeds = sequences()
        states = packing.hidden_states(model.get_decoder(), embeds, pack)
        loss = torch.cat(states).square().mean() + torch.cat(states)[:, 0].sum()
        loss.backward()
        weights = [p.grad for p in model.parameters() if p.grad is not None]
        found[pack] = (loss, states, [e.grad for e in embeds], weights)
        model.zero_grad(set_to_none=True)
    torch.testing.assert_close(found[True], found[False], rtol=1e-5, atol=1e-5)
    for embed, state in zip(sequences(), found[True][1], strict=True):
        alone = model.get_decoder()(inputs_embeds=embed[None]).last_hidden_state[0]
        torch.testing.assert_close(state, alone, rtol=1e-5, atol=1e-5)


def test_a_model_that_does_not_know_position_ids_is_found_out() -> None:
    torch.manual_seed(0)
    assert not packing.keeps_apart(
        BloomForCausalLM(BloomConfig(vocab_size=64, hidden_size=32, n_layer=1, n_head=2, **ENDS))
    )


def test_looking_leaves_the_modes_as_they_are() -> None:
    """Dropout would make two forwards differ, so the look is without."""
    model = GPT2LMHeadModel(GPT2Config(vocab_size=64, n_embd=32, n_layer=1, n_head=2, **ENDS)).eval()
    model.transformer.drop.train()
    assert packing.keeps_apart(model)
    assert [m for m in model.modules() if m.training] == [model.transformer.drop]


@given(st.lists(st.integers(1, 300), min_size=1, max_size=40), st.sampled_from([32, 512, 4096]))
def test_rows_hold_each_sequence_once_and_cost_no_more_than_a_padded_batch(lengths: list[int], dim: int) -> None:
    rows = packing.fill(lengths, dim)
    assert sorted(i for row in rows for i in row) == list(range(len(lengths)))
    width = max(sum(lengths[i] for i in row) for row in rows)
    longest = max(lengths)
    assert width <= 4 * longest
    assert len(rows) * width * (6 * dim + width) <= len(lengths) * longest * (6 * dim + longest)


def test_little_is_padding() -> None:
    lengths = [40 + 7 * i % 90 for i in range(64)]
    rows = packing.fill(lengths, 512)
    width = max(sum(lengths[i] for i in row) for row in rows)
    assert sum(lengths) / (len(rows) * width) > 0.9
    assert sum(lengths) / (len(lengths) * max(lengths)) < 0.7
