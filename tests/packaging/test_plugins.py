"""A stage and a projector of another package are picked up by entry point."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PYPROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "orch-upside-down"
version = "1.0"

[project.entry-points."orchestrator.stages"]
flip = "upside_down:Flip"

[project.entry-points."orchestrator.projectors"]
mirror = "upside_down_projectors:Mirror"

[tool.setuptools]
py-modules = ["upside_down", "upside_down_projectors"]
"""

STAGE = '''
"""A plugin's stage. It imports no torch: what declares is light."""

from orchestrator.nodes.ports import Port, PortType
from orchestrator.nodes.stage import Stage


class Flip(Stage):
    """Turns a picture upside down."""

    name = "flip"
    inputs = {"media": Port(PortType("Media", "image"), "the picture")}
    outputs = {"media": Port(PortType("Media", "image"), "the same, upside down")}

    def run(self, batch, context):
        return [{"media": request["media"]} for request in batch]
'''

PROJECTOR = '''
"""A plugin's projector."""

from torch import Tensor, nn


class Mirror(nn.Module):
    """[*, n, d_in] -> [*, n, d_in], its features in reverse order."""

    def __init__(self, in_dim: int, out_dim: int, num_tokens: int) -> None:
        super().__init__()
        self.in_dim, self.out_dim, self.num_tokens = in_dim, out_dim, num_tokens

    def forward(self, x: Tensor) -> Tensor:
        return x.flip(-1)
'''


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the plugin installed in it, as pip does it."""
    source, target = tmp_path_factory.mktemp("plugin"), tmp_path_factory.mktemp("site")
    (source / "pyproject.toml").write_text(PYPROJECT)
    (source / "upside_down.py").write_text(STAGE)
    (source / "upside_down_projectors.py").write_text(PROJECTOR)
    offline = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "--quiet"]
    command = [sys.executable, "-m", "pip", "install", *offline, "--target", str(target), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return target


def run(site: Path, code: str) -> str:
    """What `code` prints in a fresh interpreter that sees the plugin."""
    env = os.environ | {"PYTHONPATH": os.pathsep.join((str(site), str(ROOT)))}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_stage_is_listed(site: Path) -> None:
    code = "from orchestrator.nodes.registry import stages; print(stages()['flip'].__doc__, 'encode' in stages())"
    assert run(site, code) == "Turns a picture upside down. True"


def test_projector_is_listed(site: Path) -> None:
    code = "from orchestrator.projectors import projectors; print('mirror' in projectors(), 'linear' in projectors())"
    assert run(site, code) == "True True"


def test_projector_is_built(site: Path) -> None:
    code = "from orchestrator.projectors import build; print(build('mirror', in_dim=2, out_dim=2, num_tokens=1).in_dim)"
    assert run(site, code) == "2"


def test_unknown_stage_suggests_it(site: Path) -> None:
    code = (
        "from orchestrator.errors import UserError\nfrom orchestrator.nodes.registry import stage_class\n"
        "try: stage_class('flipp')\nexcept UserError as error: print(error)"
    )
    assert run(site, code) == "unknown stage 'flipp'. Did you mean 'flip'?"
