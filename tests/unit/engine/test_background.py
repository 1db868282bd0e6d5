"""Runs in threads: cancelled readers, and runs within runs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from orchestrator.engine.flow import Flow
from orchestrator.errors import NodeError
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
