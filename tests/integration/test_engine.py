"""Whole flows over the tiny bundle."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orchestrator.engine import flow as engine_flow
from orchestrator.engine.events import Event, NodeProgress
from orchestrator.engine.flow import Flow
from orchestrator.engine.pool import ModelPool
from orchestrator.engine.result import Result
from orchestrator.engine.store import Store
from orchestrator.errors import BundleError, Cancelled, InputError
from orchestrator.nodes.media import Media
from tests import tiny

ROOT = Path(__file__).parents[2]
PICTURE = np.random.default_rng(0).integers(0, 256, (40, 48, 3), np.uint8)


@pytest.fixture(scope="module", autouse=True)
def pool() -> Iterator[ModelPool]:
    """Weights are loaded once for all tests of this file."""
    with pytest.MonkeyPatch.context() as patch:
        made = ModelPool()
        patch.setattr(engine_flow, "POOL", made)
        yield made


@pytest.fixture(autouse=True)
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    """Nothing is cached from another test."""
    made = Store()
    monkeypatch.setattr(engine_flow, "STORE", made)
    return made


@pytest.fixture(scope="module")
def film(tiny_bundle: Path) -> Flow:
    """`image -> text -> video`, with short replies."""
    return Flow.arrow("image -> text -> video", tiny_bundle).with_fields({"reason.max_new_tokens": 6})


def frames(result: Result) -> bytes:
    return result["video"].video.frames.tobytes()


def status(result: Result) -> list[str]:
    return [node.status for node in result.nodes]


def test_a_film_of_a_picture(film: Flow, tmp_path: Path) -> None:
    events: list[Event] = []
    result = film.run(image=PICTURE, seed=7, out=tmp_path, on_event=events.append)
    assert result["video"].video.frames.shape == (4, tiny.SIDE, tiny.SIDE, 3)
    assert status(result) == ["ran"] * 8
    loaded = {(e.as_dict()["node"], e.as_dict()["part"]) for e in events if e.kind == "load_started"}
    assert {part for _, part in loaded} <= {p.part for p in film.memory_plan().rows}
    units = {e.node: e.progress.unit for e in events if isinstance(e, NodeProgress)}
    assert units == {"reason": "tokens", "reason_2": "tokens", "generate_2": "steps"}
    assert result.folder
    assert {p.name for p in result.folder.iterdir()} == {
        "run.json",
        "events.jsonl",
        "flow.yaml",
        "text.txt",
        "video.mp4",
    }
    told = json.loads((result.folder / "run.json").read_text())
    assert told["outputs"]["video"]["meta"] | {"frames": 4} == told["outputs"]["video"]["meta"]
    made = {node.name: node.made for node in result.nodes}
    assert made["project"] == {"prompts": f"P_X [4, {tiny.WIDTH}]"}
    assert made["output_project_2"] == {"condition": f"H_X prompt_embeds [1, {tiny.LENGTH}, {tiny.WIDTH}] by signal"}


def test_same_seed_same_bytes(film: Flow) -> None:
    first = film.run(image=PICTURE, seed=7, cache=False)
    again = film.run(image=PICTURE, seed=7, cache=False)
    other = film.run(image=PICTURE, seed=8)
    assert status(again) == ["ran"] * 8
    assert frames(first) == frames(again) != frames(other)
    assert first["text"] == other["text"]


def test_a_second_run_is_cached_and_another_seed_only_films_again(film: Flow) -> None:
    first = film.run(image=PICTURE, seed=1)
    second = film.run(image=PICTURE, seed=1)
    assert status(second) == ["cached"] * 8
    assert frames(first) == frames(second)
    assert status(film.run(image=PICTURE, seed=2)) == ["cached"] * 7 + ["ran"]
    assert status(film.with_fields({"generate_2.steps": 1}).run(image=PICTURE, seed=1)) == ["cached"] * 7 + ["ran"]


def test_results_are_the_same_through_the_disk(film: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = film.run(image=PICTURE, seed=1)
    monkeypatch.setattr(engine_flow, "STORE", Store(memory=1))
    assert frames(film.run(image=PICTURE, seed=1)) == frames(wanted)
    again = film.run(image=PICTURE, seed=1)
    assert status(again) == ["cached"] * 8
    assert frames(again) == frames(wanted)


def test_runs_at_once_give_what_single_runs_give(film: Flow) -> None:
    film = film.with_fields({"generate_2.steps": 1, "generate_2.frames": 2})
    jobs = [(Media.load(np.roll(PICTURE, 5 * i, 0)), i) for i in range(3)]
    alone = [frames(film.run(image=image, seed=seed, cache=False)) for image, seed in jobs]
    with ThreadPoolExecutor(3) as threads:
        together = list(threads.map(lambda job: frames(film.run(image=job[0], seed=job[1], cache=False)), jobs))
    assert together == alone
    assert len(set(alone)) == 3


@pytest.mark.parametrize("line", ["text -> image", "video -> text", "image + text -> image", "text -> image + video"])
def test_arrow_lines(line: str, tiny_bundle: Path) -> None:
    given: dict[str, Any] = {
        "text": "a dog",
        "image": PICTURE,
        "video": np.stack([PICTURE] * 3),
    }
    flow = Flow.arrow(line, tiny_bundle)
    if "video" not in flow.spec.outputs:
        flow = flow.with_fields({f"{n.name}.max_new_tokens": 8 for n in flow.plan.nodes if n.stage.name == "reason"})
    result = flow.run({name: given[name] for name in flow.spec.inputs})
    assert result.outputs.keys() == flow.spec.outputs.keys()
    assert {name: media.modality for name, media in result.outputs.items()} == {
        name: name for name in flow.spec.outputs
    }


def test_one_turn_gives_caption_and_film(tiny_bundle: Path) -> None:
    """The flow of flows/film_this.yaml; the tiny LLM is made to call for the film."""
    flow = Flow.load(ROOT / "flows" / "film_this.yaml", tiny_bundle)
    flow = flow.with_fields({"film.steps": 1, "think.max_new_tokens": 30})
    silent = flow.run(image=PICTURE)
    if "video" not in silent.outputs:
        assert [n.reason for n in silent.nodes if n.status == "skipped"] == ["no split.video", "no bridge.condition"]
    loud = flow.with_fields({"think.require": ["video"]})
    assert loud.run(image=PICTURE).outputs.keys() == {"caption", "video"}
    captions = loud.with_fields({"bridge.bridge": "caption"}).run(image=PICTURE)
    assert frames(captions) != frames(loud.run(image=PICTURE))


def test_stopped_between_two_steps(film: Flow, tmp_path: Path) -> None:
    steps: list[int] = []

    def on_event(event: Event) -> None:
        if isinstance(event, NodeProgress) and event.progress.unit == "steps":
            steps.append(event.progress.done)
            raise KeyboardInterrupt

    with pytest.raises(Cancelled) as caught:
        film.with_fields({"generate_2.steps": 20}).run(image=PICTURE, out=tmp_path, on_event=on_event)
    assert steps == [1]
    assert caught.value.result.status == "interrupted"
    assert list(caught.value.result.outputs) == ["text"]
    assert {p.name for p in caught.value.result.folder.iterdir()} == {
        "run.json",
        "events.jsonl",
        "flow.yaml",
        "text.txt",
    }
    assert film.run(image=PICTURE)["video"], "the models work as before"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a dog " * 400,
            r"node 'reason': the prompt has \d+ tokens .* more than the 512 of this LLM's context; shorten",
        ),
        ("", r"node 'reason': the prompt is empty: write what you want"),
        (" \n", r"node 'reason': the prompt is empty"),
    ],
)
def test_bad_texts(text: str, message: str, tiny_bundle: Path) -> None:
    with pytest.raises(InputError, match=message) as caught:
        Flow.arrow("text -> text", tiny_bundle).run(text=text)
    assert [(n.name, n.status) for n in caught.value.result.nodes] == [("reason", "failed")]


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("llm/model.safetensors", r"node 'reason': .*llm/model\.safetensors is damaged: it has"),
        ("generators/image/unet/diffusion_pytorch_model.safetensors", r"node 'generate': .*unet/.* is damaged: it has"),
        (
            "projectors/image/model.safetensors",
            r"node 'output_project': .*projectors/image/model\.safetensors is damaged",
        ),
    ],
)
def test_damaged_weights(file: str, message: str, tiny_bundle: Path, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(tiny_bundle, tmp_path / "b"))
    data = (copied / file).read_bytes()
    (copied / file).write_bytes(data[: len(data) // 2])
    with pytest.raises(BundleError, match=message):
        Flow.arrow("text -> image", copied).with_fields({"reason.max_new_tokens": 8}).run(text="a dog")


def test_a_copy_with_other_signals_is_another_llm(tiny_bundle: Path, tmp_path: Path) -> None:
    """Same weights, same times: the signals of the bundle count all the same."""
    copied = Path(shutil.copytree(tiny_bundle, tmp_path / "b"))
    file = copied / "bundle.yaml"
    file.write_text(file.read_text().replace("count: 4", "count: 2"))
    replies = []
    for root, count in ((tiny_bundle, 4), (copied, 2)):
        changes = {"max_new_tokens": count, "signals": ["image"], "require": ["image"]}
        flow = Flow.arrow("text -> text", root).with_fields({f"reason.{k}": v for k, v in changes.items()})
        replies.append(flow.run(text="a dog").nodes[0].made["reply"])
    assert replies == ["4 tokens, 1 signal", "2 tokens, 1 signal"]
