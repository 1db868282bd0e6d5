from __future__ import annotations

import argparse
import json
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.cli import main as cli
from orchestrator.errors import BundleError, Cancelled, FlowError, NodeError, OutOfMemory, Problem


@pytest.mark.parametrize("words", [[], ["--help"], ["--version"], *([name, "--help"] for name in cli.COMMANDS)])
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    heavy = ("torch", "transformers", "diffusers", "langgraph", "pydantic", "rich", "numpy", "yaml", "httpx")
    code = (
        "import sys\nfrom orchestrator.cli.main import main\n"
        f"try:\n    code = main({words})\nexcept SystemExit as end:\n    code = end.code or 0\n"
        f"print('HEAVY', [m for m in {heavy} if m in sys.modules])\nsys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "HEAVY []"


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 0
    shown = capsys.readouterr().out
    assert all(f"\n  {name} " in shown for name in cli.COMMANDS)


def test_an_unknown_command_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli.main(["rnu", "x"])
    assert "unknown command 'rnu'. Did you mean 'run'?" in capsys.readouterr().err


def failing(error: BaseException) -> Any:
    def main(args: argparse.Namespace) -> int:
        raise error

    return SimpleNamespace(main=main, arguments=lambda parser: None, __doc__="")


ERRORS = [
    (FlowError([Problem("no", "a.yaml", 3, 5), Problem("two")]), 2, "error: a.yaml:3:5: no\ntwo\n"),
    (BundleError("no bundle"), 2, "error: no bundle\n"),
    (NodeError("film", "generate", "NaN"), 1, "error: node 'film' (generate): NaN\n"),
    (OutOfMemory("8 GB"), 1, "error: 8 GB\n"),
    (Cancelled("run r1 was stopped"), 130, "interrupted: run r1 was stopped\n"),
    (Cancelled(), 130, "interrupted\n"),
    (KeyboardInterrupt(), 130, "interrupted\n"),
    (ZeroDivisionError("by 0"), 1, "error: unexpected ZeroDivisionError: by 0\nThis should not happen; ORCH_DEBUG=1 "
     "before the command shows the traceback.\n"),
]  # fmt: skip


@pytest.mark.parametrize(("error", "code", "message"), ERRORS, ids=lambda value: type(value).__name__)
def test_errors_become_messages_and_codes(
    error: BaseException, code: int, message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ORCH_DEBUG", raising=False)
    assert cli.guarded(failing(error), argparse.Namespace()) == code
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", message)


def test_debug_shows_the_traceback(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCH_DEBUG", "1")
    assert cli.guarded(failing(ZeroDivisionError("by 0")), argparse.Namespace()) == 1
    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert "ORCH_DEBUG" not in shown


def test_json_is_printed_even_when_nothing_ran(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.guarded(failing(BundleError("no bundle")), argparse.Namespace(json=True)) == 2
    assert json.loads(capsys.readouterr().out) == {
        "run": None, "status": "failed", "outputs": {}, "nodes": [], "error": "no bundle",
    }  # fmt: skip


def test_json_tells_what_a_failed_run_had_finished(capsys: pytest.CaptureFixture[str]) -> None:
    error = NodeError("film", "generate", "NaN")
    error.result = SimpleNamespace(as_dict=lambda: {"run": "r1", "status": "failed"})  # type: ignore[attr-defined]
    assert cli.guarded(failing(error), argparse.Namespace(json=True)) == 1
    assert json.loads(capsys.readouterr().out) == {"run": "r1", "status": "failed", "error": str(error)}


def test_a_reader_that_goes_away_is_no_crash() -> None:
    code = "import sys; from orchestrator.cli.main import main; sys.exit(main(['stages']))"
    done = subprocess.run(
        ["bash", "-c", f'{sys.executable} -c "{code}" | true; echo ${{PIPESTATUS[0]}}'],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
