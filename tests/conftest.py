"""Fixtures for all tests: offline, one thread, and tiny checkpoints of the real classes (see tests/tiny.py)."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

# Before torch is loaded: tiny steps on many threads wait for each other, and nothing may reach for a network.
os.environ |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}

from orchestrator.models.bundle import Bundle
from orchestrator.testing import StageContext
from tests import tiny, tiny_audio

# A shell starts what runs in its background deaf to Ctrl-C, and so would be the commands that the tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the tiny checkpoints stand; each fixture below builds its own on first use."""
    return tmp_path_factory.mktemp("tiny")


@pytest.fixture(scope="session")
def tiny_image_encoder(tiny_folder: Path) -> Path:
    return tiny.image_encoder(tiny_folder / "clip")


@pytest.fixture(scope="session")
def tiny_convnet_encoder(tiny_folder: Path) -> Path:
    return tiny.convnet_encoder(tiny_folder / "resnet")


@pytest.fixture(scope="session")
def tiny_llm(tiny_folder: Path) -> Path:
    return tiny.llm(tiny_folder / "llm")


@pytest.fixture(scope="session")
def tiny_image_generator(tiny_folder: Path) -> Path:
    return tiny.image_generator(tiny_folder / "image_generator")


@pytest.fixture(scope="session")
def tiny_video_generator(tiny_folder: Path) -> Path:
    return tiny.video_generator(tiny_folder / "video_generator")


@pytest.fixture(scope="session")
def tiny_audioldm2(tiny_folder: Path) -> Path:
    return tiny_audio.audioldm2(tiny_folder / "audioldm2")


@pytest.fixture(scope="session")
def tiny_bundle(tiny_folder: Path) -> Path:
    """The folder of a whole bundle; tests that change files copy it first."""
    return tiny.bundle(tiny_folder / "bundle")


@pytest.fixture(scope="session")
def tiny_any_bundle(tiny_folder: Path) -> Path:
    """The folder of a bundle that reads and makes text, pictures, sounds and videos."""
    return tiny.any_to_any(tiny_folder / "any")


@pytest.fixture(scope="session")
def tiny_models() -> dict[str, Any]:
    """The loaded parts of the tiny bundle, each from its first use on."""
    return {}


@pytest.fixture
def tiny_context(tiny_bundle: Path, tiny_models: dict[str, Any]) -> StageContext:
    """Lends the parts of the tiny bundle to stages."""
    return StageContext(Bundle.open(tiny_bundle), tiny_models)


@pytest.fixture(scope="session")
def tiny_any_models() -> dict[str, Any]:
    """The loaded parts of the any-to-any bundle, each from its first use on."""
    return {}


@pytest.fixture
def tiny_any_context(tiny_any_bundle: Path, tiny_any_models: dict[str, Any]) -> StageContext:
    """Lends the parts of the any-to-any bundle to stages."""
    return StageContext(Bundle.open(tiny_any_bundle), tiny_any_models)
