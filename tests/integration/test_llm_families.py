"""LLMs of many families, as the hub has them: fed with embeddings, they are what transformers makes of the ids."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor

from orchestrator.models import facts
from orchestrator.models.bundle import Bundle
from orchestrator.models.llm import learning
from orchestrator.models.llm.calls import Call
from orchestrator.models.llm.model import LanguageModel
from orchestrator.models.llm.past import Past
from orchestrator.models.loading import load_part
from tests.tiny import tokenizer

WIDTH, LENGTH = 16, 96
Sizes = dict[str, Any]
LLAMA: Sizes = {
    "hidden_size": WIDTH,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": LENGTH,
}
GPT2: Sizes = {"n_embd": WIDTH, "n_layer": 2, "n_head": 2, "n_positions": LENGTH}
OPT: Sizes = {
    "hidden_size": WIDTH,
    "ffn_dim": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": LENGTH,
    "word_embed_proj_dim": 8,
}
SMALL_HEADS = {**LLAMA, "head_dim": 8}
FAMILIES: dict[str, tuple[str, Sizes]] = {
    "llama": ("LlamaForCausalLM", LLAMA),
    "qwen2": ("Qwen2ForCausalLM", {**LLAMA, "tie_word_embeddings": True}),
    "qwen3": ("Qwen3ForCausalLM", SMALL_HEADS),
    "mistral": ("MistralForCausalLM", {**LLAMA, "sliding_window": 12}),
    "gpt2": ("GPT2LMHeadModel", GPT2),
    "opt": ("OPTForCausalLM", OPT),  # embeddings narrower than its layers, positions from 2 on
    "gemma": ("GemmaForCausalLM", SMALL_HEADS),  # scales embeddings within
    "gemma2": ("Gemma2ForCausalLM", SMALL_HEADS),
    "gemma3_text": ("Gemma3ForCausalLM", SMALL_HEADS),  # scales them in the look-up
    "phi": ("PhiForCausalLM", {**LLAMA, "num_key_value_heads": 2}),  # its head has a bias
    "bloom": ("BloomForCausalLM", {"hidden_size": WIDTH, "n_layer": 2, "n_head": 2}),  # no limit of positions
}
SIGNALS = {"image": {"count": 4, "token": "[IMG{}]"}, "video": {"count": 3, "token": "[VID{}]"}}


def checkpoint(folder: Path, model: str, sizes: Sizes, spare: int = 0) -> Path:
    """A model of a family and a tokenizer without signal tokens, of which the model has `spare` rows more."""
    import transformers

    words, made = tokenizer({}), getattr(transformers, model)
    ends = {"bos_token_id": words.bos_token_id, "eos_token_id": words.eos_token_id, "pad_token_id": words.pad_token_id}
    torch.manual_seed(0)
    made(made.config_class(**sizes, **ends, vocab_size=len(words) + spare)).save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def bundle(folder: Path, signals: Any = SIGNALS, **llm: Any) -> Bundle:
    spec = {"name": "mine", "llm": {"path": "llm", "chat": "pocket", **llm}, "signals": signals}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bundle.yaml").write_text(yaml.safe_dump(spec, sort_keys=False))
    return Bundle.open(folder)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a family's bundle, made on first use."""
    root = tmp_path_factory.mktemp("families")

    def folder(family: str) -> Path:
        if not (root / family).exists():
            checkpoint(root / family / "llm", *FAMILIES[family])
            bundle(root / family)
        return root / family

    return folder


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
def llm(family: str, folders: Callable[[str], Path]) -> LanguageModel:
    found: LanguageModel = load_part(Bundle.open(folders(family)), "llm", "cpu", torch.float32)
    return found


def ids_of(llm: LanguageModel, text: str) -> Tensor:
    return torch.tensor(llm.chat.ids(text, special=True))


# --- every family


