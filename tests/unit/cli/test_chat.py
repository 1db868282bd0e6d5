"""`orch chat` from a pipe, with a scripted LLM."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from orchestrator.cli.main import main
from orchestrator.errors import Cancelled
from orchestrator.testing.llm import ScriptedModel
from tests.stubs import bare_bundle

Captured = pytest.CaptureFixture[str]
Talk = Callable[..., int]


@pytest.fixture
def llm() -> Iterator[ScriptedModel]:
    with ScriptedModel("Hello.", "Fine\x1b[2J\n\nand you?") as found:
        yield found


@pytest.fixture
def talk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, llm: ScriptedModel) -> Talk:
    bundle = bare_bundle(tmp_path / "bare")
    (bundle / "llm").mkdir()
    (bundle / "llm" / "config.json").write_text("{}")
    (bundle / "llm" / "model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    monkeypatch.chdir(tmp_path)

    def run(said: str | bytes, *options: str) -> int:
        data = said.encode() if isinstance(said, str) else said
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))
        return main(["chat", "--bundle", str(bundle), *options])

    return run


def test_each_line_is_a_turn(talk: Talk, capsys: Captured, tmp_path: Path) -> None:
    assert talk("Hi!\n\nHow are you?") == 0
    assert capsys.readouterr() == ("Hello.\nFine�[2J\n\nand you?\n", "")
    runs = list((tmp_path / "runs").iterdir())
    assert [json.loads((run / "run.json").read_text())["status"] for run in runs] == ["done", "done"]


def test_json_has_an_object_a_turn(talk: Talk, capsys: Captured) -> None:
    assert talk("Hi!\n/flwo\n/flow\nHow?\nMore?\n", "--json", "--seed", "5") == 2
    out, err = capsys.readouterr()
    first, wrong, second, failed = map(json.loads, out.splitlines())
    assert (first["outputs"]["text"]["text"], first["seed"], second["seed"]) == ("Hello.", 5, 6)
    assert (wrong["status"], failed["status"]) == ("failed", "failed")
    assert "Did you mean '/flow'?" in wrong["error"]
    assert "flow: chat" in err


def test_what_fails_does_not_end_the_chat(talk: Talk, capsys: Captured, llm: ScriptedModel) -> None:
    assert talk("Hi!\nwhat is gone.png?\nHow are you?\nMore?\n") == 2
    out, err = capsys.readouterr()
    assert out.startswith("Hello.\nFine")
    assert "error: there is no file gone.png." in err
    assert "error: node 'reason' (reason): the script is at its end" in err
    assert len(llm.requests) == 3


def test_a_run_that_fails_first_is_a_1(talk: Talk, llm: ScriptedModel) -> None:
    llm.replies = []
    assert talk("Hi!\n/nothing\n") == 1


def test_ctrl_c_ends_one_that_nobody_is_at(talk: Talk, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    def stopped(*_: Any, **__: Any) -> None:
        raise Cancelled("run r was stopped")

    monkeypatch.setattr("orchestrator.engine.chat.Chat.say", stopped)
    assert talk("Hi!\nHow are you?\n") == 130
    assert capsys.readouterr().err == "interrupted: run r was stopped\n"


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("/hlep", 2, "there is no command '/hlep'. Did you mean '/help'?"),
        ("/save", 2, "/save needs a file, e.g. /save talk.jsonl"),
        ("/save talk", 2, "nothing to save: nobody has replied yet"),
        ("/trace", 2, "there is no trace yet: say something first"),
        ("/trace onn", 2, "/trace takes on, off or nothing, not 'onn'. Did you mean 'on'?"),
        ("/flow flwo.yaml", 2, "no flow: 'flwo.yaml' is neither a YAML file nor an arrow line"),
        ("/flow image -> text", 2, "bundle 'bare' has no encoders.image"),
        ("picture.png", 2, "picture.png is image, but this chat takes: text"),
        ("bad.png what?", 2, "bad.png"),
    ],
)
def test_bad_lines(line: str, code: int, message: str, talk: Talk, capsys: Captured, tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "picture.png")
    (tmp_path / "bad.png").write_bytes(b"no picture")
    assert talk(line) == code
    assert message in capsys.readouterr().err


def test_commands(talk: Talk, capsys: Captured, tmp_path: Path) -> None:
    lines = ["/help", "/flow text -> text", "/flow", "/flow own", "Hi!", "/trace", "/trace on", "/new", "How?"]
    assert talk("\n".join([*lines, "/save talk", "/quit", "never said"])) == 0
    out, err = capsys.readouterr()
    for told in (
        "/save FILE",
        "flow text-to-text: takes text; gives text",
        "stage: reason",
        "✓ reason",
        "a new dialogue",
    ):
        assert told in out
    assert "reason (reason) ran" in err
    assert "saved to talk.jsonl" in out
    (line,) = (tmp_path / "talk.jsonl").read_text().splitlines()
    assert json.loads(line)["turns"][0] == {"role": "user", "content": ["How?"]}
    assert not (tmp_path / "talk").exists()
    assert talk("/quit") == 0


def test_what_is_there_is_not_written_over(talk: Talk, capsys: Captured, tmp_path: Path) -> None:
    (tmp_path / "talk.jsonl").write_text("kept")
    assert talk("Hi!\n/save talk.jsonl\n/save no/where.jsonl\n") == 2
    err = capsys.readouterr().err
    assert "talk.jsonl is there already: choose another name" in err
    assert "cannot write to no/where" in err
    assert (tmp_path / "talk.jsonl").read_text() == "kept"


def test_text_that_is_no_utf8(talk: Talk, capsys: Captured) -> None:
    assert talk(b"Hi \xff\n") == 2
    assert "no UTF-8 text: byte 3 is wrong" in capsys.readouterr().err
