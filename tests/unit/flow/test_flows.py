"""The flows that ship."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.flow.arrows import parse
from orchestrator.flow.wiring import wire
from orchestrator.flow.yaml_io import dumps, load

FLOWS = sorted((Path(__file__).parents[3] / "flows").glob("*.yaml"))


@pytest.mark.parametrize("path", FLOWS, ids=lambda path: path.stem)
def test_every_flow_is_sound_and_in_the_layout_that_is_written(path: Path) -> None:
    spec = load(path)
    wire(spec)
    comment, body = path.read_text(encoding="utf-8").split("\n", 1)
    assert comment.startswith("# ")
    assert body == dumps(spec)


@pytest.mark.parametrize("name", ["image_to_video", "image_to_text", "text_to_video", "ask"])
def test_it_is_the_flow_of_its_line(name: str) -> None:
    spec = load(Path(__file__).parents[3] / "flows" / f"{name}.yaml")
    assert spec.model_copy(update={"flow": "a"}) == parse(spec.doc).model_copy(update={"flow": "a"})
