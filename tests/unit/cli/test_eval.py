from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from orchestrator import evaluation
from orchestrator.cli import eval as command
from orchestrator.cli.main import main
from orchestrator.errors import Problem, RecipeError
from orchestrator.evaluation import Advanced, Evaluated, Measured
from orchestrator.evaluation.metrics import Score
from orchestrator.evaluation.report import number

Captured = pytest.CaptureFixture[str]
SHOWN = number("shows the [concept]", "video", "signal", {0: Score(0.9, 50), 1: Score(1.0, 50)})


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """`evaluate` without models: what it was called with."""
    made: list[dict[str, Any]] = []

    def evaluate(file: str, **options: Any) -> Evaluated:
        made.append({"file": file, **options})
        if file == "bad.yaml":
            raise RecipeError([Problem("unknown metric 'x'", "bad.yaml", 3, 5), Problem("no data", "bad.yaml", 7)])
        for done in (0, 50, 100):
            options["on_progress"](Advanced("films", done, 100))
        films = Measured("films", "media", "", (SHOWN,), {"broken": 2}, ())
        return Evaluated("quick", "pocket", "cpu", (0, 1), options["limit"], "0.1.0", 2.0, (films,))

    monkeypatch.setattr(evaluation, "evaluate", evaluate)
    return made


def test_a_table(calls: list[dict[str, Any]], capsys: Captured) -> None:
    assert main(["eval", "eval.yaml", "--bundle", "mine", "--limit", "50"]) == 0
    shown = capsys.readouterr()
    words = ("quick: bundle pocket on cpu, seeds 0, 1, at most 50 samples each", "shows the", "95.0 ± 7.1 %", "100")
    assert all(word in shown.out for word in words)
    assert "films: 2 broken samples were left out" in shown.out
    assert shown.err == "films: 0 of 100\nfilms: 100 of 100\n"
    assert (calls[0]["file"], calls[0]["bundle"], calls[0]["limit"], calls[0]["device"]) == (
        "eval.yaml",
        "mine",
        50,
        "auto",
    )


def test_json_and_quiet(calls: list[dict[str, Any]], capsys: Captured, tmp_path: Path) -> None:
    assert main(["eval", "eval.yaml", "--json", "--quiet", "--out", str(tmp_path / "n.json")]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    told = json.loads(shown.out)
    assert told == json.loads((tmp_path / "n.json").read_text())
    assert told["measures"][0]["numbers"][0]["mean"] == pytest.approx(0.95)


def test_all_problems(calls: list[dict[str, Any]], capsys: Captured) -> None:
    assert main(["eval", "bad.yaml"]) == 2
    assert capsys.readouterr().err == "error: bad.yaml:3:5: unknown metric 'x'\nbad.yaml:7: no data\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--limit", "0"], "error: --limit 0: at least 1 sample has to be measured\n"),
        (
            ["--out", "no/where/n.json"],
            "error: --out no/where/n.json: the folder 'no/where' does not exist: make it first\n",
        ),
    ],
)
def test_wrong_calls(words: list[str], message: str, calls: list[dict[str, Any]], capsys: Captured) -> None:
    assert main(["eval", "eval.yaml", *words]) == 2
    assert capsys.readouterr().err == message
    assert calls == []


def test_bars_in_a_terminal() -> None:
    console = Console(record=True, width=100, force_terminal=True)
    with command.showing(console, quiet=False) as show:
        for done in (0, 100):
            show(Advanced("films [plain]", done, 100))
    text = console.export_text()
    assert "films [plain]" in text
    assert "100/100" in text