def test_width_and_context(family: str, llm: LanguageModel, folders: Callable[[str], Path]) -> None:
    assert facts.llm_dim(folders(family) / "llm") == llm.dim == llm.embed(torch.tensor([1])).shape[-1]
    assert llm.context == (LENGTH if family != "bloom" else 2**31)


@torch.no_grad()
def test_embeddings_are_as_good_as_ids(llm: LanguageModel) -> None:
    """Of a padded batch too; the head on its states gives transformers' logits."""
    rows = [ids_of(llm, "a red dog on grass"), ids_of(llm, "the cat [IMG0][IMG1][IMG2][IMG3]")]
    for ids, states in zip(rows, llm.hidden([llm.embed(ids) for ids in rows]), strict=True):
        wanted = llm.model(input_ids=ids[None]).logits[0]
        assert states.shape[-1] == llm.dim
        torch.testing.assert_close(learning._logits(llm.model, states), wanted, rtol=1e-4, atol=1e-4)


def test_generation_is_that_of_ids(llm: LanguageModel) -> None:
    """Left-padded, from embeddings, and transformers' own from ids, one by one."""
    texts = ["a dog", "describe the picture then film it: a cat moves left"]
    replies = llm.generate([llm.prompt([text]) for text in texts], max_new_tokens=8)
    for text, reply in zip(texts, replies, strict=True):
        ids = llm.chat.encode([("user", [text])]).ids
        wanted = llm.model.generate(
            ids[None],
            attention_mask=torch.ones_like(ids)[None],
            max_new_tokens=8,
            do_sample=False,
            pad_token_id=llm.tokenizer.pad_token_id,
            suppress_tokens=list(llm.signals.where),
        )[0, len(ids) :]
        assert reply.tolist() == [token for token in wanted.tolist() if token not in llm.ends]


def test_signals_that_the_tokenizer_lacks(llm: LanguageModel) -> None:
    (reply,) = llm.generate([llm.prompt(["a dog"])], max_new_tokens=12, require=["video", "image"])
    _, spans = llm.read(reply)
    assert {span.modality for span in spans} == {"image", "video"}
    dialogue = llm.encode([("user", ["a dog"]), ("assistant", ["here ", Call("image")])])
    assert set(llm.signals.ids["image"]) <= set(dialogue.ids.tolist())
    said = llm.chat.ids("[IMG0][VID1]")
    assert not set(said) & set(llm.signals.where), "a user can't say them"


def test_where_projectors_attach(family: str, llm: LanguageModel, folders: Callable[[str], Path]) -> None:
    """P_X goes in at the LLM's width, and its states are as wide."""
    soft = torch.randn(3, facts.llm_dim(folders(family) / "llm"))
    prompt = llm.prompt([("image", soft), "a dog"])
    (states,) = llm.states([prompt], [llm.embed(ids_of(llm, "[IMG0][IMG1]"))])
    assert (tuple(states.shape), torch.isfinite(states).all().item()) == ((2, soft.shape[1]), True)


def test_a_dialogue_is_read_on_from_where_the_llm_was(family: str, llm: LanguageModel) -> None:
    """From a full window nothing can be taken back: where the next turn tells a reply in other tokens, all is read."""
    past = Past()
    turns: list[Any] = [("user", ["a dog"])]
    for says in ("film it", "and a cat", "again"):
        (prompt,) = llm.embed_dialogues([llm.encode(turns)])
        replies = []
        for mine in (past, None):
            (ids,) = llm.generate([prompt], max_new_tokens=5, require=("video",), past=mine)
            with torch.no_grad():
                replies.append((ids, *llm.states([prompt], [llm.embed(ids)], mine)))
        (ids, states), (wanted, wanted_states) = replies
        assert ids.tolist() == wanted.tolist()
        torch.testing.assert_close(states, wanted_states, rtol=1e-4, atol=1e-4)
        turns += [("assistant", [llm.read(ids)[0], Call("video")]), ("user", [says])]
    assert past.found > 0 or family == "mistral"
