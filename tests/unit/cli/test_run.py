from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli.main import main
from orchestrator.cli.run import MAX_TEXT_FILE
from orchestrator.engine import events as ev
from orchestrator.engine.result import NodeResult, Result
from orchestrator.errors import NodeError, UserError
from orchestrator.flow import parse
from orchestrator.models.placement.memory import MemoryPlan, PartPlan, Spot
from orchestrator.models.placement.needs import Need
from orchestrator.nodes.media import Media

LINE = "image + text -> text"
FILES = ("text.txt", "picture.png", "picture-2.png")

UNPLACED = {"device": "auto", "placement": {}, "memory": None}


class FakeFlow:
    """Plays the events of a run that never happened; remembers what it was asked."""

    spec = parse(LINE)

    def __init__(self, events: list[ev.Event], error: Exception | None = None) -> None:
        self.events, self.error = events, error
        self.inputs: dict[str, Any] = {}
        self.options: dict[str, Any] = {}
        self.changes: dict[str, str] = {}

    def memory_plan(self, **places: Any) -> MemoryPlan:
        asked = bool(places["placement"] or places["memory"])
        return MemoryPlan((PartPlan(Need("llm", "Llama", ("reason",), floats=10**6), Spot()),), asked=asked)

    def run(self, inputs: dict[str, Any], *, on_event: Callable[[ev.Event], None], **options: Any) -> Result:
        self.inputs, self.options = inputs, options
        if self.error:
            raise self.error
        for event in self.events:
            on_event(event)
        text, picture = Media("text", "A red fox."), self.events[0].inputs["image"]  # type: ignore[attr-defined]
        node = NodeResult("decode", "decode", "ran", 0.1, "cpu", 1, {"text": "text"})
        outputs = {"text": text, "picture": picture}
        several = {"text": (text,), "picture": (picture, picture)}
        paths = {file.partition(".")[0]: Path("runs/r1") / file for file in FILES}
        return Result("r1", "done", 0, 1.0, outputs, several, paths, (node,))


@pytest.fixture
def flow(a_run: list[ev.Event], monkeypatch: pytest.MonkeyPatch) -> FakeFlow:
    made = FakeFlow(a_run)

    def of(text: str, bundle: str | None = None, changes: dict[str, str] | None = None) -> FakeFlow:
        if text != LINE:
            raise UserError(f"no flow: '{text}'")
        made.changes = changes or {}
        return made

    monkeypatch.setattr("orchestrator.engine.flow.Flow.of", of)
    return made


