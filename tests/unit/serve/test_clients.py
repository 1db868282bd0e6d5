"""Many clients, impatient ones, and a full queue."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from tests import stubs
from tests.unit.serve.asgi import post
from tests.unit.serve.conftest import Serve

SSE = {"accept": "text/event-stream"}
CHAT = {"model": "slow", "messages": [{"role": "user", "content": "x"}]}
WAYS: list[tuple[str, Any, dict[str, Any]]] = [
    ("/flows/slow/runs", {"text": "x"}, {"query": "wait=true"}),
    ("/flows/slow/runs", {"text": "x"}, {"headers": SSE}),
    ("/v1/chat/completions", CHAT, {}),
    ("/v1/chat/completions", CHAT | {"stream": True}, {}),
]


@pytest.mark.parametrize(("path", "content", "fields"), WAYS, ids=["sync", "sse", "chat", "chat stream"])
@pytest.mark.parametrize("spec", ["2.3", "2.4"])
def test_a_client_that_goes_away_takes_its_run_with_it(
    path: str, content: Any, fields: dict[str, Any], spec: str, app_of: Callable[..., FastAPI]
) -> None:
    app = app_of()
    runs = app.state.runs

    async def go() -> None:
        call = post(app, path, content, spec=spec, **fields)
        task = asyncio.create_task(call())
        while not any(run.status == "running" for run, _ in runs._runs.values()):
            await asyncio.sleep(0.01)
        call.leave.set()
        await asyncio.wait([task])

    asyncio.run(go())
    ((run, future),) = runs._runs.values()
    future.result(timeout=30)
    assert (run.status, run.why) == ("interrupted", "client")
    runs.close()


def test_ten_clients_at_once(client: TestClient) -> None:
    together = threading.Barrier(10)

    def ask(i: int) -> str:
        together.wait()
        answer = client.post("/flows/say/runs?wait=true", json={"text": str(i)})
        return str(answer.json()["outputs"]["out"]["text"])

    with ThreadPoolExecutor(10) as pool:
        assert list(pool.map(ask, range(10))) == [f"{i}!" for i in range(10)]


def test_a_full_queue(serve: Serve) -> None:
    free = threading.Event()
    stubs.HOOKS["say"] = lambda context: free.wait(30)
    client = serve(workers=1, queue=2)
    begun = [client.post("/flows/say/runs", json={"text": str(i)}) for i in range(3)]
    assert [answer.status_code for answer in begun] == [202] * 3
    chat = {"model": "say", "messages": [{"role": "user", "content": "x"}]}
    for path, content in (("/flows/say/runs", {"text": "4"}), ("/v1/chat/completions", chat)):
        refused = client.post(path, json=content)
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) >= 1
        assert refused.json()["error"]["type"] == "rate_limit_error"
        assert "3 runs are going or waiting, as many as this server takes; try again in" in refused.text
    free.set()
    while client.get(begun[-1].headers["location"]).json()["status"] != "done":
        time.sleep(0.01)
    assert client.post("/flows/say/runs?wait=true", json={"text": "4"}).status_code == 200


def test_what_is_full_reads_no_body(app_of: Callable[..., FastAPI]) -> None:
    app = app_of(workers=1, queue=0)

    async def go() -> tuple[int, int]:
        first = await post(app, "/flows/slow/runs", {"text": "x"})()
        second = await post(app, "/flows/slow/runs", {"text": "x" * 10_000})()
        assert first.status == 202
        return second.status, second.read

    assert asyncio.run(go()) == (429, 0)
    app.state.runs.close()


def test_a_server_that_ends_stops_its_runs(app_of: Callable[..., FastAPI]) -> None:
    app = app_of(workers=1)
    with TestClient(app) as client:
        for _ in range(2):
            client.post("/flows/slow/runs", json={"text": "x"})
    runs = [run for run, _ in app.state.runs._runs.values()]
    assert [(run.status, run.code) for run in runs] == [("interrupted", 503)] * 2
