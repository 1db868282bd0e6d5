"""What is in the repository is in the wheel: sdist -> wheel is built from a copy of the tree, without network."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIMIT = 60 * 10**6
PACKED = (".py", "/py.typed", ".txt", ".jinja", ".safetensors", ".json", ".yaml", ".md", "/SHA256SUMS")


def tree() -> list[str]:
    """The files that git tracks or would track, links not followed."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    return [name for name in listed if name and (ROOT / name).exists()]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy, dist = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("dist")
    for name in tree():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, copy / name, follow_symlinks=False)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(dist), str(copy)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    (built,) = dist.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_one_import_name_at_the_top(names: set[str]) -> None:
    top = {name.split("/")[0] for name in names}
    (info,) = (name for name in top if name.endswith(".dist-info"))
    assert info.startswith("orch_mm-")
    assert top == {"orchestrator", info}


def test_every_module_prompt_and_weight_is_in_it(names: set[str]) -> None:
    expected = {name for name in tree() if name.startswith("orchestrator/")}
    assert {name for name in expected if not name.endswith(PACKED)} == set(), "a kind of file that nobody packs"
    assert expected - names == set()


def test_nothing_else_is_in_it(names: set[str]) -> None:
    assert {name for name in names if name.startswith("orchestrator/")} - set(tree()) == set()


def test_licence_and_attributions_come_along(names: set[str]) -> None:
    licences = {name.rpartition("/")[2] for name in names if "/licenses/" in name}
    assert licences == {"LICENSE", "NOTICE"}


def test_wheel_stays_small(wheel: Path) -> None:
    assert wheel.stat().st_size < LIMIT
