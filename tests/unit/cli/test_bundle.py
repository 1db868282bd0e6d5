from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli.main import main
from orchestrator.engine.tryout import Outcome
from orchestrator.models.bundle import Bundle
from orchestrator.models.bundle.derive import derive

Captured = pytest.CaptureFixture[str]


def test_bundle_list(bundle: None, capsys: Captured) -> None:
    assert main(["bundle", "list"]) == 0
    assert "tiny     2.0 MB   A bundle [small]." in capsys.readouterr().out


def test_bundle_show(bundle: None, capsys: Captured) -> None:
    assert main(["bundle", "show", "tiny"]) == 0
    shown = capsys.readouterr().out
    assert all(
        word in shown for word in ("A bundle [small].", "licence: Apache-2.0", "encoders/image", "[VID{}]", "24")
    )


WAYS = (
    Outcome("image -> text", "", "ran", 0.26, "text 9 characters"),
    Outcome("text -> video", "signal", "lacks", said="no output_projectors.video"),
    Outcome("text -> video", "caption", "failed", 2.0, "node 'generate': width 31\nis odd", "generate"),
)


def test_bundle_verify(bundle: Any, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    monkeypatch.setattr("orchestrator.engine.tryout.tryout", lambda bundle, device: iter(WAYS[:2]))
    sound = "tiny: sound (2 parts in /bundles/tiny)\n"
    assert main(["bundle", "verify", "tiny", "--no-run"]) == 0
    assert capsys.readouterr().out == sound
    assert main(["bundle", "verify", "tiny"]) == 0
    ran = "✓ image -> text               0.3 s  text 9 characters\n"
    assert capsys.readouterr().out == (
        f"{sound}{ran}– text -> video    signal            lacks: no output_projectors.video\n"
    )
    bundle.problems = ("llm: truncated", "encoders.image: missing")
    assert main(["bundle", "verify", "tiny"]) == 2
    assert capsys.readouterr().out == "llm: truncated\nencoders.image: missing\n"


def test_a_way_that_fails(bundle: Any, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    monkeypatch.setattr("orchestrator.engine.tryout.tryout", lambda bundle, device: iter(WAYS))
    assert main(["bundle", "verify", "tiny"]) == 1
    assert "✗ text -> video    caption    2.0 s  failed: node 'generate': width 31 is odd\n" in capsys.readouterr().out
    assert main(["bundle", "verify", "tiny", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["bundle"], told["problems"], len(told["ways"])) == ("tiny", [], 3)
    assert told["ways"][2] == {
        "line": "text -> video", "bridge": "caption", "status": "failed", "seconds": 2.0,
        "said": "node 'generate': width 31\nis odd", "node": "generate",
    }  # fmt: skip


def test_bundle_unknown(bundle: None, capsys: Captured) -> None:
    assert main(["bundle", "show", "x"]) == 2
    assert capsys.readouterr().err == "error: unknown bundle 'x'\n"


def test_a_derived_bundle(tmp_path: Path, capsys: Captured) -> None:
    """Of the bundle that ships: its parts, and where they are from."""
    made = derive(Bundle.open("pocket"), tmp_path / "mine", "mine", {}, doc="Mine.")
    assert main(["bundle", "show", str(made.root)]) == 0
    shown = capsys.readouterr().out
    assert all(word in shown for word in ("mine", "Mine.", "base: pocket (", "ResNetModel", "[VID{}]"))
    assert main(["bundle", "verify", str(made.root), "--no-run"]) == 0
    assert "mine: sound" in capsys.readouterr().out
