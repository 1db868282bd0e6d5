"""The flows that ship."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.flow.arrows import parse
from orchestrator.flow.wiring import wire
from orchestrator.flow.yaml_io import dumps, load

FLOWS = sorted((Path(__file__).parents[3] / "flows").glob("*.yaml"))
OF_NO_LINE = {"film_this", "choose", "choose_about", "two_steps", "two_steps_about"}  # their replies choose


@pytest.mark.parametrize("path", FLOWS, ids=lambda path: path.stem)
def test_every_flow_is_sound_and_in_the_layout_that_is_written(path: Path) -> None:
    spec = load(path)
    wire(spec)
    comment, body = path.read_text(encoding="utf-8").split("\n", 1)
    assert comment.startswith("# ")
    assert body == dumps(spec)


@pytest.mark.parametrize("path", [p for p in FLOWS if p.stem not in OF_NO_LINE], ids=lambda path: path.stem)
def test_it_is_the_flow_of_its_line(path: Path) -> None:
    spec = load(path)
    assert spec.model_copy(update={"flow": "a"}) == parse(spec.doc).model_copy(update={"flow": "a"})
