"""The bundle that ships: what the demo does, and a small fixed sample of the numbers on its card.

The pictures are Twemoji, a style that no part of the bundle was trained on.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from orchestrator.cli.main import main
from orchestrator.engine.flow import Flow
from orchestrator.evaluation import Evaluation, evaluate
from orchestrator.models.bundle import Bundle
from orchestrator.models.bundle.verify import verify
from orchestrator.nodes.media import Media
from orchestrator.train.data import manifest
from recipes.pocket import world
from recipes.pocket.bundle import assemble
from recipes.pocket.eval_media import wanted
from recipes.pocket.evaluate import FILE

JUDGE = FILE.parent / "judge_weights"

ROOT = Path(__file__).parents[2]
FLOWS = [ROOT / "flows" / f"{n}.yaml" for n in ("ask", "film_this", "image_to_text", "image_to_video", "text_to_video")]
PICTURES = sorted((ROOT / "tests" / "media").glob("*.png"))
DOG = ROOT / "flows" / "media" / "dog.png"
INPUTS = {"image": str(DOG), "text": "a guitar on a blue ground", "prompt": "Film it spinning."}


def quick(flow: Flow) -> Flow:
    """The same flow with two denoising steps."""
    return flow.with_fields({f"{n.name}.steps": 2 for n in flow.plan.nodes if n.stage.name == "generate"})


def test_bundle_is_sound() -> None:
    bundle = Bundle.open("pocket")
    assert verify(bundle) == []
    assert sum(file.stat().st_size for file in bundle.root.rglob("*") if file.is_file()) < 25e6


def test_a_bundle_is_not_replaced_by_half_of_one(tmp_path: Path) -> None:
    (tmp_path / "into").mkdir()
    (tmp_path / "into" / "kept").write_text("")
    with pytest.raises(SystemExit, match=r"into stays as it is: .*out lacks llm, encoders/image, "):
        assemble(tmp_path / "out", tmp_path / "into")
    assert (tmp_path / "into" / "kept").exists()


@pytest.mark.parametrize("path", FLOWS, ids=lambda path: path.stem)
def test_flows_run(path: Path) -> None:
    flow = quick(Flow.load(path))
    result = flow.run({name: INPUTS[name] for name in flow.spec.inputs})
    assert set(result.outputs) == set(flow.spec.outputs)
    assert {node.status for node in result.nodes} <= {"ran", "cached"}


def test_a_folder_of_that_name_does_not_hide_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pocket").mkdir()
    (tmp_path / "flow.yaml").write_text((ROOT / "flows" / "image_to_text.yaml").read_text())
    monkeypatch.chdir(tmp_path)
    assert Bundle.open("pocket").root == Flow.load("flow.yaml").bundle.root


def test_line_and_file_are_one_flow() -> None:
    results = [
        flow.run(image=DOG, seed=7, cache=False)
        for flow in (Flow.arrow("image -> text -> video"), Flow.load(ROOT / "flows" / "image_to_video.yaml"))
    ]
    assert results[0]["text"].text == results[1]["text"].text == "a dog"
    assert np.array_equal(results[0]["video"].video.frames, results[1]["video"].video.frames)
    assert results[0]["video"].video.frames.shape == (8, 64, 64, 3)


def test_one_turn_says_and_films() -> None:
    result = quick(Flow.load(ROOT / "flows" / "film_this.yaml")).run(image=DOG)
    assert result["caption"].text.startswith("a dog")
    assert result["video"].modality == "video"


def test_what_is_not_asked_is_not_filmed() -> None:
    flow = quick(Flow.load(ROOT / "flows" / "film_this.yaml"))
    result = flow.run(image=DOG, prompt="What is this?")
    assert "video" not in result.outputs
    assert {node.name: node.status for node in result.nodes}["film"] == "skipped"


def test_captions_of_an_unseen_style() -> None:
    flow = Flow.arrow("image -> text")
    said = {path.stem: flow.run(image=path)["text"].text for path in PICTURES}
    wrong = {concept: text for concept, text in said.items() if concept not in text}
    assert len(wrong) <= 1, wrong


def test_films_show_what_was_asked(tmp_path: Path) -> None:
    chosen = [world.Scene(concept) for concept in ("guitar", "dog", "apple", "umbrella", "owl", "pizza")]
    manifest.write(tmp_path / "films.jsonl", (wanted("video", scene) for scene in chosen))
    data = [{"reader": "manifest", "path": str(tmp_path / "films.jsonl")}]
    films = {"metric": "media", "judge": str(JUDGE), "data": data}
    found = evaluate(Evaluation.model_validate({"evaluation": "quick", "seeds": [0], "measures": {"films": films}}))
    shown = {number.way: number.mean for number in found["films"]["shows the concept"]}
    assert min(shown["caption"], shown["signal"]) >= 5 / 6
    assert [number.mean for number in found["films"]["one signal"]] == [1.0, 1.0]


def test_the_evaluation_is_sound() -> None:
    assert Evaluation.load(FILE).measures


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["run", "image -> text -> video", "-i", f"image={DOG}", "--out", str(tmp_path), "--json"]
    assert main([*command, "--set", "generate_2.steps=2"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["status"] == "done"
    assert told["outputs"]["text"]["text"] == "a dog"
    assert Media.load(told["outputs"]["video"]["path"]).video.frames.shape == (8, 64, 64, 3)
    assert {node["status"] for node in told["nodes"]} <= {"ran", "cached"}
