"""Flows over stages without weights: texts in and out, and media that are made of nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from PIL import Image

from orchestrator.agents.offer import Offer
from orchestrator.engine.flow import Flow
from orchestrator.flow import wiring
from orchestrator.nodes.media import Audio, Media, Video
from orchestrator.nodes.media_intake import Intake
from orchestrator.nodes.ports import Port, PortType
from orchestrator.nodes.stage import Context, Inputs, Outputs, Stage
from tests import stubs
from tests.unit.engine.conftest import Make, bare, echo, fresh, make

__all__ = ["bare", "fresh", "make"]

SIDE = 4  # pixels


class Studio(Stage):
    """One of each, in black and silence."""

    name: ClassVar[str] = "studio"
    inputs: ClassVar[Mapping[str, Port]] = {"text": Port(stubs.TEXT, "What is asked.")}
    outputs: ClassVar[Mapping[str, Port]] = {
        name: Port(PortType("Media", name), "It.") for name in ("image", "audio", "video")
    }

    def run(self, batch: Sequence[Inputs], context: Context) -> list[Outputs]:
        frames = np.zeros((2, 16, 16, 3), np.uint8)
        made = {"image": Image.new("RGB", (SIDE, SIDE)), "audio": Audio(np.zeros(80, np.float32), 8000)}
        return [{k: Media(k, v) for k, v in (made | {"video": Video(frames)}).items()} for _ in batch]


class Measure(Stage):
    """The width of a picture."""

    name: ClassVar[str] = "measure"
    inputs: ClassVar[Mapping[str, Port]] = {"image": Port(PortType("Media", "image"), "A picture.")}
    outputs: ClassVar[Mapping[str, Port]] = {"text": Port(stubs.TEXT, "Pixels.")}

    def run(self, batch: Sequence[Inputs], context: Context) -> list[Outputs]:
        return [{"text": Media("text", str(request["image"].image.width))} for request in batch]


@pytest.fixture(autouse=True)
def media_stages(fresh: None, monkeypatch: pytest.MonkeyPatch) -> None:
    known = wiring.stages()
    monkeypatch.setattr(wiring, "stages", lambda: known | {"studio": Studio, "measure": Measure})


@pytest.fixture
def say(make: Make) -> Flow:
    """text, end ("!") -> out, in two nodes; `start` may be hooked, and is noted in RUNS."""
    nodes = {"start": echo("$text", name="start", say="?"), "end": echo("$start", name="end", hook="end", steps=4)}
    stubs.HOOKS["end"] = lambda context: None
    return make(nodes, {"out": "$end"}, text={"modality": "text", "doc": "What to say."})


@pytest.fixture
def studio(make: Make) -> Flow:
    """text -> text, image, audio, video"""
    names = ("image", "audio", "video")
    return make({"s": {"stage": "studio", "text": "$text"}}, {"asked": "$text"} | {n: f"$s.{n}" for n in names})


@pytest.fixture
def measure(make: Make) -> Flow:
    """image -> width"""
    return make({"m": {"stage": "measure", "image": "$picture"}}, {"width": "$m"}, picture="image")


@pytest.fixture
def png(tmp_path: Path) -> Path:
    path = tmp_path / "pictures" / "black.png"
    path.parent.mkdir()
    Image.new("RGB", (SIDE, SIDE)).save(path)
    return path


@pytest.fixture
def offer(tmp_path: Path) -> Callable[..., Offer]:
    """`offer(flow, name)`: it may read what is in `pictures` and what was made."""

    def made(flow: Flow, name: str, **rest: Any) -> Offer:
        roots = (tmp_path / "pictures", tmp_path / "runs")
        return Offer.of(flow, name, **{"out": tmp_path / "runs", "intake": Intake(roots)} | rest)

    return made
