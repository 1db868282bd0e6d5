"""Runs in threads: cancelled readers, and runs within runs."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from orchestrator.engine.background import Background
from orchestrator.engine.flow import Flow
from orchestrator.errors import Cancelled, NodeError
from tests import stubs
from tests.unit.engine.conftest import Make, echo


def test_cancelling_the_reader_stops_the_run(make: Make) -> None:
    flow = make({"a": echo("$text", steps=10_000_000)}, {"out": "$a"})
    kinds: list[str] = []

    async def read() -> None:
        async for event in flow.astream(text="x"):
            kinds.append(event.kind)

    async def cancel() -> None:
        reader = asyncio.create_task(read())
        while "node_progress" not in kinds:
            await asyncio.sleep(0.01)
        reader.cancel()
        await reader

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancel())
    assert stubs.RUNS == [""]


def test_a_reader_that_is_cancelled_while_the_run_begins_stops_it(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    flow = make({"a": echo("$text", steps=10_000_000)}, {"out": "$a"})
    loading, loaded, begun = threading.Event(), threading.Event(), list[Background]()
    start = flow.start

    def slow(*args: Any, **options: Any) -> Background:
        loading.set()
        loaded.wait()
        begun.append(start(*args, **options))
        return begun[0]

    monkeypatch.setattr(flow, "start", slow)

    async def cancel() -> None:
        reader = asyncio.ensure_future(anext(flow.astream(text="x")))
        await asyncio.to_thread(loading.wait)  # the loop goes on while the run begins
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        loaded.set()
        while not begun:
            await asyncio.sleep(0.01)
        while await asyncio.to_thread(begun[0].events.get):
            pass

    asyncio.run(cancel())
    with pytest.raises(Cancelled):
        begun[0].check()


def test_astream_raises_the_error_at_the_end(make: Make) -> None:
    def fail(_: Any) -> None:
        raise ValueError("bad luck")

    stubs.HOOKS["fail"] = fail
    flow = make({"a": echo("$text", hook="fail")}, {"out": "$a"})

    async def read() -> list[str]:
        return [event.kind async for event in flow.astream(text="x")]

    with pytest.raises(NodeError, match="bad luck"):
        asyncio.run(read())


def test_a_node_may_run_a_flow(make: Make) -> None:
    inner: Flow = make({"a": echo("$text", say="!")}, {"out": "$a"})
    said: list[str] = []
    stubs.HOOKS["inner"] = lambda _: said.append(inner.run(text="inner")["out"].text)
    outer = make({"a": echo("$text", hook="inner")}, {"out": "$a"})
    assert outer.run(text="outer")["out"].text == "outer"
    assert said == ["inner!"]


def test_a_run_that_is_begun_and_read_from_elsewhere(make: Make, tmp_path: Path) -> None:
    run = make({"a": echo("$text", say="!")}, {"out": "$a"}).start(text="x", out=tmp_path, run="mine")
    kinds = [event.kind for event in iter(run.events.get, None)]
    run.check()
    assert (kinds[0], kinds[-1]) == ("run_started", "run_finished")
    assert run.result is not None
    assert (run.result.run, run.result["out"].text, run.result.folder) == ("mine", "x!", tmp_path / "mine")


@pytest.mark.parametrize("previews", [True, False])
def test_who_begins_a_run_says_whether_previews_are_seen(previews: bool, make: Make) -> None:
    watched: list[bool] = []
    stubs.HOOKS["see"] = lambda context: watched.append(context.watched)
    run = make({"a": echo("$text", hook="see")}, {"out": "$a"}).start(text="x", previews=previews)
    list(iter(run.events.get, None))
    assert watched == [previews]


def test_stopping_need_not_wait(make: Make) -> None:
    run = make({"a": echo("$text", steps=10_000_000)}, {"out": "$a"}).start(text="x")
    run.stop(wait=False)
    assert list(iter(run.events.get, None))[-1].kind == "run_finished"
    with pytest.raises(Cancelled, match="was stopped"):
        run.check()
