"""Signal tokens that a checkpoint lacks, from loading to a trained adapter; what can't be an LLM; quantization."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from orchestrator.errors import BundleError, UserError
from orchestrator.models.bundle import Bundle
from orchestrator.models.bundle.derive import derive
from orchestrator.models.llm import quantize
from orchestrator.models.llm.adapter import LoraOptions, RowOptions, save_weights, tune
from orchestrator.models.llm.model import LanguageModel
from orchestrator.models.loading import load_part
from tests import training
from tests.integration.test_llm_families import FAMILIES, SIGNALS, bundle, checkpoint, ids_of


def load(found: Bundle) -> LanguageModel:
    made: LanguageModel = load_part(found, "llm", "cpu", torch.float32)
    return made


def tables(llm: LanguageModel) -> dict[str, Tensor]:
    """The embedding and the head, [rows, d], and the head's bias."""
    head = llm.model.get_output_embeddings()
    found = {"embedding": llm.model.get_input_embeddings().weight, "head": head.weight}
    return {**found, **({"bias": head.bias[:, None]} if getattr(head, "bias", None) is not None else {})}


def logits(llm: LanguageModel) -> Tensor:
    """Of a text with signals, through the embedding and the head as they are."""
    ids = torch.cat([ids_of(llm, "a red dog"), torch.tensor(list(llm.signals.where))])
    with torch.no_grad():
        found: Tensor = llm.model(inputs_embeds=llm.embed(ids)[None]).logits
    return found


# --- rows of new tokens


@pytest.mark.parametrize("family", ["llama", "qwen2", "phi"])
@pytest.mark.parametrize("spare", [0, 3, 50])
def test_new_rows_are_the_mean_of_the_old(family: str, spare: int, tmp_path: Path) -> None:
    """Tied, untied, with a bias; in new rows, or in those that a checkpoint has to spare, of which none is lost."""
    model, sizes = FAMILIES[family]
    checkpoint(tmp_path / "llm", model, sizes, spare)
    dice = torch.random.get_rng_state()
    plain, llm = load(bundle(tmp_path / "plain", {}, path="", checkpoint="../llm")), load(bundle(tmp_path))
    assert torch.equal(torch.random.get_rng_state(), dice)
    new = sorted(llm.signals.where)
    old = min(new[0], len(tables(plain)["embedding"]))
    assert new == list(range(new[0], new[0] + 7))
    for (name, before), after in zip(tables(plain).items(), tables(llm).values(), strict=True):
        assert torch.equal(after[:old], before[:old]), name
        torch.testing.assert_close(after[new], before[:old].mean(0).expand(7, -1), msg=name)
        assert len(after) == max(len(before), new[-1] + 1)
    assert (tables(llm)["embedding"] is tables(llm)["head"]) == bool(sizes.get("tie_word_embeddings"))


def test_every_loading_gives_the_same_rows(tmp_path: Path) -> None:
    checkpoint(tmp_path / "llm", *FAMILIES["llama"])
    assert torch.equal(logits(load(bundle(tmp_path))), logits(load(bundle(tmp_path))))


# --- trained


TUNED: dict[str, dict[str, Any]] = {
    "rows": {"signals": RowOptions()},
    "rows and lora": {"signals": RowOptions(), "lora": LoraOptions(r=2)},
    "whole": {"whole": True},
}


def trained(base: Bundle, folder: Path, **how: Any) -> tuple[LanguageModel, Bundle]:
    """The LLM with other numbers in all that trains, and the derived bundle that a training leaves."""
    llm = load(base)
    for parameters in tune(llm, **how).values():
        for parameter in parameters:
            parameter.data += torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)) * 0.1
    if llm.adapter is None:
        save_weights(llm, folder / "new", base.path("llm"))
        return llm, derive(base, folder, "new", {"llm": {"path": "new", "id": base.id("llm"), "chat": "pocket"}})
    llm.adapter.train(False)
    llm.adapter.save(folder / "adapter")
    return llm, derive(base, folder, "new", {"llm": {"adapter": "adapter"}})


