"""What trains of the LLM: that it is what it says, that nothing else moves, and that a saved one is the same."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from orchestrator.models.bundle import Bundle
from orchestrator.models.llm import learning
from orchestrator.models.llm.adapter import LoraOptions, RowOptions, checkpoint_activations, merge, save_weights, tune
from orchestrator.models.llm.calls import Call
from orchestrator.models.llm.model import LanguageModel
from orchestrator.models.llm.signals import SignalTokens
from tests import tiny

TUNED: dict[str, dict[str, Any]] = {
    "lora": {"lora": LoraOptions(r=4, alpha=4)},
    "signals": {"signals": RowOptions()},
    "both": {"lora": LoraOptions(r=4, alpha=4, targets=("q_proj", "down_proj")), "signals": RowOptions()},
}


@pytest.fixture(scope="session")
def originals(tiny_bundle: Path) -> dict[bool, LanguageModel]:
    """LLMs whose head is, or is not, tied to the embedding."""
    bundle = Bundle.open(tiny_bundle)
    tokenizer = AutoTokenizer.from_pretrained(tiny_bundle / "llm")
    made = {}
    for tied in (False, True):
        config = LlamaConfig.from_pretrained(tiny_bundle / "llm", tie_word_embeddings=tied)
        torch.manual_seed(2)
        model = LlamaForCausalLM(config).eval().requires_grad_(False)
        made[tied] = LanguageModel(model, tokenizer, bundle.spec, "{{ messages[0].content }}<|assistant|>")
    return made


@pytest.fixture(params=[False, True], ids=["untied", "tied"])
def llm(request: pytest.FixtureRequest, originals: dict[bool, LanguageModel]) -> LanguageModel:
    return copy.deepcopy(originals[request.param])


def state(llm: LanguageModel) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in llm.model.named_parameters()}


def loss(llm: LanguageModel) -> Tensor:
    said = [["the cat", Call("video")], ["a red dog"], [Call("image"), "here"]]
    dialogues = [llm.encode([("user", ["a dog"]), ("assistant", s)]) for s in said]
    return torch.cat(learning.read(llm, dialogues).surprise()).mean()


def step(llm: LanguageModel, parameters: dict[str, list[nn.Parameter]]) -> None:
    """A few large steps of training."""
    steps = torch.optim.AdamW([p for found in parameters.values() for p in found], lr=0.05)
    for _ in range(3):
        loss(llm).backward()
        steps.step()
        steps.zero_grad()


def logits(llm: LanguageModel) -> Tensor:
    """Of a text with signals, through the embedding and the head as they are."""
    ids = torch.tensor([[*llm.chat.ids("a red dog"), *llm.signals.where]])
    with torch.no_grad():
        found: Tensor = llm.model(inputs_embeds=llm.embed(ids)).logits
    return found


@pytest.mark.parametrize("tuned", TUNED)
def test_it_begins_as_the_llm_and_can_be_disabled(llm: LanguageModel, tuned: str) -> None:
    before = logits(llm)
    parameters = tune(llm, **TUNED[tuned])
    assert llm.adapter is not None
    llm.adapter.train(False)
    torch.testing.assert_close(logits(llm), before, rtol=0, atol=0)  # B is 0, rows are those of the LLM
    assert sorted(parameters) == (["lora", "signals"] if tuned == "both" else [tuned])
    trains = {id(p) for p in llm.model.parameters() if p.requires_grad}
    assert trains == {id(p) for found in parameters.values() for p in found}
    step(llm, parameters)
    assert not torch.allclose(logits(llm), before, atol=1e-3)
    with llm.adapter.disabled():
        torch.testing.assert_close(logits(llm), before, rtol=0, atol=0)


def test_the_signal_rows_alone_change(llm: LanguageModel, originals: dict[bool, LanguageModel]) -> None:
    tied = llm.model.config.tie_word_embeddings
    weights = [llm.model.get_input_embeddings().weight.clone(), llm.model.get_output_embeddings().weight.clone()]
    parameters = tune(llm, signals=RowOptions())
    tokens = sorted(llm.signals.where)
    assert [tuple(p.shape) for p in parameters["signals"]] == [(len(tokens), tiny.WIDTH)] * (1 if tied else 2)
    step(llm, parameters)
    llm.adapter.wrapped.merge_and_unload()  # type: ignore[union-attr]
    others = [i for i in range(len(weights[0])) if i not in tokens]
    for layer, before in zip(
        (llm.model.get_input_embeddings(), llm.model.get_output_embeddings()), weights, strict=True
    ):
        assert torch.equal(layer.weight[others], before[others])
        assert ((layer.weight[tokens] - before[tokens]).abs().sum(1) > 0).all()
    assert (llm.model.get_input_embeddings().weight is llm.model.get_output_embeddings().weight) == tied
    left = state(originals[tied])
    assert all(torch.equal(p, left[name]) for name, p in llm.model.named_parameters() if "layers" in name)


@pytest.mark.parametrize("tuned", TUNED)
def test_saved_put_back_and_merged_are_the_same(
    llm: LanguageModel, tuned: str, tmp_path: Path, originals: dict[bool, LanguageModel]
) -> None:
    parameters = tune(llm, **TUNED[tuned])
    step(llm, parameters)
    assert llm.adapter is not None
    llm.adapter.train(False)
    llm.adapter.save(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]
    assert json.loads((tmp_path / "adapter_config.json").read_text())["base_model_name_or_path"] == "tiny/llm"
    wanted, prompt = logits(llm), llm.prompt(["a dog"])
    reply = llm.generate([prompt], max_new_tokens=30, require=["video"])[0]

    again = copy.deepcopy(originals[llm.model.config.tie_word_embeddings])
    tune(again, **TUNED[tuned])
    assert again.adapter is not None
    again.adapter.load(tmp_path)
    again.adapter.train(False)
    torch.testing.assert_close(logits(again), wanted, rtol=0, atol=0)

    merged = copy.deepcopy(originals[llm.model.config.tie_word_embeddings])
    names = {name for name, _ in merged.model.named_modules()}
    merge(merged.model, tmp_path)
    torch.testing.assert_close(logits(merged), wanted, rtol=1e-4, atol=1e-5)
    assert {name for name, _ in merged.model.named_modules()} == names, "no layer more: as fast as before"
    assert merged.generate([prompt], max_new_tokens=30, require=["video"])[0].tolist() == reply.tolist()


def test_an_adapter_on_an_adapter(llm: LanguageModel, tmp_path: Path, originals: dict[bool, LanguageModel]) -> None:
    """Preferences after instructions: the second is trained on what the first made."""
    for i, tuned in enumerate(("both", "lora", "signals")):
        step(llm, tune(llm, **TUNED[tuned]))
        assert llm.adapter is not None
        llm.adapter.train(False)
        llm.adapter.save(tmp_path / str(i))
        wanted = logits(llm)
        llm.adapter = None
        llm.model = copy.deepcopy(originals[llm.model.config.tie_word_embeddings]).model
        for j in range(i + 1):
            merge(llm.model, tmp_path / str(j))
        llm.model.requires_grad_(False)
        torch.testing.assert_close(logits(llm), wanted, rtol=1e-4, atol=1e-5)


def test_new_rows_may_begin_at_the_mean(llm: LanguageModel) -> None:
    tokens = sorted(llm.signals.where)
    layers = [llm.model.get_input_embeddings(), llm.model.get_output_embeddings()]
    others = [i for i in range(len(layers[0].weight)) if i not in tokens]
    means = [layer.weight[others].mean(0) for layer in layers]
    tune(llm, signals=RowOptions(init="mean"))
    torch.testing.assert_close(llm.embed(torch.tensor(tokens)), means[0].expand(len(tokens), -1))
    hidden = torch.randn(3, tiny.WIDTH)
    logits = llm.model.get_output_embeddings()(hidden)[:, tokens]
    torch.testing.assert_close(logits, (hidden @ means[1])[:, None].expand_as(logits))


@pytest.mark.parametrize("options", [{}, {"lora": LoraOptions(r=2)}])
def test_rows_may_keep_the_mean_norm_of_the_others(llm: LanguageModel, options: Any) -> None:
    tokens = torch.tensor(sorted(llm.signals.where))
    kept = torch.ones(len(llm.model.get_input_embeddings().weight), dtype=torch.bool)
    kept[tokens] = False
    norm = llm.model.get_input_embeddings().weight[kept].norm(dim=1).mean()
    step(llm, tune(llm, signals=RowOptions(renormalise=True), **options))
    assert not torch.allclose(llm.embed(tokens).norm(dim=1).mean(), norm, rtol=1e-2)
    loss(llm)
    torch.testing.assert_close(llm.embed(tokens).norm(dim=1).mean(), norm)


def test_parameters_of_lora_are_those_of_the_paper() -> None:
    """NExT-GPT's 33 million: rank 32 on q, k, v, o of 32 layers, 4096 wide."""
    with torch.device("meta"):
        config = LlamaConfig(
            vocab_size=8, hidden_size=4096, intermediate_size=8, num_hidden_layers=32, num_attention_heads=32
        )
        model = LlamaForCausalLM(config).requires_grad_(False)
        bare: Any = object.__new__(LanguageModel)
        bare.model, bare.id, bare.signals = model, "vicuna", no_signals()
        parameters = tune(bare, lora=LoraOptions())
    assert sum(p.numel() for p in parameters["lora"]) == 33_554_432


