"""A server over stages without weights: pictures are painted from texts, and looked at."""

from __future__ import annotations

import base64
import io
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import soundfile
from fastapi import FastAPI
from PIL import Image
from starlette.testclient import TestClient

from orchestrator.engine.flow import Flow
from orchestrator.flow import wiring
from orchestrator.nodes.media import Media
from orchestrator.nodes.ports import Port, PortType
from orchestrator.nodes.stage import Context, Inputs, Outputs, Progress, Stage
from orchestrator.serve.app import create_app
from orchestrator.serve.settings import Settings
from tests import stubs
from tests.unit.engine.conftest import Make, bare, echo, fresh, make

__all__ = ["bare", "fresh", "make"]

IMAGE, AUDIO = PortType("Media", "image"), PortType("Media", "audio")
Serve = Callable[..., TestClient]


class Paint(Stage):
    """A picture as wide as a text is long."""

    name: ClassVar[str] = "paint"
    inputs: ClassVar[Mapping[str, Port]] = {"text": Port(stubs.TEXT, "What.")}
    outputs: ClassVar[Mapping[str, Port]] = {"image": Port(IMAGE, "A picture.")}

    def run(self, batch: Sequence[Inputs], context: Context) -> list[Outputs]:
        return [{"image": Media("image", picture(len(r["text"].text)))} for r in batch]


class Look(Stage):
    """The size of a picture, or the length of a sound, as a text."""

    name: ClassVar[str] = "look"
    inputs: ClassVar[Mapping[str, Port]] = {
        "image": Port(IMAGE, "A picture.", optional=True),
        "audio": Port(AUDIO, "A sound.", optional=True),
        "text": Port(stubs.TEXT, "A question.", optional=True),
    }
    outputs: ClassVar[Mapping[str, Port]] = {"text": Port(stubs.TEXT, "What is seen.")}

    def run(self, batch: Sequence[Inputs], context: Context) -> list[Outputs]:
        return [{"text": Media("text", " ".join(_said(r[p]) for p in self.inputs if p in r))} for r in batch]


def _said(media: Media) -> str:
    facts = {"image": "size", "audio": "rate"}
    return str(media.meta[facts[media.modality]]) if media.modality in facts else media.text


def picture(width: int = 4) -> np.ndarray:
    return np.zeros((2, max(width, 1), 3), np.uint8)


def png(width: int = 4) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture(width)).save(file, "PNG")
    return file.getvalue()


def wav(rate: int = 8000) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, np.zeros(16, np.float32), rate, format="WAV")
    return file.getvalue()


def uri(data: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


@pytest.fixture(autouse=True)
def stages(fresh: None, monkeypatch: pytest.MonkeyPatch) -> None:
    known = wiring.stages()
    monkeypatch.setattr(wiring, "stages", lambda: known | {"paint": Paint, "look": Look})


@pytest.fixture
def flows(make: Make) -> list[Flow]:
    """`say` (text -> text), `paint` (text -> image), `look` (image, maybe audio, a question -> text)."""

    def named(name: str, flow: Flow) -> Flow:
        return Flow(flow.spec.model_copy(update={"flow": name}), flow.bundle.root)

    look = {"stage": "look", "image": "$image", "text": "$question"}
    ask = {"modality": "text", "default": "what?"}
    return [
        named("say", make({"a": echo("$text", say="!", steps=2, hook="say")}, {"out": "$a"})),
        named("paint", make({"p": {"stage": "paint", "text": "$text"}}, {"picture": "$p", "asked": "$text"})),
        named("look", make({"l": look}, {"seen": "$l"}, image="image", question=ask)),
        named("hear", make({"l": {"stage": "look", "audio": "$sound"}}, {"heard": "$l"}, sound="audio")),
        named("two", make({"j": {"stage": "join", "parts": ["$a", "$b"]}}, {"out": "$j"}, a="text", b="text")),
        named("words", make({"w": {"stage": "words", "text": "$text"}}, {"out": "$w"})),
        named("dice", make({"a": echo("$text", dice=True)}, {"out": "$a"})),
        named("slow", make({"a": echo("$text", hook="slow")}, {"out": "$a"})),
    ]


@pytest.fixture(autouse=True)
def hooks(fresh: None) -> None:
    def slow(context: Context) -> None:
        for i in range(100_000):
            context.report(0, Progress("steps", i, 100_000))
            time.sleep(0.005)

    stubs.HOOKS.update(say=lambda context: None, slow=slow)


@pytest.fixture
def app_of(flows: list[Flow], tmp_path: Path) -> Callable[..., FastAPI]:
    return lambda **settings: create_app(flows, Settings(**{"out": tmp_path / "runs"} | settings))


@pytest.fixture
def serve(app_of: Callable[..., FastAPI]) -> Iterator[Serve]:
    """`serve(**settings)` is a client of a server that runs until the test ends."""
    clients: list[TestClient] = []

    def made(**settings: Any) -> TestClient:
        client = TestClient(app_of(**settings), base_url="http://orch.test", raise_server_exceptions=False)
        clients.append(client.__enter__())
        return client

    yield made
    for client in clients:
        client.__exit__(None, None, None)


@pytest.fixture
def client(serve: Serve) -> TestClient:
    return serve()