@pytest.mark.parametrize("how", TUNED)
@pytest.mark.parametrize("family", ["llama", "qwen2", "gpt2"])
def test_trained_rows_come_back(family: str, how: str, tmp_path: Path) -> None:
    checkpoint(tmp_path / "base/llm", *FAMILIES[family], spare=2)
    options = TUNED[how]
    if family == "gpt2" and "lora" in options:
        options = options | {"lora": LoraOptions(r=2, targets=("c_proj", "c_fc"))}
    llm, made = trained(bundle(tmp_path / "base"), tmp_path / "new", **options)
    before, after = logits(load(bundle(tmp_path / "base"))), logits(llm)
    assert not torch.allclose(before, after, atol=1e-3)
    torch.testing.assert_close(logits(load(made)), after, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("how", ["rows", "whole"])
def test_signals_in_another_order(how: str, tmp_path: Path) -> None:
    """Their ids follow from it, so what was trained would be of other tokens."""
    checkpoint(tmp_path / "base/llm", *FAMILIES["llama"])
    _, made = trained(bundle(tmp_path / "base"), tmp_path / "new", **TUNED[how])
    bundle(tmp_path / "base", dict(reversed(SIGNALS.items())))
    with pytest.raises(
        BundleError, match=r"'\[(IMG|VID)0\]'.* token \d+.*; put .* in the order in which they were trained"
    ):
        load(Bundle.open(made.root))


def test_a_signal_that_comes_later(tmp_path: Path) -> None:
    """Behind those that an adapter knows."""
    checkpoint(tmp_path / "base/llm", *FAMILIES["llama"])
    _, made = trained(bundle(tmp_path / "base"), tmp_path / "new", **TUNED["rows"])
    bundle(tmp_path / "base", SIGNALS | {"audio": {"count": 2, "token": "[AUD{}]"}})
    llm = load(Bundle.open(made.root))
    assert min(llm.signals.ids["audio"]) > max(llm.signals.ids["video"])


# --- what can't be an LLM


def test_one_that_reads_ids_only(tmp_path: Path) -> None:
    from transformers import CpmAntConfig

    checkpoint(tmp_path / "llm", *FAMILIES["llama"])
    CpmAntConfig().save_pretrained(tmp_path / "llm")
    with pytest.raises(BundleError, match=r"CpmAntForCausalLM needs token ids, .* whose forward takes inputs_embeds"):
        load(bundle(tmp_path))


def test_one_with_embeddings_in_every_layer(tmp_path: Path) -> None:
    from transformers import Gemma3nTextConfig

    checkpoint(tmp_path / "llm", *FAMILIES["llama"])
    Gemma3nTextConfig().save_pretrained(tmp_path / "llm")
    with pytest.raises(BundleError, match="Gemma3nForCausalLM needs token ids"):
        load(bundle(tmp_path))


@pytest.mark.parametrize("part", ["llm", "encoders.image"])
def test_a_config_with_a_value_of_a_wrong_type(part: str, tiny_bundle: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(tiny_bundle, tmp_path / "b"))
    file = Bundle.open(root).path(part) / "config.json"
    file.write_text(file.read_text().replace('"num_attention_heads": 2', '"num_attention_heads": "two"'))
    with pytest.raises(BundleError, match=r"(?s)(no config of 'llama'|cannot be loaded as CLIP).*num_attention_heads"):
        load_part(Bundle.open(root), part, "cpu", torch.float32)


def test_one_without_an_end(tmp_path: Path) -> None:
    model, sizes = FAMILIES["llama"]
    checkpoint(tmp_path / "llm", model, sizes)
    for file in ("config.json", "generation_config.json", "tokenizer_config.json"):
        path = tmp_path / "llm" / file
        lines = [line for line in path.read_text().splitlines() if '"eos_token' not in line]
        path.write_text("\n".join(lines))
    with pytest.raises(BundleError, match=r"no token that ends a reply; write `eos_token_id`"):
        load(bundle(tmp_path))


def test_a_checkpoint_does_not_say_how_it_is_sampled(tmp_path: Path) -> None:
    """Qwen's generation_config.json penalises repetition."""
    checkpoint(tmp_path / "llm", *FAMILIES["llama"])
    llm = load(bundle(tmp_path))
    prompt = llm.prompt(["a dog"])
    (before,) = llm.generate([prompt], max_new_tokens=12)
    llm.model.generation_config.repetition_penalty = 9.0
    (after,) = llm.generate([prompt], max_new_tokens=12)
    assert after.tolist() == before.tolist()
    (sampled,) = llm.generate([prompt], max_new_tokens=12, temperature=1.0)
    llm.model.generation_config.top_p = 0.01
    assert llm.generate([prompt], max_new_tokens=12, temperature=1.0)[0].tolist() == sampled.tolist()


# --- in 4 and 8 bits


@pytest.mark.parametrize("how", ["4bit", "8bit"])
def test_quantization_is_refused_before_anything_is_read(how: str, tmp_path: Path) -> None:
    checkpoint(tmp_path / "llm", *FAMILIES["llama"])
    found = bundle(tmp_path, quantize=how)
    for file in (tmp_path / "llm").glob("token*"):
        file.unlink()  # it would be told of that
    with pytest.raises(BundleError, match=rf"quantize: {how}: it needs a CUDA device, and the LLM is to run on cpu"):
        LanguageModel.load(found, "cpu", torch.float32)


def test_quantization_without_bitsandbytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantize, "find_spec", lambda name: None)
    with pytest.raises(BundleError, match=r"^llm: quantize: 8bit: .* pip install bitsandbytes, or leave quantize out$"):
        quantize.options("8bit", "cuda:0", torch.float16)


