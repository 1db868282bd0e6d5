"""Terminal pictures as SVG files, for pages that show them."""

from __future__ import annotations

import io
import re
from pathlib import Path

from rich.console import Console, RenderableType

from orchestrator.errors import OutputError

WIDTH = 100
_WEB_FONTS = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)
_HALF_BLOCKS = re.compile(r'<text (class="[^"]+" x="[^"]+") y="([^"]+)" textLength="([^"]+)"[^>]*>▀+</text>')
_INDENTED = re.compile(r'x="([^"]+)" y="([^"]+)" textLength="([^"]+)" ([^>]*)>((?:&#160;)+)')
# In rich's SVG a cell is 12.2 wide; a row is 24.4 high and begins 18.5 above the text's baseline.
_CELL, _HALF_ROW, _BASELINE = 12.2, 12.2, 18.5


def save_svg(picture: RenderableType, path: Path, title: str, width: int = WIDTH) -> None:
    """Save what a terminal of `width` cells would show."""
    console = Console(record=True, width=width, force_terminal=True, color_system="truecolor", file=io.StringIO())
    console.print(picture)
    try:
        path.write_text(_self_contained(console.export_svg(title=title)), encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from error


def _self_contained(svg: str) -> str:
    """The same picture in every viewer: without fonts from the web, with half blocks as rectangles (their glyphs leave
    gaps in most fonts), and without blanks before a text (some viewers drop them)."""
    return _INDENTED.sub(_moved, _HALF_BLOCKS.sub(_rectangle, _WEB_FONTS.sub("", svg)))


def _rectangle(match: re.Match[str]) -> str:
    place, y, width = match.groups()
    top = float(y) - _BASELINE
    return f'<rect {place} y="{top:.1f}" width="{width}" height="{_HALF_ROW}" shape-rendering="crispEdges"/>'


def _moved(match: re.Match[str]) -> str:
    x, y, length, rest, blanks = match.groups()
    by = _CELL * (len(blanks) // len("&#160;"))
    return f'x="{float(x) + by:.1f}" y="{y}" textLength="{float(length) - by:.1f}" {rest}>'
