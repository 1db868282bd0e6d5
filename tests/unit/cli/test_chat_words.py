from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.cli.chat_words import read_line
from orchestrator.errors import InputError

NAMES = ("cat.png", "my cat.png", "it's.png", "song.WAV", "notes.md", "list.pdf", "Makefile")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in NAMES:
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "dog.png").write_bytes(b"")
    (tmp_path / "in" / "data.csv").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("line", "text", "files"),
    [
        ("What is this?", "What is this?", []),
        ("cat.png", "", ["cat.png"]),
        ("  my cat.png \n", "", ["my cat.png"]),
        ("What is in cat.png?", "What is in?", ["cat.png"]),
        ("cat.png what is this?", "what is this?", ["cat.png"]),
        ("compare cat.png with in/dog.png, please", "compare with, please", ["cat.png", "in/dog.png"]),
        ("'my cat.png' what is this?", "what is this?", ["my cat.png"]),
        ('"my cat.png", what is this?', ", what is this?", ["my cat.png"]),
        ("my\\ cat.png what is this?", "what is this?", ["my cat.png"]),
        ("'it'\\''s.png' who?", "who?", ["it's.png"]),
        ("it's cat.png isn't it", "it's isn't it", ["cat.png"]),
        ("that's 'a word' of mine", "that's 'a word' of mine", []),
        ("~/cat.png here", "here", ["cat.png"]),
        ("hear song.WAV", "hear", ["song.WAV"]),
        ("read notes.md aloud", "read aloud", ["notes.md"]),
        ("write notes.txt in node.js", "write notes.txt in node.js", []),
        ("what is the Makefile, and list.pdf", "what is the Makefile, and list.pdf", []),
        ("and/or a \\ b", "and/or a \\ b", []),
    ],
)
def test_files_are_shown_and_the_rest_is_said(line: str, text: str, files: list[str], folder: Path) -> None:
    read = read_line(line)
    assert read.text == text
    assert [path.resolve() for path in read.files] == [folder / name for name in files]


def test_addresses_of_files(folder: Path) -> None:
    assert read_line(f"file://{folder}/my%20cat.png what?").files == (folder / "my cat.png",)
    assert read_line(f"file://localhost{folder}/cat.png").files == (folder / "cat.png",)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("what is cta.png?", r"there is no file cta\.png\. Did you mean 'cat\.png'\?"),
        ("./in/cow what?", r"there is no file in/cow\."),
        ("/nowhere/at/all.png", r"there is no file /nowhere/at/all\.png\.$"),
        ("in/data.csv what?", r"in/data\.csv is of no known kind: .*image \(\.png"),
        ("./in/ what?", r"in is a folder: name a file in it"),
        ("http://example.org/cat.png what?", r"is an address: download it"),
        ("file://elsewhere/cat.png", r"is on another machine"),
        ("cta.png and dgo.png", r"no file cta\.png.*\n.*no file dgo\.png"),
        ("a" * 5000 + ".png", r"there is no file"),
    ],
)
def test_what_is_meant_as_a_path_and_is_none(line: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_line(line)
