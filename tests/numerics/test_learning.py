"""What the LLM learns: against naive losses, and in gradients."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from transformers import (
    CohereConfig,
    CohereForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    GraniteConfig,
    GraniteForCausalLM,
)

from orchestrator.errors import InputError
from orchestrator.models.llm import learning
from orchestrator.models.llm.calls import Call
from orchestrator.models.llm.model import LanguageModel
from orchestrator.nodes.decode import Decode
from orchestrator.nodes.ports import Features, Prompts
from orchestrator.nodes.reason import Reason, ReasonConfig
from orchestrator.nodes.stage import Config
from orchestrator.testing import StageContext
from tests import tiny
from tests.dialogues import learn, naive, requests, soft


@pytest.fixture
def llm(tiny_context: StageContext) -> LanguageModel:
    """One of its own, which tests may change."""
    return copy.deepcopy(tiny_context.load("llm"))


@pytest.fixture
def context(tiny_context: StageContext, llm: LanguageModel) -> StageContext:
    return replace(tiny_context, models=tiny_context.models | {"llm": llm}, loaded=[])


# --- equation 2


@pytest.mark.parametrize(("pack", "positions"), [(False, 128), (True, 128), (True, 3)])
def test_equation_2_is_the_naive_one(
    context: StageContext, llm: LanguageModel, pack: bool, positions: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learning, "POSITIONS", positions)
    llm.pack = pack
    found = learn(context, requests(), txt_gen={})
    wanted = torch.cat(naive(llm, requests()))
    torch.testing.assert_close(found.losses["txt_gen"], wanted.mean(), rtol=1e-5, atol=1e-6)
    assert found.counts == {"txt_gen": len(wanted)}


def test_the_gradient_reaches_the_soft_prompts_only(context: StageContext, llm: LanguageModel) -> None:
    grads = []
    for pack in (False, True):
        llm.pack, batch = pack, requests()
        learn(context, batch, txt_gen={}).losses["txt_gen"].backward()
        grads.append(
            [s.tokens.grad for r in batch for _, said in r["dialogue"] for s in said if isinstance(s, Prompts)]
        )
    assert all(grad is not None and grad.abs().sum() > 0 for grad in grads[0])
    torch.testing.assert_close(*grads, rtol=1e-4, atol=1e-7)
    assert all(p.grad is None and not p.requires_grad for p in llm.model.parameters())


SIZES = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


@pytest.mark.parametrize(
    "model",
    [
        lambda: CohereForCausalLM(CohereConfig(**SIZES, logit_scale=0.3)),
        lambda: GraniteForCausalLM(GraniteConfig(**SIZES, logits_scaling=5.0)),
        lambda: Gemma2ForCausalLM(Gemma2Config(**SIZES, head_dim=16, final_logit_softcapping=0.1)),
    ],
    ids=["cohere", "granite", "gemma 2"],
)
def test_logits_are_the_models_own(model: Any) -> None:
    torch.manual_seed(0)
    made = model().eval()
    embeds = torch.randn(1, 5, 32)
    hidden = made.get_decoder()(inputs_embeds=embeds).last_hidden_state[0]
    torch.testing.assert_close(learning._logits(made, hidden), made(inputs_embeds=embeds).logits[0])


# --- replies


@pytest.mark.parametrize("objectives", [{}, {"txt_gen": {}}])
def test_replies_hold_the_states_at_the_assistants_tokens(
    context: StageContext, llm: LanguageModel, objectives: Any
) -> None:
    found = [out["reply"] for out in learn(context, requests(), **objectives).outputs]
    assert [reply.text for reply in found] == ["a dog", "the cat", "a red catdoghere"]
    assert [[span.modality for span in reply.spans] for reply in found] == [[], ["video"], ["image", "video", "image"]]
    assert (found[0].states, found[0].embeds) == (None, None)
    prompt = llm.prompt(requests()[1]["dialogue"][0][1])
    (wanted,) = llm.states([prompt], [llm.embed(found[1].ids)])
    torch.testing.assert_close(found[1].states, wanted, rtol=1e-5, atol=1e-5)
    assert torch.equal(found[1].embeds, llm.embed(found[1].ids))
    split = Decode(Config()).run([{"reply": found[2]}], context)[0]
    assert [len(split[modality].items) for modality in ("image", "video")] == [2, 1]
    second = split["image"].items[1]
    assert (second.caption, second.states.shape) == ("dog", (4, tiny.WIDTH))


@pytest.mark.parametrize(
    ("batch", "objectives", "forwards", "heads"),
    [
        (requests()[:1], {}, 0, 0),
        (requests(), {}, 1, 0),
        (requests(), {"txt_gen": {}}, 1, 1),
    ],
    ids=["nothing is asked for", "states alone", "loss and states"],
)
def test_nothing_is_computed_that_nobody_wants(
    context: StageContext, llm: LanguageModel, batch: Any, objectives: Any, forwards: int, heads: int
) -> None:
    seen: list[Any] = []
    llm.model.get_decoder().register_forward_hook(lambda *_: seen.append("decoder"))
    llm.model.get_output_embeddings().register_forward_hook(lambda _, given, __: seen.append(len(given[0])))
    found = learn(context, batch, **objectives)
    assert seen.count("decoder") == forwards
    assert [entry for entry in seen if entry != "decoder"] == list(found.counts.values()) * heads


@pytest.mark.parametrize(
    ("request_", "objectives", "message"),
    [
        ({}, {"txt_gen": {}}, "the sample has no dialogue"),
        (
            {"dialogue": [("user", ["a"])]},
            {"txt_gen": {}},
            "dialogue ends with the user, not with the assistant's reply",
        ),
        (requests()[0], {"dpo": {}}, "the sample has no rejected"),
    ],
)
def test_samples_that_teach_nothing(context: StageContext, request_: Any, objectives: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        learn(context, [request_], **objectives)


def test_a_video_is_so_many_pictures(context: StageContext, llm: LanguageModel) -> None:
    frames = soft(6).tokens
    pictures = [Prompts("video", frame) for frame in frames.chunk(3)]
    dialogues = [[("user", [*seen, "a"]), ("assistant", ["b"])] for seen in ([Prompts("video", frames, 3)], pictures)]
    one, many = (Reason(ReasonConfig()).dialogue({"dialogue": turns}, llm) for turns in dialogues)
    assert [len(tokens) for _, tokens in one.soft] == [len(tokens) for _, tokens in many.soft] == [2, 2, 2]
    assert torch.equal(*(found.embed(llm.embed(found.ids)) for found in (one, many)))


def test_scripts_are_dialogues_whose_media_come_later(context: StageContext, llm: LanguageModel) -> None:
    """`targets` are made from F_X, once; P_X takes its place at every step."""
    stage, wide = Reason(ReasonConfig()), torch.zeros(9, 7)
    media = {"image": soft(3), "video": Prompts("video", soft(6).tokens, 3)}
    ways = [media, {"image": Features("image", wide), "video": Features("video", wide, 3)}]
    real, later = (
        {
            name: [("user", ["a", m["image"], m["video"]]), ("assistant", [said, m["image"], Call("image")])]
            for name, said in (("dialogue", "dog"), ("rejected", "cat"))
        }
        for m in ways
    )
    (made,) = stage.targets([later], context)
    put = {**made, "media": (media["image"], media["video"], media["image"])}
    for name in real:
        wanted, found = stage.dialogue(real, llm, name), stage.dialogue(put, llm, name)
        assert (found.labels.tolist(), found.said.tolist()) == (wanted.labels.tolist(), wanted.said.tolist())
        assert torch.equal(*llm.embed_dialogues([wanted, found]))
        assert found.answer == wanted.answer
    with pytest.raises(InputError, match="the sample has no rejected"):
        stage.dialogue({"script": {"dialogue": made["script"]["dialogue"]}, "media": ()}, llm, "rejected")
