"""What the pocket language model knows of words before it learns: their vectors, words like them, their tokens."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from transformers import PreTrainedTokenizerFast

from recipes.pocket import dialogues, llm, llm_data, meanings, paraphrase, sources, tokens, vectors, wordings
from recipes.pocket.corpus import Shown, Turn
from recipes.pocket.paraphrase import Paraphrases
from recipes.pocket.vectors import Vectors
from recipes.pocket.world import Scene

SAID = {"pencil": 0.0, "crayon": 0.1, "chalk": 0.3, "uncle": 2.0, "nephew": 2.1, "guitar": 0.05}  # angles


@pytest.fixture
def known() -> Vectors:
    """Words on a circle: those with angles that differ little are alike."""
    angles = np.array([*SAID.values()])
    table = np.zeros((len(SAID), 100), np.float32)
    table[:, 0], table[:, 1] = np.cos(angles), np.sin(angles)
    return Vectors(tuple(SAID), table)


def test_words_are_near_by_their_angles(known: Vectors) -> None:
    (near,) = known.near(["pencil"], count=2, least=0.5)
    assert [word for word, _ in near] == ["guitar", "crayon"]
    assert near[1][1] == pytest.approx(np.cos(0.1), abs=1e-6)
    assert not known.of(["unheard"]).any()
    assert known.only(["unheard", "uncle"]).words == ("uncle",)


def test_vectors_are_read_once_from_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Words alone, without what all vectors have in common, of length one."""
    rows = {"the": [1.0, 0.0], "pen": [0.0, 1.0], "42": [5.0, 5.0], "ink": [0.9, 0.3]}
    kept = {"dimensions": 2, "words": [*rows], "vectors": {word: [*row, 1.0, 0] for word, row in rows.items()}}
    (tmp_path / f"{vectors.PACKAGE}.json").write_text(json.dumps(kept))
    monkeypatch.setattr(vectors, "fetch", lambda package, cache: tmp_path)
    vectors.vectors.cache_clear()
    found = vectors.vectors(tmp_path)
    assert found.words == ("the", "pen", "ink")
    assert np.allclose(np.linalg.norm(found.table, axis=1), 1)
    monkeypatch.setattr(vectors, "fetch", None)
    vectors.vectors.cache_clear()
    assert vectors.vectors(tmp_path).words == found.words
    vectors.vectors.cache_clear()


def test_requests_in_other_words_keep_what_they_are_about(known: Vectors, monkeypatch: pytest.MonkeyPatch) -> None:
    """A word of the grammar (guitar) neither goes nor comes, nor does a frequent one, or one of the answer."""
    counts = Counter({"nephew": 1, "guitar": 1})
    assert Paraphrases.of(known, counts).others == {}
    monkeypatch.setattr(paraphrase, "FREQUENT", 0)
    other = Paraphrases.of(known, Counter({"pencil": 1, "nephew": 1, "guitar": 1}))
    assert other.others == {"pencil": ["crayon", "chalk"], "nephew": ["uncle"]}
    shown = Shown("image", Scene("guitar"))
    rng = random.Random(0)
    found: set[str] = set()
    for _ in range(200):
        turn = other.turn(Turn((shown, "Nephew, your pencil: a guitar pencil-case"), "a guitar"), rng)
        assert turn.request[0] is shown
        found.add(str(turn.request[1]))
    assert "uncle, your pencil: a guitar pencil-case" in found
    assert all("guitar" in text and "your" in text for text in found)
    same = Turn(("my pencil",), "a pencil")
    assert {other.turn(same, rng).request for _ in range(50)} == {same.request}
    assert paraphrase.AS_IS.dialogue([same], rng) == [same]


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return tokens.make_tokenizer(["pear", "nesting"], ["zebra", "harmonica", "xylophone"])


def test_words_have_tokens_and_the_rest_is_spelled(tokenizer: PreTrainedTokenizerFast) -> None:
    text = "<|user|> a zebra, a zebu's xylophone<|assistant|>"
    ids = tokenizer(text, add_special_tokens=False).input_ids
    named = tokenizer.convert_ids_to_tokens(ids)
    assert {"\u0120zebra", "\u0120xylophone", "<|user|>", "<|assistant|>"} <= {*named}
    assert "\u0120zebu" not in named
    assert tokenizer.decode(ids).replace(" ", "") == text.replace(" ", "")
    last = tokenizer.convert_tokens_to_ids([t for m in tokens.SIGNALS for t in tokens.signal_tokens(m)])
    assert last == list(range(len(tokenizer) - len(last), len(tokenizer)))


