from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from PIL import Image

from orchestrator.cli.drawing import Drawing
from orchestrator.cli.picture import draw, layout, save_png
from orchestrator.errors import OutputError
from orchestrator.flow import parse, wire

LINES = [
    "image -> text -> video",
    "image + text -> text -> video",
    "text -> image + audio",
    "image -> text -> video -> text",
]


@pytest.mark.parametrize("line", LINES)
def test_everything_is_drawn_below_what_it_reads(line: str) -> None:
    drawing = Drawing.of(wire(parse(line)))
    places = layout(drawing)
    assert len(set(places.values())) == len(places) == len(drawing.boxes)
    assert all(places[source][1] < places[target][1] for source, target in drawing.edges)
    assert all(column >= 0 for column, _ in places.values())


@pytest.mark.parametrize("line", LINES)
def test_boxes_of_a_row_stand_apart(line: str) -> None:
    places = sorted((row, column) for column, row in layout(Drawing.of(wire(parse(line)))).values())
    assert all(b - a >= 1 for (i, a), (j, b) in pairwise(places) if i == j)


def test_the_png(tmp_path: Path) -> None:
    drawing = Drawing.of(wire(parse(LINES[0])))
    save_png(drawing, tmp_path / "g.png")
    with Image.open(tmp_path / "g.png") as image:
        assert image.size == draw(drawing).size
        assert len(image.getcolors(1 << 20) or []) > 10


def test_a_png_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written: No such file or directory"):
        save_png(Drawing.of(wire(parse(LINES[0]))), tmp_path / "no" / "g.png")
