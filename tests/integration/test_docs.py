"""The Python of README and docs/, run on a bundle: `pocket` is the tiny one here."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.docs import PAGES, ROOT, blocks, run

NEEDING = [page for page in PAGES if any(b.needs_bundle for b in blocks("python") if b.page == page)]


@pytest.mark.parametrize("page", NEEDING, ids=lambda page: page.name)
def test_python_runs(
    page: Path, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(tiny_bundle, tmp_path / "pocket")
    shutil.copytree(ROOT / "flows", tmp_path / "flows")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    mine = [block for block in blocks("python") if block.page == page]
    assert list(run(mine, tmp_path)) == mine
    assert capsys.readouterr().out
