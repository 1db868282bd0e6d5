"""The grammar: whatever the LLM would like to say, signals are whole, allowed and there when required."""

from __future__ import annotations

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from orchestrator.models.llm.grammar import SignalGrammar
from orchestrator.models.llm.signals import SignalTokens

COUNTS = {"image": 2, "video": 5, "audio": 3}
WORDS, END = 6, 0
IDS: dict[str, list[int]] = {}
for _name, _count in COUNTS.items():
    IDS[_name] = list(range(first := WORDS + sum(map(len, IDS.values())), first + _count))
VOCABULARY = WORDS + sum(COUNTS.values())
TOKENS = SignalTokens(IDS)
MODALITIES = st.lists(st.sampled_from(sorted(COUNTS)), unique=True)


def write(budget: int, allowed: list[str], required: list[str], seed: int, eager: float) -> list[int]:
    """A reply of an LLM with random wishes; `eager` is how much it wants signal tokens and the end."""
    grammar = SignalGrammar(TOKENS, allowed, required, [END], budget)
    wishes = torch.Generator().manual_seed(seed)
    ids: list[int] = []
    while len(ids) < budget:
        scores = torch.randn(1, VOCABULARY, generator=wishes)
        scores[:, WORDS:] += eager
        scores[:, END] += eager
        out = grammar(torch.tensor([ids], dtype=torch.long), scores.clone())
        ids.append(int(out.argmax()))
        assert out.max() > float("-inf")
        if ids[-1] == END:
            break
    return ids


@given(st.integers(1, 24), MODALITIES, MODALITIES, st.integers(0, 10**6), st.sampled_from([-3.0, 0.0, 3.0, 30.0]))
@settings(max_examples=200, deadline=None)
@example(4, [], ["video"], 0, 0.0)  # never enough room
@example(7, [], ["video", "image"], 0, -3.0)  # just enough room
@example(6, ["image"], ["video", "image"], 0, 3.0)  # room for one of two
def test_any_reply_is_well_formed(
    budget: int, allowed: list[str], required: list[str], seed: int, eager: float
) -> None:
    ids = write(budget, allowed, required, seed, eager)
    runs = TOKENS.runs(ids)
    inside = {i for _, start, stop in runs for i in range(start, stop)}
    assert [token for i, token in enumerate(ids) if token in TOKENS.where and i not in inside] == [], "broken signal"
    assert {modality for modality, _, _ in runs} <= {*allowed, *required}
    room = budget
    for modality in required:
        if COUNTS[modality] <= room:
            room -= COUNTS[modality]
            assert modality in {m for m, _, _ in runs}, "there was room for it"


def scores(**wishes: float) -> torch.Tensor:
    row = torch.zeros(1, VOCABULARY)
    for name, value in wishes.items():
        row[0, {"end": END, "word": 1, "image": IDS["image"][0], "video": IDS["video"][0]}[name]] = value
    return row


def next_token(ids: list[int], row: torch.Tensor, allowed: list[str], required: list[str], budget: int = 20) -> int:
    grammar = SignalGrammar(TOKENS, allowed, required, [END], budget)
    return int(grammar(torch.tensor([ids], dtype=torch.long), row).argmax())


@pytest.mark.parametrize(
    ("ids", "wishes", "allowed", "required", "budget", "wanted"),
    [
        ([], {"word": 1}, [], [], 20, 1),
        ([], {"video": 9, "word": 1}, [], [], 20, 1),  # not allowed
        ([], {"video": 9, "word": 1}, ["video"], [], 20, IDS["video"][0]),
        ([], {"video": 9, "word": 1}, ["video"], [], 4, 1),  # no room
        ([1, IDS["video"][0]], {"end": 99}, ["video"], [], 20, IDS["video"][1]),  # forced
        ([1, *IDS["video"]], {"end": 9}, ["video"], [], 20, END),
        ([1], {"end": 9}, [], ["image"], 20, IDS["image"][0]),  # where it would end
        ([1], {"word": 9}, [], ["image"], 20, 1),  # not yet
        ([1], {"word": 9}, [], ["image"], 3, IDS["image"][0]),  # the last chance
        ([1, *IDS["image"]], {"end": 9}, [], ["image", "image"], 20, END),  # asked for twice is asked for once
    ],
)
def test_rules(
    ids: list[int], wishes: dict[str, float], allowed: list[str], required: list[str], budget: int, wanted: int
) -> None:
    assert next_token(ids, scores(**wishes), allowed, required, budget) == wanted


def test_rows_of_a_batch_are_apart() -> None:
    grammar = SignalGrammar(TOKENS, ["video"], [], [END], 20)
    ids = torch.tensor([[1, 2], [1, IDS["video"][0]]])
    out = grammar(ids, scores(word=1).repeat(2, 1))
    assert out.argmax(1).tolist() == [1, IDS["video"][1]]
    assert torch.isinf(out[1]).sum() == VOCABULARY - 1


def test_scores_of_the_caller_are_left_alone() -> None:
    row = scores(video=9)
    before = row.clone()
    next_token([], row, [], ["image"])
    assert torch.equal(row, before)
