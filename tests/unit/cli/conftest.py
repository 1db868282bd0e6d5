"""A run that never happened, a flow without a bundle, a bundle without files."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw
from rich.console import Console, RenderableType

from orchestrator.engine import events as ev
from orchestrator.errors import BundleError, FlowError, Problem
from orchestrator.flow import parse, wire
from orchestrator.models.placement.memory import MemoryPlan, PartPlan, Spot
from orchestrator.models.placement.needs import Need
from orchestrator.nodes.media import Audio, Media, Video
from orchestrator.nodes.stage import Progress

NODES = (
    ("see", "encode"),
    ("align", "project"),
    ("think", "reason"),
    ("split", "decode"),
    ("sound_bridge", "output_project"),
    ("sound", "generate"),
    ("bridge", "output_project"),
    ("film", "generate"),
)
EDGES = (
    ("image", "see"),
    ("prompt", "think"),
    ("see", "align"),
    ("align", "think"),
    ("think", "split"),
    ("split", "sound_bridge"),
    ("split", "bridge"),
    ("sound_bridge", "sound"),
    ("bridge", "film"),
)


def picture(x: int = 20, size: int = 64, ground: str = "#2e5aac") -> Image.Image:
    """A fox-coloured disk on a ground."""
    image = Image.new("RGB", (size, size), ground)
    draw = ImageDraw.Draw(image)
    draw.ellipse((x, 18, x + 30, 48), fill="#e8762d", outline="white", width=2)
    draw.polygon(((x + 4, 24), (x + 8, 8), (x + 15, 20)), fill="#e8762d")
    draw.polygon(((x + 26, 24), (x + 22, 8), (x + 15, 20)), fill="#e8762d")
    return image


def film(frames: int = 8) -> Video:
    return Video(np.stack([np.asarray(picture(2 + 4 * i)) for i in range(frames)]), 8)


def sound() -> Audio:
    time = np.arange(16000) / 16000
    return Audio((np.sin(440 * time * math.tau) * np.abs(np.sin(3 * time * math.tau))).astype(np.float32), 16000)


def events() -> list[ev.Event]:
    """A whole run: cached and skipped nodes, tokens, denoising steps, two outputs."""
    text = "A red fox runs over a blue ground."
    caption, movie = Media("text", text), Media("video", film())
    inputs = {"image": Media("image", picture()), "prompt": Media("text", "Describe the picture, then film it.")}
    tokens = [Progress("tokens", i, 24, text[: 4 * i]) for i in (1, 4, 8)]
    steps = Progress("steps", 5, 12, "", (picture(4), picture(18), picture(30)))
    made = {"text": "Media[text] 34 chars", "video": "Signals[video] 1"}
    no_sound = "the reply of 'think' has no audio signal"
    return [
        ev.RunStarted("r1", 0.0, "film-this", "pocket", 7, inputs, NODES, EDGES, "runs/r1"),
        ev.NodeStarted("r1", 0.1, "see", "encode", "cpu"),
        ev.LoadStarted("r1", 0.1, "see", "encode", "encoders.image"),
        _finished(0.6, "see", "ran", 0.5, {"features": "Features[image] 65×256"}),
        _finished(0.6, "align", "cached", 0.0, {"prompts": "Prompts[image] 4×256"}),
        ev.NodeStarted("r1", 0.7, "think", "reason", "cpu"),
        *(ev.NodeProgress("r1", 0.7 + p.done / 10, "think", "reason", p) for p in tokens),
        _finished(1.9, "think", "ran", 1.2, {"reply": "Reply 34 tokens, 1 signal"}),
        _finished(1.9, "split", "ran", 0.01, made, {"text": caption}),
        ev.OutputReady("r1", 1.9, "caption", caption, "runs/r1/caption.txt"),
        _finished(1.9, "sound_bridge", "skipped", 0.0, {}, reason=no_sound),
        _finished(1.9, "sound", "skipped", 0.0, {}, reason="'sound_bridge' was skipped"),
        ev.NodeStarted("r1", 2.0, "bridge", "output_project", "cpu"),
        _finished(2.1, "bridge", "ran", 0.1, {"condition": "Condition[video] 77×512"}),
        ev.NodeStarted("r1", 2.2, "film", "generate", "cpu"),
        ev.NodeProgress("r1", 4.0, "film", "generate", steps),
        _finished(9.0, "film", "ran", 6.8, {"media": "Media[video] 8×64×64"}, {"media": movie}),
        ev.OutputReady("r1", 9.1, "video", movie, "runs/r1/video.mp4"),
        ev.RunFinished("r1", 9.2, "done", 9.2),
    ]


def _finished(
    time: float, node: str, status: Any, seconds: float, made: dict[str, str],
    media: dict[str, Media] | None = None, reason: str = "",
) -> ev.NodeFinished:  # fmt: skip
    device = "" if status == "skipped" else "cpu"
    return ev.NodeFinished("r1", time, node, dict(NODES)[node], status, seconds, device, made, media or {}, reason)


@pytest.fixture
def a_run() -> list[ev.Event]:
    return events()


@pytest.fixture
def drawn() -> Callable[..., str]:
    """What a renderable looks like, as plain text."""

    def draw(renderable: RenderableType, width: int = 100, **options: Any) -> str:
        settings = {"force_terminal": True, "color_system": "truecolor"} | options
        console = Console(record=True, width=width, file=io.StringIO(), **settings)
        console.print(renderable)
        return console.export_text()

    return draw


@pytest.fixture
def flow(monkeypatch: pytest.MonkeyPatch) -> None:
    """`Flow.of` as if there were a bundle."""
    problems = {
        "bad.yaml": FlowError([Problem("unknown stage 'x'", "bad.yaml", 3, 5), Problem("no input", "bad.yaml", 9)]),
        "other.yaml": BundleError("unknown bundle 'b'"),
    }

    def of(text: str, bundle: str | None = None, changes: Any = None) -> Any:
        if text in problems:
            raise problems[text]
        graph = SimpleNamespace(get_graph=lambda xray: SimpleNamespace(draw_mermaid=lambda: "graph TD;"))
        llm = Need("llm", "LlamaForCausalLM", ("reason",), floats=2_275_000, work=100_000)
        encoder = Need("encoders.image", "CLIP", ("encode",), floats=12_500)
        plan = MemoryPlan(tuple(PartPlan(need, Spot()) for need in (llm, encoder)), {"cpu": 10**9})
        spec = parse(text)
        shell = SimpleNamespace(names=lambda: [])  # a bundle without parts
        return SimpleNamespace(
            spec=spec, plan=wire(spec), graph=lambda: graph, memory_plan=lambda **_: plan, bundle=shell
        )

    monkeypatch.setattr("orchestrator.engine.flow.Flow.of", of)


class FakeBundle:
    name, root = "tiny", Path("/bundles/tiny")
    spec = SimpleNamespace(
        doc="A bundle [small].", licence="Apache-2.0", signals={"video": SimpleNamespace(count=24, token="[VID{}]")}
    )
    base, adapters = None, ()
    problems: tuple[str, ...] = ()

    @staticmethod
    def known() -> list[str]:
        return ["tiny"]

    @classmethod
    def open(cls, name: str) -> FakeBundle:
        if name != "tiny":
            raise BundleError(f"unknown bundle '{name}'")
        return cls()

    def names(self) -> list[str]:
        return ["llm", "encoders.image"]

    def size(self, part: str) -> int:
        return 1_000_000

    def kind(self, part: str) -> str:
        return "LlamaForCausalLM"

    def part(self, part: str) -> Any:
        return SimpleNamespace(place="path", where=part.replace(".", "/"))

    def absent(self) -> list[str]:
        return []


@pytest.fixture
def bundle(monkeypatch: pytest.MonkeyPatch) -> type[FakeBundle]:
    import orchestrator.models.bundle.verify  # before its own import of Bundle is replaced

    monkeypatch.setattr("orchestrator.models.bundle.Bundle", FakeBundle)
    monkeypatch.setattr(orchestrator.models.bundle.verify, "verify", lambda bundle: list(bundle.problems))
    monkeypatch.setattr(FakeBundle, "problems", ())
    return FakeBundle