def test_the_trace_goes_to_stderr_and_the_outputs_to_stdout(flow: FakeFlow, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", LINE, "-i", "image=cat.png", "-i", "text=hello", "--seed", "7", "--set", "film.steps=4"]) == 0
    out, err = capsys.readouterr()
    assert out == "text: A red fox.\npicture: runs/r1/picture.png\npicture-2: runs/r1/picture-2.png\n"
    assert "film (generate) ran  6.80 s on cpu" in err
    assert flow.inputs == {"image": "cat.png", "text": "hello"}
    assert flow.options == {"seed": 7, "out": Path("runs"), "cache": True, **UNPLACED}
    assert "weights" not in err
    assert flow.changes == {"film.steps": "4"}


def test_json_is_the_only_thing_on_stdout(flow: FakeFlow, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", LINE, "--json", "--no-cache", "--out", "there", "--device", "cpu"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["run"] == "r1"
    assert shown["outputs"]["text"]["text"] == "A red fox."
    picture = shown["outputs"]["picture"]
    assert [picture["path"], *(more["path"] for more in picture["more"])] == [f"runs/r1/{file}" for file in FILES[1:]]
    assert flow.options == {"seed": 0, "out": Path("there"), "cache": False, **UNPLACED, "device": "cpu"}


def test_quiet_prints_the_paths_alone(flow: FakeFlow, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", LINE, "--quiet"]) == 0
    assert capsys.readouterr() == ("".join(f"runs/r1/{file}\n" for file in FILES), "")


def test_a_failed_run_exits_with_1(flow: FakeFlow, capsys: pytest.CaptureFixture[str]) -> None:
    flow.error = NodeError("film", "generate", "NaN")
    assert main(["run", LINE]) == 1
    assert capsys.readouterr() == ("", "error: node 'film' (generate): NaN\n")


@pytest.mark.parametrize(
    ("value", "meant"), [("@{file}", "What is it?"), ("@@home", "@home"), ("plain @ text", "plain @ text"), ("", "")]
)
def test_text_inputs(value: str, meant: str, flow: FakeFlow, tmp_path: Path) -> None:
    (tmp_path / "q.txt").write_text("What is it?\n")
    assert main(["run", LINE, "--quiet", "-i", f"text={value.format(file=tmp_path / 'q.txt')}"]) == 0
    assert flow.inputs == {"text": meant}


def test_an_address_as_text_is_a_text(flow: FakeFlow) -> None:
    assert main(["run", LINE, "--quiet", "-i", "text=https://example.org"]) == 0
    assert flow.inputs == {"text": "https://example.org"}


WRONG = [
    (["no.yaml"], "error: no flow: 'no.yaml'"),
    ([LINE, "-i", "cat.png"], "error: -i cat.png: not NAME=VALUE; type for example -i image=cat.png"),
    ([LINE, "-i", "=cat.png"], "error: -i =cat.png: not NAME=VALUE"),
    ([LINE, "-i", "image=a", "-i", "image=b"], "error: -i image: given twice, as 'a' and 'b'"),
    ([LINE, "--set", "film.steps"], "error: --set film.steps: not NAME=VALUE; type for example --set film.steps=4"),
    ([LINE, "-i", "image=https://example.org/cat.png"],
     "error: input 'image': https://example.org/cat.png is an address; add --allow-urls to fetch it, or give a file"),
    ([LINE, "-i", "text=@{tmp}/none.txt"], "error: input 'text': {tmp}/none.txt cannot be read: No such file"),
    ([LINE, "-i", "text=@{tmp}/latin1.txt"], "error: input 'text': {tmp}/latin1.txt is no UTF-8 text: byte 1 is wrong"),
    ([LINE, "-i", "text=@{tmp}/long.txt"], "error: input 'text': {tmp}/long.txt is longer than 1048576 bytes"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "message"), WRONG, ids=lambda value: value[-1] if isinstance(value, list) else None)
def test_wrong_calls_exit_with_2(
    words: list[str], message: str, flow: FakeFlow, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "latin1.txt").write_bytes(b"h\xe4?")
    (tmp_path / "long.txt").write_bytes(b"a" * (MAX_TEXT_FILE + 1))
    assert main(["run", *(word.format(tmp=tmp_path) for word in words)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(message.format(tmp=tmp_path))
    assert flow.options == {}


def test_an_allowed_address_is_fetched(flow: FakeFlow, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(url: str, folder: Path, name: str) -> Path:
        path = folder / "fetched.png"
        path.write_bytes(b"png")
        return path

    monkeypatch.setattr("orchestrator.nodes.media_fetch.fetch", fetch)
    assert main(["run", LINE, "--quiet", "--allow-urls", "-i", "image=https://example.org/cat.png"]) == 0
    assert flow.inputs["image"].name == "fetched.png"
    assert not flow.inputs["image"].exists()  # it lived as long as the run


def test_the_trace_is_saved_as_svg(flow: FakeFlow, tmp_path: Path) -> None:
    assert main(["run", LINE, "--quiet", "--trace-svg", str(tmp_path / "trace.svg")]) == 0
    assert "film-this" in (tmp_path / "trace.svg").read_text()


def test_an_svg_that_cannot_be_written_is_a_wrong_call(
    flow: FakeFlow, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", LINE, "--quiet", "--trace-svg", str(tmp_path / "no" / "trace.svg")]) == 2
    assert "trace.svg: cannot be written: No such file or directory" in capsys.readouterr().err


def test_a_placement_is_told_before_the_run(flow: FakeFlow, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--place", "llm=cpu,bfloat16", "--place", "*=offload", "--memory", "8GB"]
    assert main(["run", LINE, *words]) == 0
    placement = {"llm": {"device": "cpu", "dtype": "bfloat16"}, "*": {"offload": "model"}}
    assert (flow.options["placement"], flow.options["memory"]) == (placement, "8GB")
    err = capsys.readouterr().err
    assert "4.0 MB" in err
    assert "cpu float32: about 4.0 MB at most" in err
    assert err.index("weights") < err.index("film (generate)")
    assert main(["run", LINE, *words, "--quiet"]) == 0
    assert capsys.readouterr().err == ""


def test_a_placement_that_is_none(flow: FakeFlow, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", LINE, "--place", "llm"]) == 2
    assert "--place llm: not NAME=VALUE; type for example --place llm=cuda:1,bfloat16" in capsys.readouterr().err
    assert main(["run", LINE, "--place", "llm=cdua"]) == 2
    assert "unknown word 'cdua'. Did you mean 'cuda'?" in capsys.readouterr().err
