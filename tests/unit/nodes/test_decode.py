"""decode: a reply, split."""

from __future__ import annotations

import pytest
import torch

from orchestrator.errors import CallError
from orchestrator.models.llm.calls import Call
from orchestrator.models.llm.signals import Span
from orchestrator.nodes.decode import Decode
from orchestrator.nodes.ports import Reply
from orchestrator.nodes.stage import Config, Outputs
from orchestrator.testing import StageContext, check_stage

STATES, EMBEDS = torch.randn(12, 4), torch.randn(12, 4)
SPANS = (Span("video", 1, 3, 5, "a dog"), Span("image", 4, 6, 9, "a cat"), Span("video", 8, 10, 9, "again"))
FULL = Reply("a dog cat", torch.arange(12), SPANS, STATES, EMBEDS)


def decode(reply: Reply) -> Outputs:
    (outputs,) = Decode(Config()).run([{"reply": reply}], StageContext())
    return outputs


def test_text_only() -> None:
    outputs = decode(Reply("hello"))
    assert outputs.keys() == {"text"}
    assert outputs["text"].text == "hello"


def test_signals_by_modality_in_order() -> None:
    outputs = decode(FULL)
    assert outputs.keys() == {"text", "image", "video"}
    told = [(s.name, s.caption, s.place) for s in outputs["video"].items]
    assert told == [("video", "a dog", 5), ("video", "again", 9)]
    for signal, (start, stop) in zip(outputs["video"].items, ((1, 3), (8, 10)), strict=True):
        assert torch.equal(signal.states, STATES[start:stop])
        assert torch.equal(signal.embeds, EMBEDS[start:stop])


def test_of_a_text_only_llm_the_caption_remains() -> None:
    (signal,) = decode(Reply("a dog", None, SPANS[:1]))["video"].items
    assert (signal.caption, signal.states, signal.embeds) == ("a dog", None, None)


def test_the_gradient_goes_through() -> None:
    states = STATES.clone().requires_grad_()
    decode(Reply("", torch.arange(12), SPANS, states, EMBEDS))["image"].items[0].states.sum().backward()
    assert states.grad is not None
    assert states.grad.sum(1).nonzero().flatten().tolist() == [4, 5]


def test_contract() -> None:
    check_stage("decode", requests=[{"reply": FULL}, {"reply": Reply("hello")}])


def test_in_train_mode_it_passes_on_what_it_splits() -> None:
    """It has no objective of its own, and nothing to compare with."""
    stage, batch = Decode(Config()), [{"reply": FULL}, {"reply": Reply("hello")}]
    learned = stage.learn(batch, StageContext(), {})
    assert [out.keys() for out in learned.outputs] == [{"text", "image", "video"}, {"text"}]
    assert torch.equal(learned.outputs[0]["image"].items[0].states, STATES[4:6])
    assert (learned.losses, learned.counts) == ({}, {})
    assert stage.targets(batch, StageContext()) == [{}, {}]


def test_tool_calls_are_signals_without_states() -> None:
    calls = [
        Call(f"make_{m}", place=i, arguments=f'{{"caption": "{m}"}}') for i, m in enumerate(("image", "audio", "image"))
    ]
    outputs = decode(Reply("look and hear", calls=tuple(calls)))
    assert outputs.keys() == {"text", "image", "audio"}
    told = [(s.caption, s.place, s.states) for s in outputs["image"].items]
    assert told == [("image", 0, None), ("image", 2, None)]


def test_a_call_that_makes_nothing() -> None:
    with pytest.raises(CallError, match=r"called 'make_text': there is no such tool"):
        decode(Reply("", calls=(Call("make_text", arguments="{}"),)))
