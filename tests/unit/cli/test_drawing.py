from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from orchestrator.cli.drawing import Drawing
from orchestrator.cli.picture import draw, layout, save_png
from orchestrator.errors import OutputError
from orchestrator.flow import loads, parse, wire

LINES = [
    "image -> text -> video", "image + text -> text -> video", "text -> image + audio", "image -> text -> video -> text",
]  # fmt: skip


def test_the_terminal_picture(drawn: Callable[..., str]) -> None:
    shown = drawn(Drawing.of(wire(parse("image + text -> text"))), width=80)
    assert [line.rstrip() for line in shown.splitlines()] == [
        "◇   image    input    Media[image]",
        "●   encode   encode   Features[image]",
        "●   project  project  Prompts[image]",
        "│ ◇ text     input    Media[text]",
        "├─╯",
        "●   reason   reason   Reply",
        "●   decode   decode   Media[text]",
        "◆   text     output   Media[text]",
    ]


def test_several_ports_and_conditions_are_named(drawn: Callable[..., str]) -> None:
    plan = wire(loads(
        "flow: f\ninputs: {text: text}\nnodes:\n"
        "  think: {stage: reason, prompt: $text}\n"
        "  split: {stage: decode, reply: $think}\n"
        "  film:  {stage: output_project, signal: $split.video, when: $split.audio}\n"
        "  make:  {stage: generate, condition: $film}\n"
        "outputs: {caption: $split.text, video: $make}\n"
    ))  # fmt: skip
    shown = drawn(Drawing.of(plan))
    assert "text: Media[text]" in shown
    assert "Condition[video]  when $split.audio" in shown


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
    assert all(b - a >= 1 for (i, a), (j, b) in zip(places, places[1:], strict=False) if i == j)


def test_the_png(tmp_path: Path) -> None:
    drawing = Drawing.of(wire(parse(LINES[0])))
    save_png(drawing, tmp_path / "g.png")
    with Image.open(tmp_path / "g.png") as image:
        assert image.size == draw(drawing).size
        assert len(image.getcolors(1 << 20) or []) > 10


def test_a_png_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written: No such file or directory"):
        save_png(Drawing.of(wire(parse(LINES[0]))), tmp_path / "no" / "g.png")
