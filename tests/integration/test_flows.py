"""Every flow that ships, run: on the tiny any-to-any bundle, with the media that ship beside the flows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.engine import flow as engine_flow
from orchestrator.engine.flow import Flow
from orchestrator.engine.pool import ModelPool
from orchestrator.engine.result import Result
from orchestrator.testing.llm import ScriptedModel
from tests import tiny

FLOWS = Path(__file__).parents[2] / "flows"
MEDIA = FLOWS / "media"
GIVEN = {
    "image": str(MEDIA / "guitar.png"),
    "audio": str(MEDIA / "note.wav"),
    "video": str(MEDIA / "apple.mp4"),
    "text": "a guitar",
    "prompt": "Describe the picture, then film it.",
}
# flow -> its outputs, name and modality; each a row, and a flow without one fails
MADE = {
    "ask": "text",
    "audio_to_image": "image",
    "audio_to_text": "text",
    "choose": "text image audio video",
    "choose_about": "text image audio video",
    "film_this": "caption:text video",
    "image_to_audio": "audio",
    "image_to_text": "text",
    "image_to_video": "text video",
    "text_to_all": "image audio video",
    "text_to_audio": "audio",
    "text_to_image": "image",
    "text_to_video": "video",
    "video_to_audio": "audio",
    "video_to_text": "text",
}
STEPS = {  # agents: what a scripted LLM answers with, and what that gives
    "two_steps": (("a guitar [image]", "a guitar [audio]", "a guitar"), "text image audio"),
    "two_steps_about": (("an apple [audio]", "an apple"), "text audio"),
}
CHOICES = [(), ("image",), ("audio",), ("video",), ("image", "video")]
FREE = {"choose", "choose_about", "film_this"}  # the reply chooses what is made


@pytest.fixture(scope="module", autouse=True)
def pool() -> Iterator[None]:
    """Weights are loaded once for all tests of this file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine_flow, "POOL", ModelPool())
        yield


def quick(name: str, bundle: Path, asked: tuple[str, ...] | None = None) -> Flow:
    """A flow with one denoising step; where its reply may choose, the random LLM is made to ask for `asked`."""
    flow = Flow.load(FLOWS / f"{name}.yaml", bundle)
    changes: dict[str, Any] = {f"{n.name}.steps": 1 for n in flow.plan.nodes if n.stage.name == "generate"}
    for node in flow.plan.nodes:
        if asked is not None and node.stage.name == "reason":
            changes |= {f"{node.name}.signals": list(asked), f"{node.name}.require": list(asked)}
    return flow.with_fields(changes)


def run(flow: Flow) -> Result:
    return flow.run({name: GIVEN[name] for name in flow.spec.inputs})


def test_every_flow_has_a_row() -> None:
    assert {*MADE, *STEPS} == {path.stem for path in FLOWS.glob("*.yaml")}


@pytest.mark.parametrize("name", MADE)
def test_it_makes_what_it_says(name: str, tiny_any_bundle: Path) -> None:
    wanted = {out: modality or out for out, _, modality in (word.partition(":") for word in MADE[name].split())}
    made = tuple(sorted(set(wanted.values()) - {"text"}))
    result = run(quick(name, tiny_any_bundle, made if name in FREE else None))
    assert {out: media.modality for out, media in result.outputs.items()} == wanted
    assert {node.status for node in result.nodes} <= {"ran", "cached"}


@pytest.mark.parametrize("name", STEPS)
def test_an_agent_goes_step_by_step(name: str, tiny_any_bundle: Path) -> None:
    replies, made = STEPS[name]
    with ScriptedModel(*replies, width=tiny.WIDTH) as llm:
        flow = Flow.load(FLOWS / f"{name}.yaml", tiny_any_bundle)
        steps = {modality: {"steps": 1} for modality in ("image", "audio", "video")}
        result = run(flow.with_fields({"agent.make": steps}))
    assert set(result.outputs) == set(made.split())
    told = [request.turns[-1][1] for request in llm.requests[1:]]
    assert told == [(f"[{m}]", f"{m}: {m} <resource-{i}-1>") for i, m in enumerate(made.split()[1:], start=1)]


@pytest.mark.parametrize("asked", CHOICES, ids=lambda asked: "+".join(asked) or "text")
@pytest.mark.parametrize("name", ["choose", "choose_about"])
def test_what_the_reply_does_not_ask_for_is_skipped(name: str, asked: tuple[str, ...], tiny_any_bundle: Path) -> None:
    result = run(quick(name, tiny_any_bundle, asked))
    assert result.status == "done"
    assert set(result.outputs) == {"text", *asked}
    reasons = {node.name: node.reason for node in result.nodes if node.status == "skipped"}
    assert reasons == {
        f"{stage}_{modality}": f"no {before}"
        for modality in {"image", "audio", "video"} - set(asked)
        for stage, before in (
            ("output_project", f"decode.{modality}"),
            ("generate", f"output_project_{modality}.condition"),
        )
    }


def test_example_media_are_small() -> None:
    assert {path.name: path.stat().st_size for path in MEDIA.iterdir() if path.stat().st_size > 60_000} == {}
