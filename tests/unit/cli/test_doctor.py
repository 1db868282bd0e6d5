from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli import doctor
from orchestrator.cli.main import main

Captured = pytest.CaptureFixture[str]


def test_doctor_runs_every_check(bundle: Any, capsys: Captured, tmp_path: Path) -> None:
    assert main(["doctor", "--json", "--out", str(tmp_path)]) == 0
    found = {check["name"]: check for check in json.loads(capsys.readouterr().out)["checks"]}
    assert {"orch", "libraries", "device", "threads", "codecs", "runs", "disk", "bundle tiny"} <= set(found)
    assert "libx264" in found["codecs"]["detail"]


def test_doctor_fails_on_a_damaged_bundle(bundle: Any, capsys: Captured) -> None:
    bundle.problems = ("llm: truncated",)
    assert main(["doctor"]) == 1
    assert "✗  bundle tiny  llm: truncated" in capsys.readouterr().out


def test_doctor_tells_of_a_broken_torchvision(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "torchvision.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')\n")
    monkeypatch.syspath_prepend(tmp_path)
    (finding,) = doctor.traps(tmp_path)
    assert (finding.name, finding.status) == ("torchvision", "fail")
    assert "operator torchvision::nms does not exist" in finding.detail
    assert "`pip uninstall torchvision`" in finding.detail


def test_doctor_outlives_a_check_that_breaks(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    def broken(out: Path) -> Any:
        raise OSError("no library")
        yield

    monkeypatch.setattr(doctor, "CHECKS", {"codecs": broken})
    assert main(["doctor"]) == 1
    assert "✗  codecs  OSError: no library" in capsys.readouterr().out


def test_doctor_on_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(dir: Path) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(doctor.tempfile, "TemporaryFile", refuse)
    finding = next(doctor.runs(tmp_path / "runs"))
    assert (finding.status, finding.name) == ("fail", "runs")
    assert "cannot be written: Permission denied; choose another with --out" in finding.detail
