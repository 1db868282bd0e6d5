"""Runs that fail or are stopped: named errors, and a folder that tells what was finished."""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from orchestrator.engine.flow import Flow
from orchestrator.errors import Cancelled, InputError, NodeError, OrchError, OutOfMemory, OutputError
from tests import stubs
from tests.unit.engine.conftest import Make, echo


def raising(error: BaseException) -> Any:
    def hook(_: Any) -> None:
        raise error

    return hook


@pytest.fixture
def flow(make: Make) -> Flow:
    """`good` is made, then `bad` calls a hook, and `after` waits for it."""
    nodes = {"good": echo("$text", name="good"), "bad": echo("$good", hook="bad"), "after": echo("$bad", name="after")}
    return make(nodes, {"first": "$good", "last": "$after"})


def run_json(out: Path) -> dict[str, Any]:
    (folder,) = out.iterdir()
    found: dict[str, Any] = json.loads((folder / "run.json").read_text())
    return found


@pytest.mark.parametrize(
    ("raised", "kind", "message"),
    [
        (ValueError("bad luck"), NodeError, r"node 'bad' \(echo\): bad luck"),
        (ValueError(), NodeError, r"node 'bad' \(echo\): ValueError"),
        (InputError("too long"), InputError, r"node 'bad': too long"),
        (OutOfMemory("no room"), OutOfMemory, r"node 'bad': no room"),
    ],
)
def test_a_failing_node_is_named(flow: Flow, tmp_path: Path, raised: Exception, kind: type, message: str) -> None:
    stubs.HOOKS["bad"] = raising(raised)
    with pytest.raises(kind, match=message) as caught:
        flow.run(text="hi", out=tmp_path)
    error = caught.value
    assert isinstance(error, OrchError)
    assert error.__cause__ is raised
    assert (error.result.status, error.result["first"].text) == ("failed", "hi")
    told = run_json(tmp_path)
    assert (told["status"], told["error"]) == ("failed", str(error))
    assert [(n["name"], n["status"]) for n in told["nodes"]] == [("good", "ran"), ("bad", "failed")]
    assert Path(told["outputs"]["first"]["path"]).read_text() == "hi"
    assert stubs.RUNS == ["good", ""]


def test_node_error_carries_node_and_stage(flow: Flow) -> None:
    stubs.HOOKS["bad"] = raising(ValueError("x"))
    with pytest.raises(NodeError) as caught:
        flow.run(text="hi")
    assert (caught.value.node, caught.value.stage) == ("bad", "echo")


def test_what_was_finished_is_not_run_again(flow: Flow) -> None:
    stubs.HOOKS["bad"] = raising(ValueError("x"))
    with pytest.raises(NodeError):
        flow.run(text="hi")
    stubs.HOOKS["bad"] = lambda _: None
    assert [n.status for n in flow.run(text="hi").nodes] == ["cached", "ran", "ran"]


def check_interrupted(out: Path, error: Cancelled) -> None:
    assert (error.result.status, error.result["first"].text) == ("interrupted", "hi")
    told = run_json(out)
    assert told["status"] == "interrupted"
    assert Path(told["outputs"]["first"]["path"]).read_text() == "hi"
    assert "last" not in told["outputs"]
    (folder,) = out.iterdir()
    lines = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    assert (lines[-1]["kind"], lines[-1]["status"]) == ("run_finished", "interrupted")


def test_ctrl_c(flow: Flow, tmp_path: Path) -> None:
    """The signal comes to the main thread while a node runs in another; the node stops at its next report."""
    from orchestrator.nodes.stage import Progress

    def press(context: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        for step in range(10_000):
            context.report(0, Progress("steps", step, 10_000))
            threading.Event().wait(0.001)
        pytest.fail("the node was not stopped")

    stubs.HOOKS["bad"] = press
    with pytest.raises(Cancelled, match=r"run .* was stopped; what was finished is kept") as caught:
        flow.run(text="hi", out=tmp_path)
    check_interrupted(tmp_path, caught.value)


@pytest.mark.parametrize("raised", [KeyboardInterrupt(), Cancelled("enough")])
def test_a_listener_stops_the_run(flow: Flow, tmp_path: Path, raised: BaseException) -> None:
    stubs.HOOKS["bad"] = lambda _: None

    def on_event(event: Any) -> None:
        if event.kind == "node_started" and event.node == "bad":
            raise raised

    with pytest.raises(Cancelled) as caught:
        flow.run(text="hi", out=tmp_path, on_event=on_event)
    check_interrupted(tmp_path, caught.value)


def test_stopped_before_it_began(flow: Flow, tmp_path: Path) -> None:
    def on_event(event: Any) -> None:
        if event.kind == "run_started":
            raise KeyboardInterrupt

    with pytest.raises(Cancelled):
        flow.run(text="hi", out=tmp_path, on_event=on_event)
    assert run_json(tmp_path)["status"] == "interrupted"


def test_a_broken_listener_fails_the_run(flow: Flow, tmp_path: Path) -> None:
    stubs.HOOKS["bad"] = lambda _: None

    def on_event(event: Any) -> None:
        if event.kind == "output_ready":
            raise RuntimeError("listener broke")

    with pytest.raises(NodeError, match="listener broke"):
        flow.run(text="hi", out=tmp_path, on_event=on_event)
    assert run_json(tmp_path)["status"] == "failed"


def test_output_folder_is_a_file(flow: Flow, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("in the way")
    with pytest.raises(OutputError, match=r"cannot write to the output folder .*out: .*; choose another --out"):
        flow.run(text="hi", out=tmp_path / "out")
    assert stubs.RUNS == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_output_folder_is_read_only(flow: Flow, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="Permission denied"):
        flow.run(text="hi", out=tmp_path / "out")


def test_an_output_that_cannot_be_written(flow: Flow, tmp_path: Path) -> None:
    """A folder stands where `last.txt` should go."""

    def block(_: Any) -> None:
        (folder,) = tmp_path.iterdir()
        (folder / "last.txt").mkdir()

    stubs.HOOKS["bad"] = block
    with pytest.raises(OutputError, match=r"node 'after': .*last\.txt") as caught:
        flow.run(text="hi", out=tmp_path)
    assert caught.value.result["first"].text == "hi"
    assert run_json(tmp_path)["status"] == "failed"


def test_one_of_two_branches_fails(make: Make, tmp_path: Path) -> None:
    """The other is not torn down in the middle."""
    done = threading.Event()

    def fail(_: Any) -> None:
        done.wait(5)
        raise ValueError("left broke")

    stubs.HOOKS["fail"] = fail
    stubs.HOOKS["done"] = lambda _: done.set()
    nodes = {
        "left": echo("$text", hook="fail"),
        "right": echo("$text", hook="done"),
        "both": {"stage": "join", "parts": ["$left", "$right"]},
    }
    with pytest.raises(NodeError, match=r"node 'left' \(echo\): left broke") as caught:
        make(nodes, {"out": "$both", "right": "$right"}).run(text="x", out=tmp_path)
    assert {n.name: n.status for n in caught.value.result.nodes} == {"left": "failed", "right": "ran"}
