"""Each way through the tiny bundles, run once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from orchestrator.cli.main import main
from orchestrator.engine.tryout import SAMPLES, tryout
from orchestrator.models.bundle import Bundle
from orchestrator.models.bundle.verify import verify
from orchestrator.nodes.media import Media
from orchestrator.nodes.modality import MODALITIES


def test_there_is_a_sample_of_every_modality() -> None:
    assert {m: Media.load(make(), m).modality for m, make in SAMPLES.items()} == {m: m for m in MODALITIES}


def test_all_ways_of_the_any_to_any_bundle(tiny_any_bundle: Path) -> None:
    found = list(tryout(Bundle.open(tiny_any_bundle), "cpu"))
    assert {way.status for way in found} == {"ran"}, found
    assert [way.said.split()[0] for way in found] == ["text"] * 3 + ["image"] * 2 + ["audio"] * 2 + ["video"] * 2
    assert all(way.seconds > 0 for way in found)


def test_what_fails_names_its_node(tiny_any_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Files and widths are right, and yet it can't draw; all other ways are tried all the same."""
    copied = Path(shutil.copytree(tiny_any_bundle, tmp_path / "b"))
    spec = yaml.safe_load((copied / "bundle.yaml").read_text())
    spec["generators"]["image"]["settings"]["width"] = 31
    del spec["output_projectors"]["video"], spec["generators"]["audio"], spec["output_projectors"]["audio"]
    (copied / "bundle.yaml").write_text(yaml.safe_dump(spec))
    assert verify(Bundle.open(copied)) == []
    assert main(["bundle", "verify", str(copied), "--device", "cpu"]) == 1
    lines = [line for line in capsys.readouterr().out.splitlines() if line[0] in "✓✗–"]
    assert [line[0] for line in lines] == list("✓✓✓✗✗–✓")
    assert all("failed: node 'generate': width 31" in line for line in lines[3:5])
    assert "lacks: node 'output_project': bundle 'tiny-any' has no output_projectors.video" in lines[5]
