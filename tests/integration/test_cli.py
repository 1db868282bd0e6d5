"""`orch` from end to end, on the tiny bundle."""

from __future__ import annotations

import _thread
import json
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from orchestrator.cli.live import PlainLines
from orchestrator.cli.main import main
from orchestrator.engine import events as ev

LINE = "image -> text -> video"
FLOWS = Path(__file__).parents[2] / "flows"
FAST = ["--set", "reason.max_new_tokens=4", "--set", "generate_2.steps=2", "--set", "generate_2.frames=2"]
Captured = pytest.CaptureFixture[str]


@pytest.fixture
def words(tiny_bundle: Path, tmp_path: Path) -> list[str]:
    """The arguments of a short run."""
    Image.new("RGB", (40, 30), "red").save(tmp_path / "red.png")
    return ["--bundle", str(tiny_bundle), "-i", f"image={tmp_path}/red.png", "--out", str(tmp_path / "runs"), *FAST]


def run_json(words: list[str], capsys: Captured) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["run", *words, "--json"]) == 0
    shown: dict[str, Any] = json.loads(capsys.readouterr().out)
    return shown


def test_a_run_and_its_repetition(words: list[str], capsys: Captured) -> None:
    first = run_json([LINE, *words, "--no-cache"], capsys)
    assert first["status"] == "done"
    assert {node["status"] for node in first["nodes"]} == {"ran"}
    assert [node["stage"] for node in first["nodes"]][-1] == "generate"
    folder = Path(first["outputs"]["video"]["path"]).parent
    assert {"text.txt", "video.mp4", "run.json", "events.jsonl", "flow.yaml"} <= {p.name for p in folder.iterdir()}
    assert json.loads((folder / "run.json").read_text()) == first
    again = run_json([LINE, *words], capsys)
    assert {node["status"] for node in again["nodes"]} == {"cached"}
    assert Path(again["outputs"]["video"]["path"]).read_bytes() == (folder / "video.mp4").read_bytes()


def test_an_arrow_line_and_the_file_it_stands_for(words: list[str], tmp_path: Path, capsys: Captured) -> None:
    assert main(["show", LINE, *words[:2], "--yaml"]) == 0
    (tmp_path / "flow.yaml").write_text(capsys.readouterr().out)
    line, file = (run_json([flow, *words, "--no-cache"], capsys) for flow in (LINE, str(tmp_path / "flow.yaml")))
    assert line["outputs"]["text"]["text"] == file["outputs"]["text"]["text"]
    videos = [Path(made["outputs"]["video"]["path"]).read_bytes() for made in (line, file)]
    assert videos[0] == videos[1]


def test_ctrl_c_leaves_a_readable_folder(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    def show(self: PlainLines, event: ev.Event) -> None:
        if isinstance(event, ev.NodeProgress) and event.stage == "generate":
            _thread.interrupt_main()
            time.sleep(0.3)  # the main thread is to take it before the run is over

    monkeypatch.setattr(PlainLines, "__call__", show)
    assert main(["run", LINE, *words, "--no-cache", "--json", "--set", "generate_2.negative=dull"]) == 130
    out, err = capsys.readouterr()
    assert err.startswith("interrupted: run ")
    shown = json.loads(out)
    assert shown["status"] == "interrupted"
    (folder,) = (tmp_path / "runs").iterdir()
    assert (folder / "text.txt").is_file()
    assert json.loads((folder / "run.json").read_text())["status"] == "interrupted"


BAD = [
    ([LINE], "input 'image' (image) is missing"),
    ([LINE, "-i", "image={tmp}/none.png"], "none.png: no such file"),
    ([LINE, "-i", "image={tmp}/text.png"], "is no picture that can be read"),
    ([LINE, "-i", "imag=x"], "has no input 'imag'. Did you mean 'image'?"),
    ([LINE, "--set", "generate_2.stps=4"], "no port or field 'stps'. Did you mean 'steps'?"),
    ([LINE, "-i", "image={tmp}/red.png", "--out", "{tmp}/text.png/runs"], "cannot write to the output folder"),
    (["image -> vdeo"], "unknown modality 'vdeo'. Did you mean 'video'?"),
    ([LINE, "--bundle", "pokcet"], "unknown bundle 'pokcet'"),
]


@pytest.mark.parametrize(("given", "message"), BAD, ids=[message for _, message in BAD])
def test_wrong_input(given: list[str], message: str, words: list[str], tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "text.png").write_text("no picture")
    assert main(["run", *words[:2], *(word.format(tmp=tmp_path) for word in given)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert message in err
    assert "Traceback" not in err


def test_the_other_commands_on_a_real_bundle(tiny_bundle: Path, tiny_any_bundle: Path, capsys: Captured) -> None:
    bundle = str(tiny_bundle)
    assert main(["show", LINE, "--bundle", bundle]) == 0
    assert "LlamaForCausalLM" in capsys.readouterr().out
    assert main(["show", LINE, "--bundle", bundle, "--mermaid"]) == 0
    assert "decode_2 --> output_project_2" in capsys.readouterr().out
    assert main(["bundle", "show", bundle]) == 0
    assert "[VID{}]" in capsys.readouterr().out
    assert main(["bundle", "verify", bundle, "--no-run"]) == 0
    assert capsys.readouterr().out.startswith("tiny: sound (9 parts")
    assert main(["check", *map(str, FLOWS.glob("*.yaml")), "--bundle", str(tiny_any_bundle)]) == 0
    assert capsys.readouterr().out.count(": sound\n") == len(list(FLOWS.glob("*.yaml")))
