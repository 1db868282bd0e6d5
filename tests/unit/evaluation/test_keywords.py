"""The router by keywords, as it is published."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.evaluation.keywords import WORDS, route

PAGE = Path(__file__).parents[3] / "docs" / "evaluation.md"


@pytest.mark.parametrize(
    ("request_", "wanted"),
    [
        ("Draw a dog.", "image"),
        ("Film a dog, then play it.", "audio+video"),
        ("What is this?", "text"),
        ("A withdrawn player.", "text"),  # whole words only
        ("I want a Picture  of a cat", "image"),
    ],
)
def test_words_tell_the_route(request_: str, wanted: str) -> None:
    assert route(request_) == wanted


def test_the_table_is_the_published_one() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for modality, words in WORDS.items():
        assert f"| {modality} | {', '.join(words)} |" in page
