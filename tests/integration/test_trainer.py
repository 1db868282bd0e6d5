"""`orch train` with the pocket bundle: from a recipe to a bundle that runs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.cli.main import main
from orchestrator.models.bundle import Bundle
from orchestrator.train.graph.flow_task import FlowTask

MEDIA = Path(__file__).parents[1] / "media" / "pictures"
RECIPE = """
recipe: toy
flow: "image -> text"
objectives: {txt_gen: 1.0}
train: {input_projectors.image: {kind: mlp, config: {num_tokens: 4}}}
data: [{reader: pairs, path: pairs.tsv, ask: describe, modality: image}]
batch_size: 4
steps: 3
schedule: constant
warmup: 0
precision: fp32
log: 1
sample: {every: 2, count: 1}
checkpoint: {every: 2}
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A recipe on the pictures of these tests."""
    rows = [f"a {path.stem}\t{path}\n" for path in sorted(MEDIA.glob("*.png"))]
    (tmp_path / "pairs.tsv").write_text("".join(rows))
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    return tmp_path / "recipe.yaml"


def orch(recipe: Path, *words: str) -> int:
    return main(["train", str(recipe), "--out", str(recipe.parent / "out"), "--json", "--quiet", *words])


def test_a_recipe_becomes_a_bundle_that_runs(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert orch(recipe) == 0
    result, out = json.loads(capsys.readouterr().out), recipe.parent / "out"
    assert (result["run"], result["status"], result["step"]) == ("toy", "done", 3)
    assert {path.name for path in out.iterdir()} >= {
        "bundle", "checkpoints", "curves.png", "metrics.jsonl", "recipe.yaml", "report.json", "samples", "tensorboard",
    }  # fmt: skip
    assert len((out / "metrics.jsonl").read_text().splitlines()) == 3
    assert list((out / "samples" / "step-2").glob("*.txt"))
    parts = out / "checkpoints" / "step-3" / "parts"
    assert [path.name for path in parts.iterdir()] == ["input_projectors.image"]
    assert Bundle.open(result["bundle"]).spec.name == "toy"
    words = [
        "run",
        "image -> text",
        "--bundle",
        result["bundle"],
        "-i",
        f"image={MEDIA / 'cat.png'}",
        "--json",
        "--quiet",
    ]
    assert main([*words, "--out", str(recipe.parent / "runs")]) == 0
    assert json.loads(capsys.readouterr().out)["outputs"]["text"]["text"]


def test_it_goes_on_only_with_the_same_recipe(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert orch(recipe, "--resume") == 2
    assert "--resume: there is no checkpoint" in capsys.readouterr().err
    assert orch(recipe) == 0
    assert orch(recipe, "--set", "lr=5e-4") == 2
    assert "lr: 0.001 -> 0.0005" in capsys.readouterr().err
    assert orch(recipe, "--resume", "--steps", "4") == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["step"] == 4
    assert orch(recipe, "--fresh", "--set", "lr=5e-4") == 0
    assert json.loads(capsys.readouterr().out)["step"] == 3


def test_a_run_that_is_over_leaves_its_bundle_as_it_is(recipe: Path) -> None:
    """Runs that go on from a bundle know it by its files: a second call may not make others of them."""
    bundle = recipe.parent / "out" / "bundle"

    def files() -> dict[Path, tuple[int, bytes]]:
        return {f: (f.stat().st_mtime_ns, f.read_bytes()) for f in bundle.rglob("*") if f.is_file()}

    assert orch(recipe) == 0
    before = files()
    assert orch(recipe) == 0
    assert files() == before
    assert orch(recipe, "--steps", "4") == 0
    longer = files()
    weights = next(f for f in before if f.suffix == ".safetensors")
    assert longer[weights][1] != before[weights][1]
    assert Bundle.open(bundle).spec.name == "toy"
    assert not bundle.with_name("bundle.partial").exists()


def test_a_bundle_that_was_not_written_whole_is_written_anew(
    recipe: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def killed(task: FlowTask, folder: Path, step: int) -> None:
        folder.mkdir()
        (folder / "half").write_text("")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(FlowTask, "export", killed)
        assert orch(recipe) != 0
    bundle = recipe.parent / "out" / "bundle"
    assert not bundle.exists()
    assert orch(recipe) == 0
    assert Bundle.open(bundle).spec.name == "toy"
    assert not (bundle / "half").exists()


def test_a_dry_run_writes_nothing(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert orch(recipe, "--dry-run") == 0
    assert json.loads(capsys.readouterr().out)["status"] == "rehearsed"
    assert not (recipe.parent / "out").exists()


def test_too_many_broken_samples_stop_the_run_and_are_reported(
    recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (recipe.parent / "broken.png").write_bytes(b"no picture")
    with (recipe.parent / "pairs.tsv").open("a") as file:
        file.write("a broken one\tbroken.png\n")
    assert orch(recipe, "--set", "batch_size=9") == 2
    assert "1 of 9 samples are broken" in capsys.readouterr().err
    report = json.loads((recipe.parent / "out" / "report.json").read_text())
    assert report["reasons"]["damaged medium"]["count"] == 1


def test_two_processes_train_together(recipe: Path) -> None:
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    words = ["-m", "orchestrator.cli.main", "train", str(recipe), "--out", str(recipe.parent / "out"), "--json"]
    env = os.environ | {"PYTHONPATH": str(MEDIA.parents[2]), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*launch, *words, "--set", "batch_size=2"], env=env, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["status"] == "done"  # one of the two speaks
    assert "2 processes · 4 samples a step" in done.stderr
