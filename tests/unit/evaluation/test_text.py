from __future__ import annotations

import pytest

from orchestrator.evaluation.text import bleu, cider, exact, names, plain

REFERENCES = [
    ["a dog runs on the grass"],
    ["two cats sleep in a red box"],
    ["the boy holds a kite", "a boy and a kite"],
]


@pytest.mark.parametrize(
    ("text", "meant"),
    [("A dog.", "a dog"), (" A  dog,\na CAT! ", "a dog a cat"), ("the dog's hat", "the dog's hat"), ("...", "")],
)
def test_plain(text: str, meant: str) -> None:
    assert plain(text) == meant


@pytest.mark.parametrize(
    ("text", "words", "right"),
    [
        ("a red car", ("car",), True),
        ("a carrot", ("car",), False),
        ("A clapping hands.", ("clapping hands",), True),
        ("hands, clapping", ("clapping hands",), False),
        ("a bike", ("bicycle", "bike"), True),
        ("", ("dog",), False),
    ],
)
def test_names(text: str, words: tuple[str, ...], right: bool) -> None:
    assert names(text, words) is right


def test_exact() -> None:
    assert exact("A boy, and a kite.", REFERENCES[2])
    assert not exact("a boy", REFERENCES[2])


def test_the_references_themselves_are_best() -> None:
    said = [group[0] for group in REFERENCES]
    assert bleu(said, REFERENCES) == pytest.approx(100)
    assert cider(said[:2], REFERENCES[:2]) == pytest.approx(1000)  # its scale ends at 10, times 100
    worse = ["a dog", *said[1:]]
    assert bleu(worse, REFERENCES) < 100
    assert cider(worse, REFERENCES) < cider(said, REFERENCES)


def test_case_and_punctuation_do_not_count_in_cider() -> None:
    said = [group[0] for group in REFERENCES]
    assert cider([text.upper() + "!" for text in said], REFERENCES) == pytest.approx(cider(said, REFERENCES))


def test_nothing_said_is_worth_nothing() -> None:
    assert (bleu([""] * 3, REFERENCES), cider([""] * 3, REFERENCES)) == (0, 0)
