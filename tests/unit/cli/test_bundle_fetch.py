"""`orch bundle fetch`: sizes, a question, and nothing without a yes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import constants

from orchestrator.cli.main import main
from tests.hub import FIRST, Hub, served_at

Captured = pytest.CaptureFixture[str]
CLIP = {"hub": "org/clip", "revision": FIRST}


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.delenv("ORCH_TRUST", raising=False)
    with served_at(tmp_path, monkeypatch) as found:
        yield found


def bundle(folder: Path, **clip: Any) -> str:
    spec = {"name": "b", "llm": {"path": "llm"}, "encoders": {"image": {**CLIP, **clip}, "video": {**CLIP, **clip}}}
    folder.mkdir()
    (folder / "bundle.yaml").write_text(yaml.safe_dump(spec))
    return str(folder)


def answering(patch: pytest.MonkeyPatch, answer: str, asked: list[str]) -> None:
    """Somebody at the terminal."""
    patch.setattr("sys.stdin.isatty", lambda: True)
    patch.setattr("builtins.input", lambda text: asked.append(text) or answer)


def test_sizes_then_a_question_then_the_parts(
    served: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    asked: list[str] = []
    answering(monkeypatch, "y", asked)
    monkeypatch.setenv("COLUMNS", "120")
    assert main(["bundle", "fetch", place := bundle(tmp_path / "b")]) == 0
    assert asked == ["b: 1.3 kB to fetch. Go on? [y/N] "]
    shown = capsys.readouterr().out
    (row,) = (line.split() for line in shown.splitlines() if "org/clip" in line)
    assert row == ["encoders.image,", "encoders.video", "org/clip", "1" * 12, "2", "1.3", "kB", "1.3", "kB"]
    assert shown.splitlines()[-1] == "b: all parts of the hub are on this machine"
    assert main(["bundle", "fetch", place]) == 0
    assert len(asked) == 1, "there is nothing more to fetch"


@pytest.mark.parametrize("answer", ["n", "", "what?"])
def test_it_can_be_refused(
    answer: str, served: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    answering(monkeypatch, answer, [])
    assert main(["bundle", "fetch", bundle(tmp_path / "b")]) == 2
    assert capsys.readouterr().err == "error: b: 1.3 kB to fetch: nothing was fetched\n"
    assert served.downloads() == []


def test_nobody_to_ask(served: Hub, tmp_path: Path, capsys: Captured) -> None:
    assert main(["bundle", "fetch", place := bundle(tmp_path / "b")]) == 2
    told = "error: b: 1.3 kB to fetch, and nobody is there to be asked; add --yes to fetch it\n"
    assert capsys.readouterr().err == told
    assert main(["bundle", "fetch", place, "--yes"]) == 0
    assert served.downloads()


def test_what_is_not_pinned_is_told(served: Hub, tmp_path: Path, capsys: Captured) -> None:
    place = bundle(tmp_path / "b", revision="main")
    assert main(["bundle", "fetch", place, "--yes"]) == 0
    line = f"encoders.image, encoders.video: org/clip is not pinned; write `revision: {FIRST}`\n"
    assert capsys.readouterr().out.endswith(line)


def test_only_some_parts(served: Hub, tmp_path: Path, capsys: Captured) -> None:
    place = bundle(tmp_path / "b")
    assert main(["bundle", "fetch", place, "llm", "--yes"]) == 0
    assert capsys.readouterr().out == "b: none of these is on the hub\n"
    assert main(["bundle", "fetch", place, "encoders.imag"]) == 2
    assert "bundle 'b' has no encoders.imag. Did you mean 'encoders.image'?" in capsys.readouterr().err


def test_trust_is_the_user_s_to_give(served: Hub, tmp_path: Path, capsys: Captured) -> None:
    place = bundle(tmp_path / "b", trust=["pickle"])
    assert main(["bundle", "fetch", place, "--yes"]) == 2
    assert "encoders.image asks for trust in weights that are pickles" in capsys.readouterr().err
    assert served.asked == []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ORCH_TRUST", "")  # put back afterwards
        assert main(["bundle", "fetch", place, "--yes", "--trust", "pickle"]) == 0


def test_offline(served: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert main(["bundle", "fetch", bundle(tmp_path / "b"), "--yes"]) == 2
    assert "HF_HUB_OFFLINE is set; unset it to fetch" in capsys.readouterr().err


def test_nothing_to_fetch(capsys: Captured) -> None:
    assert main(["bundle", "fetch", "pocket"]) == 0
    assert capsys.readouterr().out == "pocket: no part of it is on the hub\n"


def test_what_ships_and_was_not_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    assert main(["bundle", "list"]) == 0
    shown = capsys.readouterr().out
    assert all(f"{name:<14} not fetched" in shown for name in ("modern", "nextgpt-like", "small-gpu"))
    assert main(["run", "image -> text", "-i", "image=x.png", "--bundle", "modern"]) == 2
    told = capsys.readouterr().err
    assert "encoders.image is not on this machine: google/siglip2-so400m-patch14-384 at e8e487298228 of the hub" in told
    assert "orch bundle fetch modern" in told
    assert "this trains one: orch train recipes/nextgpt_1_encoding.yaml --set bundle=modern" in told