def test_the_lexicon_is_what_is_said_then_what_is_like_it(known: Vectors) -> None:
    assert tokens.lexicon(known, Counter({"uncle": 3, "unheard": 9}))[:3] == ["unheard", "uncle", "nephew"]


def test_a_word_that_is_never_read_moves_with_those_it_is_like(
    tokenizer: PreTrainedTokenizerFast, known: Vectors
) -> None:
    """After `end` the table is plain, and the head's."""
    torch.manual_seed(0)
    words = Vectors(("zebra", "harmonica", "xylophone"), known.of(["pencil", "uncle", "crayon"]))
    model = llm.make_model(tokenizer)
    meanings.begin(model, tokenizer, words)
    reader = llm.Reader(model, len(tokenizer) - 60)
    optimizer = torch.optim.AdamW(meanings.groups(reader, model), lr=0.01)
    zebra, harmonica, xylophone = tokenizer.convert_tokens_to_ids([f"\u0120{word}" for word in words.words])
    for group in optimizer.param_groups:
        group["lr"] *= group.pop("scale", 1.0)
    for _ in range(30):
        table = model.get_input_embeddings().weight
        (F.mse_loss(table[zebra], torch.ones_like(table[zebra]))).backward()
        optimizer.step()
        optimizer.zero_grad()
    meanings.end(model)
    table = model.get_input_embeddings().weight
    assert model.lm_head.weight is table
    assert table[xylophone].mean() > 0.5 * table[zebra].mean() > 0.1
    assert table[harmonica].mean() < 0.1


def test_batches_are_in_other_words_and_learnt(tokenizer: PreTrainedTokenizerFast) -> None:
    """A loss of the parametrized model has a gradient for the map of the vectors."""
    said = Vectors(("please",), np.ones((1, 100), np.float32) / 10)
    data = llm_data.Dialogues(tokenizer, ["pear"], 4, Paraphrases({"please": ["kindly"]}))
    reader = llm.Reader(llm.make_model(tokenizer), data.first)
    meanings.begin(reader.llm, tokenizer, said)
    reader.loss(data.batch(0)).backward()
    gradient = reader.llm.get_input_embeddings().parametrizations.weight[0].map.weight.grad
    assert gradient is not None
    assert gradient.abs().max() > 0


def test_words_to_copy_are_those_of_emoji_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "emoji_names", lambda cache: {"Red Apple": "a", "man: 1": "b"})
    assert sources.vocabulary(tmp_path) == ["apple", "red"]


def test_a_sound_is_mostly_asked_of_what_has_one() -> None:
    rng = random.Random(0)
    turns = [dialogues.make_of(Scene("apple"), "it", rng, "image")[1] for _ in range(600)]
    silent = sum(turn.answer == wordings.SILENT for turn in turns)
    assert 0.02 < silent / len(turns) < 0.1
    assert not any("audio" in turn.makes for turn in turns)


def test_a_look_that_nobody_knows_is_passed_over() -> None:
    """It stands before the thing, with the article that it wants; the answer is as it was."""
    other, rng = Paraphrases({}, ("elegant",)), random.Random(0)
    turn = Turn(("Draw a small owl, then the owl again",), "a small owl", ("image",), Scene("owl", size="small"))
    found = [other.turn(turn, rng) for _ in range(200)]
    assert {t.request[0] for t in found} == {turn.request[0], "Draw a small elegant owl, then the owl again"}
    assert {t.answer for t in found} == {turn.answer}
    bare = Turn(("A bus!",), "a bus", ("image",), Scene("bus"))
    assert {other.turn(bare, rng).request[0] for _ in range(50)} == {"A bus!", "an elegant bus!"}
    copied = Turn(("Draw an owl",), "an owl", ("image",))
    assert {other.turn(copied, rng).request for _ in range(50)} == {copied.request}
