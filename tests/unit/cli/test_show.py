from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.cli.main import main
from orchestrator.flow import dumps, parse

LINE = "image -> text"
Captured = pytest.CaptureFixture[str]


def test_show_prints_yaml_graph_and_memory(flow: None, capsys: Captured) -> None:
    assert main(["show", LINE]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(dumps(parse(LINE)))
    assert "● reason   reason   Reply" in shown
    assert "LlamaForCausalLM" in shown
    assert "9.2 MB" in shown
    assert shown.endswith("cpu float32: about 9.6 MB at most of 1.0 GB to use\n")


def test_show_yaml_alone_is_a_flow_file(flow: None, capsys: Captured) -> None:
    assert main(["show", LINE, "--yaml"]) == 0
    assert capsys.readouterr().out == dumps(parse(LINE))


def test_show_mermaid(flow: None, capsys: Captured) -> None:
    assert main(["show", LINE, "--mermaid"]) == 0
    assert capsys.readouterr().out == "graph TD;\n"


def test_show_png(flow: None, capsys: Captured, tmp_path: Path) -> None:
    assert main(["show", LINE, "--png", str(tmp_path / "g.png")]) == 0
    assert capsys.readouterr().out == f"{tmp_path}/g.png\n"
    assert (tmp_path / "g.png").read_bytes().startswith(b"\x89PNG")