@pytest.mark.parametrize(
    ("how", "wanted"),
    [
        ("4bit", {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True}),
        ("8bit", {"load_in_8bit": True}),
    ],
)
def test_what_bitsandbytes_is_told(how: str, wanted: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantize, "find_spec", lambda name: object())
    options = quantize.options(how, "cuda:1", torch.bfloat16)
    told = options["quantization_config"]
    assert options["device_map"] == {"": "cuda:1"}
    assert {name: getattr(told, name) for name in wanted} == wanted
    assert how == "8bit" or told.bnb_4bit_compute_dtype == torch.bfloat16
    assert quantize.options("", "cpu", torch.float32) == {}


def test_quantized_weights_do_not_train(tmp_path: Path) -> None:
    checkpoint(tmp_path / "llm", *FAMILIES["llama"])
    llm = load(bundle(tmp_path))
    llm.model.quantization_method = "bitsandbytes"
    with pytest.raises(UserError, match=r"can't train while they are quantized: train llm\.lora instead"):
        tune(llm, whole=True)


def test_a_recipe_trains_rows_of_tokens_that_the_base_lacks(tmp_path: Path) -> None:
    """Its gradients reach them and nothing else, and the bundle that it leaves has them."""
    checkpoint(tmp_path / "base/llm", *FAMILIES["qwen3"])
    base = bundle(tmp_path / "base")
    before = logits(load(base))
    tuned = {"llm.signals": {"init": "mean"}, **training.LORA}
    (tmp_path / "data.jsonl").touch()
    task = training.task(tmp_path, base.root, flow="text -> text + image", train=tuned)
    training.step(task, [training.made("image", "a dog"), training.talk()])
    assert training.reached(task) == {"llm.signals", "llm.lora"}
    for group in task.groups():
        for parameter in group.parameters:
            parameter.data -= 0.1 * parameter.grad.sign()  # type: ignore[union-attr]
    made = task.parts.write_bundle(tmp_path / "new", "new", 1)
    after = logits(task.parts.load("llm"))
    assert not torch.allclose(before, after, atol=1e-3)
    torch.testing.assert_close(logits(load(made)), after, rtol=1e-4, atol=1e-4)
