"""What can't train of an LLM, and adapters that do not fit it."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from orchestrator.errors import BundleError, UserError
from orchestrator.models.llm.adapter import LoraOptions, RowOptions, merge, tune
from orchestrator.models.llm.model import LanguageModel
from orchestrator.models.llm.signals import SignalTokens
from orchestrator.testing import StageContext


@pytest.fixture
def llm(tiny_context: StageContext) -> LanguageModel:
    """One of its own, which tests change."""
    return copy.deepcopy(tiny_context.load("llm"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lora": LoraOptions(targets=("q_prj", "q_proj"))}, r"no linear layer named 'q_prj' Did you mean 'q_proj'\?"),
        ({"lora": LoraOptions(), "whole": True}, r"all weights of the LLM train \(llm\), so llm\.lora .* can't"),
    ],
)
def test_what_cannot_train(llm: LanguageModel, options: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        tune(llm, **options)


def test_no_signals_and_two_adapters(llm: LanguageModel) -> None:
    tune(llm, signals=RowOptions())
    with pytest.raises(UserError, match="'tiny/llm' already has an adapter"):
        tune(llm, lora=LoraOptions())
    llm.adapter, llm.signals = None, SignalTokens({})
    with pytest.raises(UserError, match="the bundle of 'tiny/llm' has no signal tokens"):
        tune(llm, signals=RowOptions())


def _drop(folder: Path) -> None:
    file = folder / "adapter_model.safetensors"
    found = load_file(file)
    found.pop(sorted(found)[0])
    save_file(found, file)


def _add(folder: Path) -> None:
    file = folder / "adapter_model.safetensors"
    save_file(load_file(file) | {"more": torch.ones(1)}, file)


def _narrow(folder: Path) -> None:
    file = folder / "adapter_model.safetensors"
    save_file({name: t[:, :8].contiguous() for name, t in load_file(file).items()}, file)


def _config(**fields: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        file = folder / "adapter_config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | fields))

    return change


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_drop, r"the adapter does not fit the LLM: 'base_model\..*lora_A\.weight' is missing"),
        (_add, "does not fit the LLM: 'more' has no place"),
        (_narrow, r"lora_A\.weight' is \[4, 8\], not \[4, 32\]; .*; and 1 more"),
        (_config(target_modules=["nowhere"]), r"is no adapter of this LLM: Target modules .*nowhere"),
        (_config(peft_type="NEW"), "is no adapter of this LLM: "),
    ],
)
def test_an_adapter_that_does_not_fit(llm: LanguageModel, tmp_path: Path, damage: Any, message: str) -> None:
    tune(llm, lora=LoraOptions(r=4, targets=("q_proj", "v_proj")))
    assert llm.adapter is not None
    llm.adapter.save(tmp_path)
    damage(tmp_path)
    with pytest.raises(BundleError, match=message):
        merge(llm.adapter.wrapped.unload(), tmp_path)


def test_put_back_into_another(llm: LanguageModel, tmp_path: Path) -> None:
    tune(llm, lora=LoraOptions(r=4))
    assert llm.adapter is not None
    llm.adapter.save(tmp_path)
    llm.model, llm.adapter = llm.adapter.wrapped.unload(), None
    tune(llm, lora=LoraOptions(r=8))
    with pytest.raises(BundleError, match=r"is \[4, 32\], not \[8, 32\]"):
        llm.adapter.load(tmp_path)  # type: ignore[attr-defined]
