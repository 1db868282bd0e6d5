"""What an LLM reads on from where it was is what it reads from the begin."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor

from orchestrator.models.llm.calls import Call
from orchestrator.models.llm.model import LanguageModel
from orchestrator.models.llm.past import Past
from orchestrator.testing import StageContext
from tests import tiny

SOFT = torch.randn(3, tiny.WIDTH, generator=torch.Generator().manual_seed(5))
FIRST: list[Any] = [("user", [("image", SOFT), "a dog"])]
SIGNALS = {"signals": ("video",), "require": ("video",), "max_new_tokens": 24}


@pytest.fixture
def llm(tiny_context: StageContext) -> LanguageModel:
    model: LanguageModel = tiny_context.load("llm")
    return model


@contextmanager
def reading(llm: LanguageModel) -> Iterator[list[int]]:
    """How many positions each forward of the decoder is fed."""
    fed: list[int] = []
    hook = llm.model.get_decoder().register_forward_pre_hook(
        lambda module, args, kwargs: fed.append(
            next(kwargs[n].shape[1] for n in ("inputs_embeds", "input_ids") if kwargs.get(n) is not None)
        ),
        with_kwargs=True,
    )
    try:
        yield fed
    finally:
        hook.remove()


def reply(llm: LanguageModel, turns: Any, past: Past | None, **options: Any) -> tuple[Tensor, Tensor]:
    """The ids of a reply, and the states at them."""
    (prompt,) = llm.embed_dialogues([llm.encode(turns)])
    (ids,) = llm.generate([prompt], past=past, **{**SIGNALS, **options})
    with torch.no_grad():
        (states,) = llm.states([prompt], [llm.embed(ids)], past)
    return ids, states


def goes_on(llm: LanguageModel, turns: list[Any], ids: Tensor, says: str) -> list[Any]:
    """The dialogue with a reply in it, and what the user says next."""
    text, spans = llm.read(ids)
    signal = [Call(span.modality) for span in spans]
    return [*turns, ("assistant", [text[: spans[0].place], *signal, text[spans[0].place :]]), ("user", [says])]


@pytest.mark.parametrize("temperature", [0.0, 1.5])
def test_three_turns_are_those_without_a_past(llm: LanguageModel, temperature: float) -> None:
    past, turns = Past(), FIRST
    for i, says in enumerate(("film it", "a cat", "again")):
        options = {"temperature": temperature, "seed": i}
        ids, states = reply(llm, turns, past, **options)
        wanted, wanted_states = reply(llm, turns, None, **options)
        assert ids.tolist() == wanted.tolist()
        torch.testing.assert_close(states, wanted_states, rtol=1e-4, atol=1e-4)
        turns = goes_on(llm, turns, ids, says)
    assert past.found > past.read / 2


def test_only_what_is_new_is_read(llm: LanguageModel) -> None:
    past = Past()
    ids, _ = reply(llm, FIRST, past)
    turns = goes_on(llm, FIRST, ids, "film it")
    with reading(llm) as whole:
        reply(llm, turns, None)
    before = past.read
    held = len(past)
    with reading(llm) as fed:
        again, _ = reply(llm, turns, past)
    size = len(llm.encode(turns))
    assert whole[0] == size
    assert size - held <= fed[0] < size / 2
    assert whole[-1] == size + len(again)
    assert fed[-1] == len(again)
    assert sum(fed) == past.read - before
    assert len(past) == size + len(again)


def test_another_dialogue_is_read_from_the_begin(llm: LanguageModel) -> None:
    past = Past()
    reply(llm, FIRST, past)
    for turns in (
        [("user", [("image", SOFT.flip(0)), "a dog"])],  # the same ids, another picture
        [("user", ["a cat"])],
        FIRST,
    ):
        found = past.found
        (ids, states), (wanted, wanted_states) = reply(llm, turns, past), reply(llm, turns, None)
        assert ids.tolist() == wanted.tolist()
        torch.testing.assert_close(states, wanted_states, rtol=1e-4, atol=1e-4)
        assert past.found - found <= 2 + 2 * len(llm.encode(turns))
    assert len(past) == len(llm.encode(FIRST)) + len(ids)  # one dialogue is held, the last


def test_the_past_of_another_llm_is_of_no_use(llm: LanguageModel, tiny_any_context: StageContext) -> None:
    past = Past()
    reply(llm, FIRST, past)
    other = tiny_any_context.load("llm")
    reply(other, [("user", ["a dog"])], past)
    assert past.take(llm.model, llm.prompt(["a dog"]), 5) is None


def test_a_stopped_reply_leaves_nothing_half_read(llm: LanguageModel) -> None:
    past = Past()
    ids, _ = reply(llm, FIRST, past)
    turns = goes_on(llm, FIRST, ids, "film it")

    def stop(ids: Tensor) -> None:
        if ids.shape[1] == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reply(llm, turns, past, on_token=stop)
    assert len(past) == 0
    assert reply(llm, turns, past)[0].tolist() == reply(llm, turns, None)[0].tolist()


def test_an_ordinary_reply_keeps_nothing(llm: LanguageModel) -> None:
    with reading(llm) as fed:
        reply(llm, FIRST, None)
        reply(llm, FIRST, None)
    assert fed[: len(fed) // 2] == fed[len(fed) // 2 :]
