"""Fixtures: each kind of generator, in a bundle with all that leads to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.models.bundle import Bundle
from orchestrator.testing import StageContext
from tests import tiny, tiny_audio, tiny_encoders
from tests.making import MODALITIES


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Gives the checkpoint of a kind of encoder, made on first use."""
    root = tmp_path_factory.mktemp("encoders")

    def folder(kind: str) -> Path:
        return root / kind if (root / kind).exists() else tiny_encoders.encoder(root / kind, kind)

    return folder


@pytest.fixture(scope="session")
def audioldm2_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.any_to_any(tmp_path_factory.mktemp("any2"), tiny_audio.audioldm2)


@pytest.fixture(scope="session")
def audioldm2_models() -> dict[str, Any]:
    return {}


@pytest.fixture(params=[*MODALITIES, "audioldm2"])
def kind(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
def modality(kind: str) -> str:
    return {"audioldm2": "audio"}.get(kind, kind)


@pytest.fixture
def context(kind: str, request: pytest.FixtureRequest, tiny_any_context: StageContext) -> StageContext:
    """Two requests, each with its seed."""
    if kind != "audioldm2":
        return replace(tiny_any_context, seeds=(5, 6))
    folder, models = (request.getfixturevalue(f"audioldm2_{name}") for name in ("folder", "models"))
    return StageContext(Bundle.open(folder), models, seeds=(5, 6))
