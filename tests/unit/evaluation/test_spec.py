from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.errors import RecipeError
from orchestrator.evaluation import Evaluation

GOOD = """\
evaluation: quick
bundle: pocket
seeds: [3, 4]
limits: {broken: 2}
measures:
  captions:
    metric: captions
    data: [{reader: manifest, path: a.jsonl}]
  films:
    metric: media
    judge: judge
    bridges: [signal]
    data: [{reader: manifest, path: "b-{seed}.jsonl"}]
"""


def load(folder: Path, text: str) -> Evaluation:
    (folder / "eval.yaml").write_text(text)
    return Evaluation.load(folder / "eval.yaml")


def test_an_evaluation(tmp_path: Path) -> None:
    made = load(tmp_path, GOOD)
    assert (made.seeds, made.batch, made.limits.broken, made.folder) == ((3, 4), 8, 2, tmp_path)
    films = made.measures["films"]
    assert (films.metric, films.judge, films.bridges) == ("media", ("judge",), ("signal",))
    assert made.measures["captions"].data[0].path == "a.jsonl"


def test_three_seeds_and_both_bridges_by_default(tmp_path: Path) -> None:
    made = load(tmp_path, GOOD.replace("seeds: [3, 4]\n", "").replace("    bridges: [signal]\n", ""))
    assert made.seeds == (0, 1, 2)
    assert made.measures["films"].bridges == ("caption", "signal")


WRONG = [
    ("metric: captions", "metric: captoins", "7:5: measure 'captions': unknown metric 'captoins'. Did you mean 'cap"),
    (
        "    metric: captions\n",
        "",
        "6:3: measure 'captions': a measure is a mapping with metric and data; metrics: cap",
    ),
    ("judge: judge", "juge: judge", "11:5: measure 'films': unknown key 'juge'. Did you mean 'judge'?"),
    ("judge: judge", "juge: judge", "9:3: measure 'films': 'judge' is missing"),
    ("[signal]", "[signals]", "12:15: measure 'films': 'bridges.0' should be 'caption' or 'signal', got 'signals'"),
    ("path: a.jsonl", "pth: a.jsonl", "measure 'captions': 'data.0.path' is missing"),
    ("reader: manifest, path: a", "reader: manifst, path: a", "unknown reader 'manifst'. Did you mean 'manifest'?"),
    ("seeds: [3, 4]", "seeds: [3, 3]", "3:1: 'seeds' should be different numbers from 0 on, not [3, 3]"),
    ("bundle: pocket", "bundel: pocket", "2:1: unknown key 'bundel'. Did you mean 'bundle'?"),
    ("{broken: 2}", "{broken: -1}", "4:10: 'limits.broken' should be greater than or equal to 0, got -1"),
]


@pytest.mark.parametrize(("old", "new", "message"), WRONG, ids=[new.strip() or "no metric" for _, new, _ in WRONG])
def test_wrong(old: str, new: str, message: str, tmp_path: Path) -> None:
    assert old in GOOD
    with pytest.raises(RecipeError) as raised:
        load(tmp_path, GOOD.replace(old, new, 1))
    assert message in str(raised.value)


def test_all_problems_at_once(tmp_path: Path) -> None:
    text = GOOD
    for old, new, _ in (WRONG[0], WRONG[2], WRONG[7]):
        text = text.replace(old, new, 1)
    with pytest.raises(RecipeError) as raised:
        load(tmp_path, text)
    assert [problem.line for problem in raised.value.problems] == [3, 7, 9, 11]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("measures: [", "while parsing|expected|flow"),
        ("- 1\n", "a file of measures is a mapping with evaluation, bundle, seeds and measures"),
        ("evaluation: x\nmeasures: {}\n", "'measures' Dictionary should have at least 1 item"),
        ("evaluation: x\nmeasures: {a: 1}\n", "measure 'a': a measure is a mapping with metric and data"),
    ],
)
def test_no_evaluation(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=message):
        load(tmp_path, text)


def test_a_missing_file_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "eval.yaml").write_text(GOOD)
    with pytest.raises(RecipeError, match=r"cannot read the evaluation: No such file or directory. Did you mean 'eval"):
        Evaluation.load(tmp_path / "evl.yaml")
