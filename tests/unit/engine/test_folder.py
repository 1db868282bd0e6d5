"""The run folder and the event log."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.engine.flow import Flow
from orchestrator.flow.yaml_io import load
from tests.unit.engine.conftest import Make, echo


@pytest.fixture
def flow(make: Make) -> Flow:
    nodes = {
        "w": {"stage": "words", "text": "$text"},
        "a": echo("$text", steps=3),
        "s": {"stage": "sieve", "text": "$a"},
    }
    return make(nodes, {"words": "$w", "said": "$s.match", "other": "$s.rest"})


def test_files(flow: Flow, tmp_path: Path) -> None:
    result = flow.run(text="yes no", out=tmp_path / "deep" / "runs")
    folder = tmp_path / "deep" / "runs" / result.run
    assert result.folder == folder
    names = {p.name for p in folder.iterdir()}
    assert names == {"events.jsonl", "flow.yaml", "run.json", "words.txt", "words-2.txt", "said.txt"}
    assert [(folder / name).read_text() for name in ("words.txt", "words-2.txt", "said.txt")] == ["yes", "no", "yes no"]
    assert result.paths == {name: folder / f"{name}.txt" for name in ("words", "words-2", "said")}
    assert load(folder / "flow.yaml") == flow.spec


def test_run_json(flow: Flow, tmp_path: Path) -> None:
    result = flow.run(text="yes no", out=tmp_path, seed=5)
    told = json.loads((tmp_path / result.run / "run.json").read_text())
    assert told == result.as_dict()
    assert {k: told[k] for k in ("run", "status", "seed")} == {"run": result.run, "status": "done", "seed": 5}
    assert told["outputs"]["said"] == {
        "modality": "text",
        "text": "yes no",
        "path": str(tmp_path / result.run / "said.txt"),
        "meta": {"chars": 6},
    }
    (more,) = told["outputs"]["words"]["more"]
    assert more == {
        "modality": "text",
        "text": "no",
        "path": str(tmp_path / result.run / "words-2.txt"),
        "meta": {"chars": 2},
    }
    assert [(n["name"], n["status"], n["batch"]) for n in told["nodes"]] == [
        ("w", "ran", 1),
        ("a", "ran", 1),
        ("s", "ran", 1),
    ]


def test_run_json_says_running_meanwhile(flow: Flow, tmp_path: Path) -> None:
    seen: list[str] = []

    def on_event(event: Any) -> None:
        if event.kind == "node_started":
            (folder,) = tmp_path.iterdir()
            seen.append(json.loads((folder / "run.json").read_text())["status"])

    flow.run(text="x", out=tmp_path, on_event=on_event)
    assert set(seen) == {"running"}


def test_events_tell_the_run_in_order(flow: Flow, tmp_path: Path) -> None:
    told: list[Any] = []
    result = flow.run(text="no", out=tmp_path, on_event=told.append)
    assert told[0].kind == "run_started"
    assert told[0].nodes == (("w", "words"), ("a", "echo"), ("s", "sieve"))
    assert set(told[0].edges) == {("text", "w"), ("text", "a"), ("a", "s")}
    assert (told[0].flow, told[0].bundle, told[0].folder) == ("stub", "bare", str(tmp_path / result.run))
    assert (told[-1].kind, told[-1].status) == ("run_finished", "done")
    assert {event.run for event in told} == {result.run}
    times = [event.time for event in told]
    assert times == sorted(times)
    for node in ("w", "a", "s"):
        kinds = [event.kind for event in told if getattr(event, "node", None) == node]
        steps = ["node_progress"] * 3 if node == "a" else []
        assert kinds == ["node_started", *steps, "node_finished"]


def test_log_holds_all_events_but_progress(flow: Flow, tmp_path: Path) -> None:
    told: list[Any] = []
    result = flow.run(text="ünï", out=tmp_path, on_event=told.append)
    lines = (tmp_path / result.run / "events.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [
        json.loads(json.dumps(event.as_dict())) for event in told if event.kind != "node_progress"
    ]
    started = json.loads(lines[0])
    assert started["inputs"] == {"text": {"modality": "text", "meta": {"chars": 3}}}


def test_runs_have_folders_of_their_own(flow: Flow, tmp_path: Path) -> None:
    runs = {flow.run(text="x", out=tmp_path).run for _ in range(3)}
    assert {p.name for p in tmp_path.iterdir()} == runs
