from __future__ import annotations

import json

import pytest

from orchestrator.cli.main import main

LINE = "image -> text"
Captured = pytest.CaptureFixture[str]


def test_check_reports_every_problem_of_every_file(flow: None, capsys: Captured) -> None:
    assert main(["check", "bad.yaml", LINE, "other.yaml"]) == 2
    assert capsys.readouterr().out.splitlines() == [
        "bad.yaml:3:5: unknown stage 'x'",
        "bad.yaml:9: no input",
        "image -> text: sound",
        "other.yaml: unknown bundle 'b'",
    ]


def test_check_sound(flow: None, capsys: Captured) -> None:
    assert main(["check", LINE]) == 0
    assert capsys.readouterr().out == "image -> text: sound\n"


def test_check_json(flow: None, capsys: Captured) -> None:
    assert main(["check", "bad.yaml", LINE, "--json"]) == 2
    shown = json.loads(capsys.readouterr().out)
    assert shown["flows"][LINE] == []
    assert shown["flows"]["bad.yaml"][0] == {
        "message": "unknown stage 'x'", "source": "bad.yaml", "line": 3, "column": 5,
    }  # fmt: skip


def test_check_schema(capsys: Captured) -> None:
    assert main(["check", "--schema"]) == 0
    assert "properties" in json.loads(capsys.readouterr().out)


def test_check_nothing(capsys: Captured) -> None:
    assert main(["check"]) == 2
    assert "nothing to check: give flow files" in capsys.readouterr().err
