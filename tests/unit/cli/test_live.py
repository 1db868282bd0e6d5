from __future__ import annotations

import io
import threading
from pathlib import Path

import pytest
from rich.console import Console

from orchestrator.cli.live import showing
from orchestrator.engine import events as ev


def test_a_log_has_one_line_an_event(a_run: list[ev.Event]) -> None:
    out = io.StringIO()
    with showing(Console(file=out, width=40)) as on_event:
        for event in a_run:
            on_event(event)
    lines = out.getvalue().splitlines()
    assert lines[:3] == [
        "[   0.00] run r1: film-this, bundle pocket, seed 7",
        "[   0.10] see (encode) started on cpu",
        "[   0.10] see (encode) loads encoders.image",
    ]
    assert "[   0.60] align (project) cached  prompts: Prompts[image] 4×256" in lines
    assert "[   1.90] sound (generate) skipped  'sound_bridge' was skipped" in lines
    assert '[   1.90] output caption (text)  "A red fox runs over a blue ground."  runs/r1/caption.txt' in lines
    assert lines[-1] == "[   9.20] done in 9.20 s"
    assert "\033" not in out.getvalue()


def test_quiet_shows_nothing(a_run: list[ev.Event]) -> None:
    out = io.StringIO()
    with showing(Console(file=out, force_terminal=True), quiet=True) as on_event:
        for event in a_run:
            on_event(event)
    assert out.getvalue() == ""


def test_a_terminal_keeps_the_last_picture(a_run: list[ev.Event]) -> None:
    out = io.StringIO()
    with showing(Console(file=out, force_terminal=True, width=100, height=20, color_system="truecolor")) as on_event:
        feeders = [threading.Thread(target=on_event, args=(event,)) for event in a_run]
        for thread in feeders:
            thread.start()
            thread.join()
    last = out.getvalue()[out.getvalue().rindex("film-this") :]
    assert "Describe the picture" in last  # all of it, though higher than the terminal
    assert "runs/r1/video.mp4" in last


def test_what_never_began_leaves_nothing(tmp_path: Path) -> None:
    out, svg = io.StringIO(), tmp_path / "trace.svg"

    def fail() -> None:
        with showing(Console(file=out, force_terminal=True, width=80), svg=svg):
            raise ValueError("no input")

    with pytest.raises(ValueError, match="no input"):
        fail()
    assert "\033[2K" in out.getvalue()  # the line was erased
    assert not svg.exists()
