"""The engine over stages without weights: every test has a store and a table of stages of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.engine import flow as engine_flow
from orchestrator.engine.flow import Flow
from orchestrator.engine.pool import ModelPool
from orchestrator.engine.store import Store
from orchestrator.flow import wiring
from tests import stubs

Make = Callable[..., Flow]


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A store, a pool and the stub stages for one test."""
    known = wiring.stages()
    monkeypatch.setattr(wiring, "stages", lambda: known | stubs.STAGES)
    monkeypatch.setattr(engine_flow, "STORE", Store())
    monkeypatch.setattr(engine_flow, "POOL", ModelPool())
    stubs.RUNS.clear()
    stubs.HOOKS.clear()
    yield
    stubs.HOOKS.clear()


@pytest.fixture(scope="session")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stubs.bare_bundle(tmp_path_factory.mktemp("bare"))


@pytest.fixture
def make(bare: Path) -> Make:
    """`make(nodes, outputs, **inputs)` is a Flow."""

    def made(nodes: dict[str, Any], outputs: dict[str, str], **inputs: Any) -> Flow:
        return Flow(stubs.flow(nodes, outputs, **inputs), bare)

    return made


def echo(text: str, **fields: Any) -> dict[str, Any]:
    """A node that echoes."""
    return {"stage": "echo", "text": text, **fields}