def no_signals() -> SignalTokens:
    return SignalTokens({})


# --- all weights


def test_all_weights(llm: LanguageModel, tmp_path: Path, tiny_bundle: Path) -> None:
    parameters = tune(llm, whole=True)
    assert len(parameters["llm"]) == len(list(llm.model.parameters()))
    step(llm, parameters)
    save_weights(llm, tmp_path, tiny_bundle / "llm")
    assert (tmp_path / "tokenizer.json").read_bytes() == (tiny_bundle / "llm/tokenizer.json").read_bytes()
    again = LlamaForCausalLM.from_pretrained(tmp_path)
    torch.testing.assert_close(dict(again.named_parameters()), dict(llm.model.named_parameters()))


# --- activations


@pytest.mark.parametrize("tuned", [None, "lora", "both"])
def test_recomputed_activations_give_the_same_gradients(llm: LanguageModel, tuned: str | None) -> None:
    """With a frozen LLM under soft prompts too."""
    if tuned:
        tune(llm, **TUNED[tuned])
        assert llm.adapter is not None
        llm.adapter.train(False)
    soft = torch.randn(4, tiny.WIDTH, requires_grad=True)
    count = [0]
    llm.model.get_decoder().layers[0].self_attn.register_forward_hook(lambda *_: count.__setitem__(0, count[0] + 1))

    def gradients() -> list[Tensor]:
        count[0] = 0
        llm.model.zero_grad()
        soft.grad = None
        dialogue = llm.encode([("user", [("image", soft), "a"]), ("assistant", ["the cat", Call("image")])])
        learning.read(llm, [dialogue, dialogue]).surprise()[0].sum().backward()
        assert soft.grad is not None
        return [soft.grad.clone(), *(p.grad.clone() for p in llm.model.parameters() if p.grad is not None)]

    plain = gradients()
    assert count == [1]
    reply = llm.generate([llm.prompt(["a"])], max_new_tokens=6)[0].tolist()
    checkpoint_activations(llm)
    llm.model.eval()
    torch.testing.assert_close(gradients(), plain)
    assert count == [2], "forward, and again in backward"
    assert llm.generate([llm.prompt(["a"])], max_new_tokens=6)[0].tolist() == reply
