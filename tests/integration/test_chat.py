"""Dialogues with whole bundles: the one that ships, one of all modalities, and one with a scripted LLM."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from orchestrator.cli.chat_save import save
from orchestrator.cli.main import main
from orchestrator.engine.chat import Chat
from orchestrator.engine.flow import Flow
from orchestrator.engine.store import Store
from orchestrator.errors import InputError
from orchestrator.flow.spec import FlowSpec
from orchestrator.models.bundle import Bundle
from orchestrator.nodes.media import Audio, Video
from orchestrator.testing.llm import ScriptedModel
from orchestrator.train.data.entry import DataEntry
from tests import tiny

ROOT = Path(__file__).parents[2]
CAT, GUITAR = (ROOT / "tests" / "media" / "pictures" / f"{name}.png" for name in ("cat", "guitar"))
QUICK = {"route.make": {"video": {"steps": 2}}}


def test_the_pocket_bundle_films_what_it_saw(tmp_path: Path) -> None:
    chat = Chat(bundle="pocket", out=tmp_path / "runs", changes=QUICK)
    first = chat.say("What is this?", image=CAT)
    assert "cat" in first.reply
    assert first.made == ()
    held, read, found = len(chat.past), chat.past.read, chat.past.found
    second = chat.say("Film it spinning.")
    assert "cat" in second.reply
    assert [call.name for call in second.calls] == ["video"]
    (film,) = second.made
    assert film.path is not None
    assert film.path.parent == second.result.folder
    assert second["video"].video.frames.shape == (8, 64, 64, 3)
    assert chat.past.found - found >= held - 1 + held  # for the reply, and for the states at its signal
    assert chat.past.read - read < len(chat.past) + len(chat.past) - held
    saved = save(chat.exchanges, tmp_path / "talk.jsonl")
    sample = DataEntry(reader="manifest", path=str(saved)).open().read(0)
    assert [turn.role for turn in sample.turns] == ["user", "assistant"] * 2
    assert [ref.modality for ref in (*sample.inputs, *sample.outputs)] == ["image", "video"]
    assert sample.outputs[0].caption == second.calls[0].caption
    assert sample.outputs[0].load().video.frames.shape == (8, 64, 64, 3)


def test_a_kept_past_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    said = [("What is this?", CAT), ("Now film it.",), ("And this?", GUITAR)]
    kept = Chat(bundle="pocket", changes=QUICK)
    with_past = [kept.say(*turn) for turn in said]
    monkeypatch.setattr("orchestrator.engine.flow.STORE", Store())  # nothing is known of that
    plain = Chat(bundle="pocket", changes=QUICK)
    without = []
    for turn in said:
        plain.past.forget()
        without.append(plain.say(*turn))
    assert [exchange.reply for exchange in with_past] == [exchange.reply for exchange in without]
    ours, theirs = (turns[1]["video"].video.frames.astype(int) for turns in (with_past, without))
    assert np.abs(ours - theirs).max() <= 2
    assert kept.past.read < plain.past.read


def test_the_oldest_turns_are_forgotten_when_there_is_no_room() -> None:
    chat = Chat(bundle="pocket", changes={"reason.max_new_tokens": 120})
    forgot = [chat.say(f"What is this? {'Look. ' * 20}", CAT).forgot for _ in range(4)]
    assert forgot[0] == 0
    assert forgot[-1] > 0
    assert {after - before for before, after in pairwise(forgot)} <= {0, 2}  # one more exchange a turn is enough
    with pytest.raises(InputError, match=r"the dialogue has \d+ tokens|the prompt has \d+ tokens"):
        chat.say("Look. " * 300)


def test_all_modalities_in_one_turn(tiny_any_bundle: Path, tmp_path: Path) -> None:
    sound = Audio(np.sin(np.arange(8000, dtype=np.float32) / 9), 16000)
    film = Video(np.zeros((4, 32, 32, 3), np.uint8), 8)
    with ScriptedModel("A [image] and [audio] and [video]", "Yes.", width=tiny.WIDTH) as llm:
        quick = {"route.make": {m: {"steps": 2} for m in ("image", "audio", "video")}}
        chat = Chat(bundle=tiny_any_bundle, out=tmp_path, changes=quick)
        first = chat.say("Look.", CAT, sound, film, GUITAR)
        second = chat.say("Good?")
    asked = llm.requests[0].turns[0][1]
    assert asked[0] == asked[-2] == "[image]"
    assert asked[1] == "[audio]"
    assert asked[-1] == "Look."
    assert llm.requests[1].turns[1] == ("assistant", ("A ", "[image]", " and ", "[audio]", " and", "[video]", ""))
    assert [shown.media.modality for shown in first.made] == ["image", "audio", "video"]
    assert all(shown.path and shown.path.is_file() for shown in first.made)
    assert (second.reply, second.made) == ("Yes.", ())
    saved = json.loads(save(chat.exchanges, tmp_path / "talk.jsonl").read_text())
    media = [next(iter(p)) for turn in saved["turns"] for p in turn["content"] if isinstance(p, dict)]
    assert media == ["image", "audio", "video", "image", "image", "audio", "video"]


def test_an_agent_is_shown_again_what_it_made(tiny_any_bundle: Path) -> None:
    spec = {
        "flow": "given", "inputs": {"text": "text"}, "outputs": {"text": "$agent.text", "image": "$agent.image"},
        "nodes": {"agent": {"stage": "agent", "prompt": "$text", "make": {"image": {"steps": 2}}}},
    }  # fmt: skip
    with ScriptedModel("A [image]", "Done.", "Yes.", width=tiny.WIDTH) as llm:
        chat = Chat(Flow(FlowSpec.model_validate(spec), tiny_any_bundle))
        first = chat.say("Draw.")
        chat.say("Good?")
    assert (first.reply, [shown.media.modality for shown in first.made]) == ("Done.", ["image"])
    assert llm.requests[-1].turns[-2:] == (("assistant", ("Done.", "[image]", "")), ("user", ("[image]", "Good?")))


def test_real_turns_of_any_bundle(tiny_any_bundle: Path) -> None:
    chat = Chat(bundle=tiny_any_bundle, changes={"reason.max_new_tokens": 20, "route.make": {}})
    assert set(chat.flow.spec.inputs) == {"image", "audio", "video", "text"}
    for _ in range(2):
        assert chat.say("Hi!", CAT).result.status == "done"
    assert chat.past.found > 0


def test_a_flow_goes_on_without_what_is_not_shown() -> None:
    chat = Chat("image + text -> text", bundle="pocket")
    with pytest.raises(InputError, match="'image'"):  # nobody has shown one yet
        chat.say("What is this?")
    chat.say("What is this?", CAT)
    second = chat.say("What is this?")
    assert [node.name for node in second.result.nodes if node.status == "skipped"] == ["encode", "project"]
    assert "cat" in second.reply


def test_a_bundle_that_makes_nothing(tmp_path: Path) -> None:
    (tmp_path / "bundle.yaml").write_text(
        f"{{name: words, llm: {{checkpoint: {Bundle.open('pocket').path('llm')}, chat: pocket}}}}"
    )
    chat = Chat(bundle=tmp_path)
    assert list(chat.flow.spec.outputs) == ["text"]
    assert chat.say("a dog").result.status == "done"


def test_from_a_pipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", _Lines([f"{CAT}\n", "What is this?\n", "Now film it.\n"]))
    options = ["--out", str(tmp_path), "--set", "route.make={video: {steps: 2}}"]
    assert main(["chat", "--json", *options]) == 0
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert "cat" in first["outputs"]["text"]["text"]
    assert Path(second["outputs"]["video"]["path"]).is_file()


class _Lines(list[str]):
    def isatty(self) -> bool:
        return False


# --- at a terminal


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    Image.open(CAT).save(tmp_path / "my cat.png")
    made = Terminal(["chat", "--set", "route.make={video: {steps: 2}}"], tmp_path)
    yield made
    made.close()


class Terminal:
    """`orch` in a pseudo-terminal of its own."""

    def __init__(self, words: list[str], folder: Path) -> None:
        self.fd, theirs = pty.openpty()
        env = os.environ | {"PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "100", "LINES": "40"}
        command = [sys.executable, "-m", "orchestrator.cli.main", *words]
        self.process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=folder, env=env, start_new_session=True
        )
        os.close(theirs)
        self.shown, self._read = "", b""

    def wait_for(self, text: str, since: int = 0) -> str:
        """Read until a text is on the screen."""
        while text not in self.shown[since:]:
            assert select.select([self.fd], [], [], 120)[0], self.shown
            try:
                data = os.read(self.fd, 65536)
            except OSError:  # it has ended
                data = b""
            assert data, self.shown
            self._read += data
            self.shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self._read.decode(errors="ignore"))
        return self.shown

    def type(self, line: str) -> int:
        """Type a line; returns where the screen was."""
        since = len(self.shown)
        os.write(self.fd, line.encode())
        return since

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.fd)


def test_at_a_terminal(terminal: Terminal, tmp_path: Path) -> None:
    terminal.wait_for("pocket: takes image, audio, video, text; gives text, image, audio, video")
    terminal.wait_for("› ")
    since = terminal.type("'my cat.png'\n")
    terminal.wait_for("+ image", since)
    terminal.wait_for("▀", since)
    terminal.wait_for("[1 shown] ›", since)
    since = terminal.type("What is this?\n")
    terminal.wait_for("a cat", since)
    terminal.wait_for("› ", terminal.shown.index("a cat", since))
    since = terminal.type("film gone.png\n")
    terminal.wait_for("there is no file gone.png", since)
    terminal.wait_for("› film gone.png", since)  # to be mended
    terminal.type("\x15/trace on\n")
    terminal.wait_for("the trace of each turn is shown")
    since = terminal.type("Now film it.\n")
    terminal.wait_for("→ video  runs/", since)
    assert "route.1.generate" in terminal.shown[since:]
    terminal.wait_for("› ", terminal.shown.index("→ video", since))
    terminal.type("\x04")
    assert terminal.process.wait(60) == 0


def test_ctrl_c_stops_a_turn_and_not_the_chat(terminal: Terminal) -> None:
    terminal.wait_for("› ")
    since = terminal.type("Film a red apple.\n")
    terminal.wait_for("reason", since)
    os.killpg(terminal.process.pid, signal.SIGINT)
    terminal.wait_for("interrupted", since)
    terminal.wait_for("› ", terminal.shown.index("interrupted", since))  # what is typed before is lost
    terminal.type("\x15/quit\n")
    assert terminal.process.wait(60) == 0
