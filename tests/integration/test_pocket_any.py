"""The any-to-any bundle that ships, on a small fixed sample of the numbers on its card, with a margin.

The sample is `python -m recipes.pocket.evaluate --fixed tests/media`: Twemoji's drawings, and notes of the generator's
own soundfont at pitches that no training has.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from orchestrator.evaluation import Evaluated, Evaluation, evaluate
from orchestrator.models.bundle import Bundle
from recipes.pocket.bundle import NUMBERS, card
from recipes.pocket.evaluate import FILE

MEDIA = Path(__file__).parents[1] / "media"
JUDGES = FILE.parent / "judges"
MODALITIES = ("image", "audio", "video")


def measured(**measure: Any) -> Evaluated:
    return evaluate(Evaluation.model_validate({"evaluation": "fixed", "seeds": [0], "measures": {"fixed": measure}}))


def data(name: str) -> list[dict[str, str]]:
    return [{"reader": "manifest", "path": str(MEDIA / name)}]


def test_what_is_shown_is_named() -> None:
    found = measured(metric="captions", data=data("seen.jsonl"))["fixed"]
    named = {number.modality: number for number in found["names the concept"]}
    assert {modality: number.of for modality, number in named.items()} == {"image": 8, "audio": 6, "video": 4}
    for modality, least in {"image": 7 / 8, "audio": 5 / 6, "video": 3 / 4}.items():
        assert named[modality].mean >= least, [case for case in found.cases if not case["names"]["concept"]]
    assert [number.mean for number in found["names the motion"]] >= [3 / 4]


def test_what_is_asked_for_is_made() -> None:
    judges = [str(JUDGES / name) for name in ("motions", "pictures", "sounds")]
    found = measured(metric="media", judge=judges, data=data("made.jsonl"))["fixed"]
    shown = {(number.modality, number.way): number.mean for number in found["shows the concept"]}
    for modality, least in {"image": 7 / 8, "audio": 5 / 6, "video": 3 / 4}.items():
        assert min(shown[modality, "signal"], shown[modality, "caption"]) >= least, found.cases
    assert {number.mean for number in found["one signal"]} == {1.0}


def test_instructions_get_the_media_that_they_ask_for() -> None:
    found = measured(metric="routes", data=data("asked.jsonl"))["fixed"]
    right = {number.way: number.mean for number in found["right route"] if number.modality == "all"}
    assert right[""] >= 0.9, found.cases


def test_card_and_readme_have_the_numbers_that_were_measured() -> None:
    bundle = Bundle.open("pocket")
    assert (bundle.root / "README.md").read_text() == card(bundle), "run python -m recipes.pocket.bundle"
    assert NUMBERS.read_text().strip() in (MEDIA.parents[1] / "README.md").read_text()
