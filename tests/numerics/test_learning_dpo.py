"""Preferences: DPO against its equation."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.nn.functional import logsigmoid

from orchestrator.errors import UserError
from orchestrator.models.llm.adapter import LoraOptions, RowOptions, tune
from orchestrator.models.llm.calls import Call
from orchestrator.models.llm.model import LanguageModel
from orchestrator.testing import StageContext
from tests.dialogues import learn, naive, requests


@pytest.fixture
def llm(tiny_context: StageContext) -> LanguageModel:
    """One of its own, which tests may change."""
    return copy.deepcopy(tiny_context.load("llm"))


@pytest.fixture
def context(tiny_context: StageContext, llm: LanguageModel) -> StageContext:
    return replace(tiny_context, models=tiny_context.models | {"llm": llm}, loaded=[])


def pairs() -> list[dict[str, Any]]:
    batch = requests()
    for request in batch:
        request["rejected"] = [*request["dialogue"][:-1], ("assistant", ["snow in the grass", Call("image")])]
    return batch


@pytest.fixture
def moved(llm: LanguageModel) -> LanguageModel:
    """An LLM that an adapter has moved away from what it was."""
    tune(llm, LoraOptions(r=4, dropout=0), RowOptions())
    assert llm.adapter is not None
    dice = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for found in llm.adapter.parameters.values():
            for parameter in found:
                parameter += 0.1 * torch.randn(parameter.shape, generator=dice)
    return llm


@pytest.mark.parametrize("pack", [False, True])
@pytest.mark.parametrize(
    "options", [{}, {"beta": 0.5}, {"label_smoothing": 0.1}, {"sft": 0.3, "beta": 0.2, "label_smoothing": 0.2}]
)
def test_dpo_is_its_equation(
    context: StageContext, moved: LanguageModel, options: dict[str, float], pack: bool
) -> None:
    """Sums over whole dialogues here: what both have before the last reply cancels out."""
    moved.pack = pack
    found = learn(context, pairs(), dpo=options)
    logs = {}
    for name in ("dialogue", "rejected"):
        policy = [-each.sum() for each in naive(moved, pairs(), name)]
        with moved.adapter.disabled():  # type: ignore[union-attr]
            reference = [-each.sum() for each in naive(moved, pairs(), name)]
        logs[name] = torch.stack(policy) - torch.stack(reference)
    beta, smoothing = options.get("beta", 0.1), options.get("label_smoothing", 0.0)
    margin = beta * (logs["dialogue"] - logs["rejected"])
    wanted = (-(1 - smoothing) * logsigmoid(margin) - smoothing * logsigmoid(-margin)).mean()
    last = [each[-n:] for each, n in zip(naive(moved, pairs()), answers(moved), strict=True)]
    wanted = wanted + options.get("sft", 0.0) * torch.cat(last).mean()
    torch.testing.assert_close(found.losses["dpo"], wanted, rtol=1e-5, atol=1e-5)
    assert found.counts == {"dpo": 3}


def answers(llm: LanguageModel) -> list[int]:
    """Tokens of the last replies, end tokens included."""
    return [
        sum(len(llm.signals.ids[s.name]) if isinstance(s, Call) else len(llm.chat.ids(s)) for s in said) + 1
        for request in requests()
        for _, said in request["dialogue"][-1:]
    ]


def test_dpo_at_the_start_is_log_2(context: StageContext, llm: LanguageModel) -> None:
    tune(llm, LoraOptions(r=4, dropout=0))
    loss = learn(context, pairs(), dpo={"beta": 0.7}).losses["dpo"]
    torch.testing.assert_close(loss, torch.tensor(2.0).log())
    loss.backward()
    assert llm.adapter is not None
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in llm.adapter.parameters["lora"])


def test_dpo_prefers_what_is_preferred_after_a_few_steps(context: StageContext, llm: LanguageModel) -> None:
    torch.manual_seed(0)
    steps = torch.optim.AdamW(tune(llm, LoraOptions(r=4, dropout=0))["lora"], lr=1e-2)
    losses = []
    for _ in range(6):
        loss = learn(context, pairs(), dpo={}).losses["dpo"]
        loss.backward()
        steps.step()
        steps.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.02


def test_both_objectives_from_one_forward(context: StageContext, moved: LanguageModel) -> None:
    seen: list[bool] = []
    moved.model.get_decoder().register_forward_hook(lambda *_: seen.append(torch.is_grad_enabled()))
    both = learn(context, pairs(), txt_gen={}, dpo={})
    assert seen == [True, False], "and one of the reference, without gradients"
    alone = learn(context, pairs(), txt_gen={}).losses | learn(context, pairs(), dpo={}).losses
    torch.testing.assert_close(both.losses, alone)


def test_dpo_needs_an_adapter(context: StageContext) -> None:
    with pytest.raises(UserError, match=r"by disabling its adapter, but it has none; train one: .*llm\.lora"):
        learn(context, pairs(), dpo={})


def test_unknown_options_of_dpo(context: StageContext, moved: LanguageModel) -> None:
    with pytest.raises(UserError, match=r"(?s)objective dpo: beta: .*greater than 0.*objective dpo: betta: Extra"):
        learn(context, pairs(), dpo={"beta": 0, "betta": 1})
