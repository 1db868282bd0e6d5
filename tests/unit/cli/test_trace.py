from __future__ import annotations

from collections.abc import Callable

import pytest

from orchestrator.cli.trace import Trace, render_trace
from orchestrator.engine import events as ev

Draw = Callable[..., str]


def row(shown: str, name: str) -> str:
    """The line of a node; the inputs stand above it."""
    return [line for line in shown.splitlines() if f" {name} " in line][-1]


def test_a_finished_run(a_run: list[ev.Event], drawn: Draw) -> None:
    shown = drawn(render_trace(a_run))
    assert shown.splitlines()[0].rstrip() == "◆ film-this  pocket · seed 7"
    assert row(shown, "see").split() == ["✓", "see", "encode", "0.50", "s", "cpu", "Features[image]", "65×256"]
    assert row(shown, "align").split()[-3:] == ["cached", "Prompts[image]", "4×256"]
    assert row(shown, "split").endswith("text: Media[text] 34 chars, video: Signals[video] 1")
    assert row(shown, "sound_bridge").split()[:5] == ["│", "–", "sound_bridge", "output_project", "skipped:"]
    assert row(shown, "sound_bridge").rstrip().endswith("skipped: the reply of 'think' has no audio signal")
    assert shown.count("A red fox runs over a blue ground.") == 2  # where it was made, and among the outputs
    assert "→  video    runs/r1/video.mp4" in shown
    assert shown.splitlines()[-1].rstrip() == "done in 9.20 s  5 ran, 1 cached, 2 skipped  runs/r1"


def test_columns_line_up(a_run: list[ev.Event], drawn: Draw) -> None:
    shown = drawn(render_trace(a_run))
    assert len({row(shown, name).index(stage) for name, stage in a_run[0].nodes}) == 1  # type: ignore[attr-defined]
    assert len({row(shown, name).index(" s  cpu") for name in ("see", "align", "think", "split", "film")}) == 1


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
def test_it_keeps_to_the_width(a_run: list[ev.Event], width: int, drawn: Draw) -> None:
    for count in range(len(a_run) + 1):
        shown = drawn(render_trace(a_run[:count]), width=width)
        assert max(map(len, shown.splitlines())) <= width


@pytest.mark.parametrize("height", [3, 12, 24, 60])
def test_while_it_runs_it_keeps_to_the_height(a_run: list[ev.Event], height: int, drawn: Draw) -> None:
    for count in range(1, len(a_run)):
        shown = drawn(render_trace(a_run[:count]), height=height)
        assert len(shown.splitlines()) < height


def test_what_is_running_keeps_its_preview_longest(a_run: list[ev.Event], drawn: Draw) -> None:
    until_steps = a_run[: next(i for i, e in enumerate(a_run) if getattr(e, "node", "") == "film") + 2]
    shown = drawn(render_trace(until_steps), height=26)
    assert "5/12 steps" in shown
    assert shown.count("▀▀▀▀") > 0
    assert "Describe the picture" not in shown  # the inputs made room


def test_text_as_it_is_written(a_run: list[ev.Event], drawn: Draw) -> None:
    shown = drawn(render_trace(a_run[:9]))
    assert "A red fox runs over a blue groun▌" in shown
    assert "8/24 tokens" in shown
    assert row(shown, "think").split()[3:5] == ["0.80", "s"]  # up to the last event
    assert row(shown, "split").split() == ["○", "split", "decode"]


def test_a_node_that_loads_says_what(a_run: list[ev.Event], drawn: Draw) -> None:
    assert row(drawn(render_trace(a_run[:3])), "see").endswith("loading encoders.image")


def test_before_the_run_begins(drawn: Draw) -> None:
    assert drawn(render_trace([])) == "⠋ starting\n"


def test_a_failed_node_tells_why(a_run: list[ev.Event], drawn: Draw) -> None:
    failed = ev.NodeFinished("r1", 0.9, "think", "reason", "failed", 0.2, "cpu", {}, {}, "[out] of memory")
    shown = drawn(render_trace([*a_run[:6], failed, ev.RunFinished("r1", 1.0, "failed", 1.0, "no")]))
    assert row(shown, "think").startswith("✗")
    assert "[out] of memory" in shown
    assert shown.splitlines()[-1].startswith("failed in 1.00 s  5 waiting, 1 ran, 1 cached, 1 failed")


def test_an_interrupted_run_stops_what_was_running(a_run: list[ev.Event], drawn: Draw) -> None:
    shown = drawn(render_trace([*a_run[:9], ev.RunFinished("r1", 2.0, "interrupted", 2.0)]))
    assert row(shown, "think").split() == ["■", "think", "reason", "1.30", "s", "cpu"]
    assert "interrupted in 2.00 s" in shown


def test_names_that_tell_the_stage_need_no_column(drawn: Draw) -> None:
    nodes = (("encode", "encode"), ("reason_2", "reason"))
    shown = drawn(render_trace([ev.RunStarted("r", 0.0, "f", "b", 0, {}, nodes, (), None)]))
    assert [line.split() for line in shown.splitlines()[1:]] == [["○", "encode"], ["○", "reason_2"]]


def test_the_clock_runs_between_events(a_run: list[ev.Event], drawn: Draw) -> None:
    now = 100.0
    trace = Trace(clock=lambda: now)
    for event in a_run[:6]:
        trace.apply(event)
    now = 103.0
    assert row(drawn(trace), "think").split()[3:5] == ["2.30", "s"]


def test_nodes_of_branches_stand_before_the_node_that_they_are_of(drawn: Draw) -> None:
    def done(name: str, stage: str, time: float) -> ev.NodeFinished:
        return ev.NodeFinished("r", time, name, stage, "ran", 0.1, "cpu", {}, {})

    events: list[ev.Event] = [
        ev.RunStarted(
            "r", 0.0, "acts", "pocket", 0, {}, (("think", "reason"), ("act", "route")), (("think", "act"),), None
        ),
        done("think", "reason", 1.0),
        ev.CallStarted("r", 1.0, "act.1", "route", "image", "{}", 0),
        ev.NodeStarted("r", 1.0, "act.1.generate", "generate", "cpu"),
        done("act.1.generate", "generate", 2.0),
        done("act.2.call", "call", 2.0),
        done("act", "route", 3.0),
    ]
    for count in range(1, len(events) + 1):
        drawn(render_trace(events[:count]))
    shown = drawn(render_trace(events)).splitlines()
    names = [line.split("✓ ")[1].split()[0] for line in shown if "✓" in line]
    assert names == ["think", "act.1.generate", "act.2.call", "act"]
