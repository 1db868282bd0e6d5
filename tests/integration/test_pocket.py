"""The bundle that ships: what the demo does, and every flow that ships."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from orchestrator.cli.main import main
from orchestrator.engine.flow import Flow
from orchestrator.evaluation import Evaluation
from orchestrator.models.bundle import Bundle
from orchestrator.models.bundle.verify import verify
from orchestrator.nodes.media import Media
from recipes.pocket.bundle import assemble
from recipes.pocket.evaluate import FILE

ROOT = Path(__file__).parents[2]
FLOWS = sorted((ROOT / "flows").glob("*.yaml"))
SHOWN = ROOT / "flows" / "media"
DOG = SHOWN / "dog.png"
INPUTS = {
    "image": str(DOG), "audio": str(SHOWN / "note.wav"), "video": str(SHOWN / "apple.mp4"),
    "text": "a guitar on a blue ground", "prompt": "Film it spinning.",
}  # fmt: skip
CHOOSE = {"choose", "choose_about", "two_steps", "two_steps_about"}  # the LLM chooses what is made


def quick(flow: Flow) -> Flow:
    """The same flow with two denoising steps."""
    makes = {"generate": ("steps", 2), "agent": ("make", {name: {"steps": 2} for name in ("image", "audio", "video")})}
    changes = {
        f"{n.name}.{makes[n.stage.name][0]}": makes[n.stage.name][1] for n in flow.plan.nodes if n.stage.name in makes
    }
    return flow.with_fields(changes)


def test_bundle_is_sound() -> None:
    bundle = Bundle.open("pocket")
    assert verify(bundle) == []
    assert sum(file.stat().st_size for file in bundle.root.rglob("*") if file.is_file()) < 60e6


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
    assert set(result.outputs) == set(flow.spec.outputs) or path.stem in CHOOSE
    assert result.status == "done"


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
