from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestrator.errors import OutputError
from orchestrator.evaluation.metrics import Score
from orchestrator.evaluation.report import DIFFERENCE, Evaluated, Measured, Number, difference, number

SIGNAL = number("shows the concept", "video", "signal", {0: Score(0.9, 50), 1: Score(1.0, 50)})
CAPTION = number("shows the concept", "video", "caption", {0: Score(0.8, 50), 1: Score(1.0, 50)})


def test_a_number_is_mean_and_deviation_over_seeds() -> None:
    assert (SIGNAL.mean, SIGNAL.of, SIGNAL.count) == (pytest.approx(0.95), 50, 100)
    assert SIGNAL.spread == pytest.approx(0.1 / 2**0.5)
    assert number("x", "image", "", {3: Score(0.5, 4)}).spread is None


def test_a_difference_is_taken_seed_by_seed() -> None:
    found = difference(SIGNAL, CAPTION)
    assert (found.way, found.mean, found.count) == (DIFFERENCE, pytest.approx(0.05), 100)
    assert found.seeds == {0: pytest.approx(0.1), 1: 0.0}


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (SIGNAL, "95.0 ± 7.1 %"),
        (difference(SIGNAL, CAPTION), "+5.0 ± 7.1 points"),
        (difference(CAPTION, SIGNAL), "-5.0 ± 7.1 points"),
        (number("exact match", "image", "", {0: Score(0.5, 4)}), "50.0 %"),
        (number("CIDEr", "image", "", {0: Score(113.94, 4)}), "113.9"),
    ],
)
def test_numbers_as_text(shown: Number, text: str) -> None:
    assert str(shown) == text


def evaluated() -> Evaluated:
    case = {"where": "a:1", "seed": 0, "modality": "video", "way": "signal", "seen": {"concept": "dog"}}
    films = Measured("films", "media", "", (SIGNAL, CAPTION), {"broken": 0}, (case,))
    return Evaluated("quick", "pocket", "cpu", (0, 1), None, "0.1.0", 1.25, (films,))


def test_everything_is_written_as_json(tmp_path: Path) -> None:
    found = evaluated()
    found.write(tmp_path / "numbers.json")
    read = json.loads((tmp_path / "numbers.json").read_text())
    assert read["measures"][0]["numbers"][0]["seeds"] == {"0": 0.9, "1": 1.0}
    assert read["measures"][0]["cases"][0]["seen"] == {"concept": "dog"}
    assert (read["evaluation"], read["seeds"], read["seconds"]) == ("quick", [0, 1], 1.2)


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"numbers.json: cannot be written: No such file or directory"):
        evaluated().write(tmp_path / "no" / "numbers.json")


def test_by_name() -> None:
    assert [found.way for found in evaluated()["films"]["shows the concept"]] == ["signal", "caption"]
    assert evaluated().rows()[0] == ("films", "video", "signal", "shows the concept", "95.0 ± 7.1 %", "100")
