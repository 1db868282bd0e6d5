from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from PIL import Image
from rich.text import Text

from orchestrator.cli.previews import thumbnail
from orchestrator.cli.svg import save_svg
from orchestrator.cli.trace import render_trace
from orchestrator.engine import events as ev
from orchestrator.errors import OutputError


def test_it_is_whole_and_needs_no_network(a_run: list[ev.Event], tmp_path: Path) -> None:
    save_svg(render_trace(a_run), tmp_path / "t.svg", "orch run <x>")
    text = (tmp_path / "t.svg").read_text()
    ET.fromstring(text)
    assert "font-face" not in text
    assert not re.search(r"https?://(?!www\.w3\.org|www\.textualize)", text)
    assert "▀" not in text


def test_a_half_block_is_the_upper_half_of_its_cell(tmp_path: Path) -> None:
    save_svg(thumbnail(Image.new("RGB", (2, 4), "red")), tmp_path / "t.svg", "t")
    text = (tmp_path / "t.svg").read_text()
    tops = re.findall(r'<rect class="[^"]+" x="0" y="([\d.]+)" width="24.4" height="12.2"', text)
    assert tops == ["1.5", "25.9"]


def test_blanks_before_a_text_become_its_place(tmp_path: Path) -> None:
    save_svg(Text("   ab"), tmp_path / "t.svg", "t")
    assert re.search(r'x="36.6" y="20" textLength="24.4" [^>]*>ab<', (tmp_path / "t.svg").read_text())


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written: Is a directory"):
        save_svg(Text("a"), tmp_path, "t")
