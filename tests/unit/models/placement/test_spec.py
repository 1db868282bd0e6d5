"""What may be asked for parts."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.errors import PlacementError
from orchestrator.models.placement.spec import PlacementSpec, asked, merged, read_words


@pytest.mark.parametrize(
    ("words", "fields"),
    [
        ("cpu", {"device": "cpu"}),
        ("cuda:1,bfloat16", {"device": "cuda:1", "dtype": "bfloat16"}),
        ("offload", {"offload": "model"}),
        ("sequential, float16", {"offload": "sequential", "dtype": "float16"}),
        ("resident,auto", {"offload": "none", "device": "auto"}),
    ],
)
def test_words(words: str, fields: dict[str, str]) -> None:
    assert read_words("llm", words) == fields
    assert asked({"llm": fields}) == {"llm": PlacementSpec(**fields)}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("bflot16", r"llm=bflot16: unknown word 'bflot16'\. Did you mean 'bfloat16'\?"),
        ("cuda:x", r"unknown word 'cuda:x'\. Did you mean 'cuda:0'\?"),
        ("", r"unknown word ''"),
        ("cpu,cuda:0", r"llm=cpu,cuda:0: two words for its device; one is allowed"),
        ("offload,sequential", r"two words for its offload"),
    ],
)
def test_words_that_are_none(words: str, message: str) -> None:
    with pytest.raises(PlacementError, match=message):
        read_words("llm", words)


def test_all_problems_at_once() -> None:
    given: dict[str, Any] = {"llm": {"device": "gpu", "dtype": "int8"}, "*": {"place": "cpu"}}
    with pytest.raises(PlacementError) as caught:
        asked(given)
    assert str(caught.value).splitlines() == [
        "placement of llm: device: no device is named 'gpu'; write auto, cpu, cuda or cuda:N",
        "placement of llm: dtype: Input should be 'auto', 'float32', 'float16' or 'bfloat16'",
        "placement of *: place: Extra inputs are not permitted",
    ]


def test_the_run_stands_over_the_bundle_field_by_field() -> None:
    bundle = asked({"*": {"dtype": "float16"}, "llm": {"device": "cuda:1", "dtype": "bfloat16"}})
    run = asked({"*": {"device": "cpu"}})
    assert merged("llm", [bundle, run]) == PlacementSpec(device="cpu", dtype="bfloat16")
    assert merged("encoders.image", [bundle, run]) == PlacementSpec(device="cpu", dtype="float16")
    assert merged("llm", [bundle, run, asked({"llm": {"device": "auto"}})]).device == "auto"
