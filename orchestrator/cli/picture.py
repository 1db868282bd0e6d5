"""The graph of a flow as a PNG, drawn from top to bottom with Pillow: no network, no other program."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont

from orchestrator.cli.drawing import Box, Drawing
from orchestrator.errors import OutputError

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont
    from PIL.ImageFont import ImageFont as BitmapFont

    Font = FreeTypeFont | BitmapFont

Point = tuple[float, float]

SCALE = 2  # drawn twice as large as the figures below say, for sharp text
WIDTH, HEIGHT, GAP_X, GAP_Y, MARGIN = 220, 62, 36, 44, 28
INK, FAINT, PAPER = "#18181b", "#71717a", "#ffffff"
# A box and the edges that leave it have the colour of what it makes.
COLOURS = {
    "Media": "#0f766e",
    "Features": "#1d4ed8",
    "Prompts": "#6d28d9",
    "Reply": "#b45309",
    "Signals": "#be123c",
    "Condition": "#a21caf",
}


def save_png(drawing: Drawing, path: Path) -> None:
    """Draw the graph and save it."""
    image = draw(drawing)
    try:
        image.save(path, format="PNG")
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from error


def draw(drawing: Drawing) -> Image.Image:
    """The graph as a picture."""
    places = layout(drawing)
    columns = max((x for x, _ in places.values()), default=0) + 1
    rows = max((y for _, y in places.values()), default=0) + 1
    size = (columns * (WIDTH + GAP_X) + 2 * MARGIN, rows * (HEIGHT + GAP_Y) - GAP_Y + 2 * MARGIN)
    image = Image.new("RGB", (round(size[0] * SCALE), round(size[1] * SCALE)), PAPER)
    pen = ImageDraw.Draw(image)
    boxes = {box.key: box for box in drawing.boxes}
    for source, target in drawing.edges:
        _edge(pen, _corner(places[source]), _corner(places[target]), _colour(boxes[source]))
    for key, box in boxes.items():
        _box(pen, box, _corner(places[key]))
    return image


def layout(drawing: Drawing) -> dict[str, tuple[float, int]]:
    """(column, row) of every box: below all that it reads, near the middle of it; columns may be halves."""
    before: dict[str, list[str]] = {box.key: [] for box in drawing.boxes}
    after: dict[str, list[str]] = {box.key: [] for box in drawing.boxes}
    for source, target in drawing.edges:
        before[target].append(source)
        after[source].append(target)
    row: dict[str, int] = {}
    for key in before:
        row[key] = max((row[b] + 1 for b in before[key]), default=0)
    for key in before:  # an input moves down to its first reader
        if not before[key] and after[key]:
            row[key] = min(row[a] for a in after[key]) - 1
    column: dict[str, float] = {}
    aside = {box.key: box.role == "output" for box in drawing.boxes}  # they stand aside: the chain goes on
    for level in sorted(set(row.values())):
        keys = [key for key in before if row[key] == level]
        wanted = {key: _mean([column[b] for b in before[key] if b in column]) for key in keys}
        free = 0.0
        for key in sorted(keys, key=lambda k: (wanted[k], aside[k])):
            column[key] = max(free, wanted[key] - (len(keys) - 1) / 2 if len(keys) > 1 else wanted[key])
            free = column[key] + 1
    return {key: (column[key], row[key]) for key in before}


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _corner(place: tuple[float, int]) -> Point:
    return MARGIN + place[0] * (WIDTH + GAP_X), MARGIN + place[1] * (HEIGHT + GAP_Y)


def _colour(box: Box) -> str:
    return COLOURS[box.made[0][1].kind] if box.made else FAINT


def _box(pen: ImageDraw.ImageDraw, box: Box, corner: Point) -> None:
    x, y = corner
    colour = _colour(box)
    outline = [v * SCALE for v in (x, y, x + WIDTH, y + HEIGHT)]
    radius = HEIGHT / 2 if box.role != "node" else 10
    pen.rounded_rectangle(outline, radius * SCALE, fill="#fafafa", outline=colour, width=2 * SCALE)
    does = f"{box.does}  when {box.when}" if box.when else box.does
    lines = ((box.name, 16, INK), (does, 12, colour), (box.types, 11, FAINT))
    for (text, size, ink), top in zip(lines, (16, 34, 49), strict=True):
        font = ImageFont.load_default(size * SCALE)
        middle = ((x + WIDTH / 2) * SCALE, (y + top) * SCALE)
        pen.text(middle, _cut(text, font), fill=ink, font=font, anchor="mm")


def _cut(text: str, font: Font) -> str:
    """As much of the text as fits into a box."""
    while font.getlength(text) > (WIDTH - 24) * SCALE:
        text = text.removesuffix("...")[:-1] + "..."
    return text


def _edge(pen: ImageDraw.ImageDraw, source: Point, target: Point, colour: str) -> None:
    """A curve from one box to another, with an arrow: from foot to head, or past other boxes along their right."""
    (x0, y0), (x1, y1) = source, target
    if y1 - y0 > HEIGHT + GAP_Y and abs(x1 - x0) < WIDTH:
        side = max(x0, x1) + WIDTH + GAP_X
        start, end = (x0 + WIDTH, y0 + HEIGHT / 2), (x1 + WIDTH + 2, y1 + HEIGHT / 2)
        controls = ((side, start[1]), (side, end[1]))
        wings = [(end[0] + 9, end[1] - 5), (end[0] + 9, end[1] + 5)]
    else:
        start, end = (x0 + WIDTH / 2, y0 + HEIGHT), (x1 + WIDTH / 2, y1 - 2)
        middle = (start[1] + end[1]) / 2
        controls = ((start[0], middle), (end[0], middle))
        wings = [(end[0] - 5, end[1] - 9), (end[0] + 5, end[1] - 9)]
    points = [_bezier(i / 32, start, *controls, end) for i in range(33)]
    pen.line([(x * SCALE, y * SCALE) for x, y in points], fill=colour, width=2 * SCALE, joint="curve")
    pen.polygon([(x * SCALE, y * SCALE) for x, y in (end, *wings)], fill=colour)


def _bezier(t: float, *points: Point) -> Point:
    """The point at `t` of the cubic curve with these four points."""
    weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3)
    return (
        sum(w * x for w, (x, _) in zip(weights, points, strict=True)),
        sum(w * y for w, (_, y) in zip(weights, points, strict=True)),
    )
