"""Imports go down only, and what declares is light (tested in fresh interpreters, where nothing is loaded yet)."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

import orchestrator.flow
import orchestrator.nodes

ROOT = Path(__file__).parents[2]
MODELS = ("torch", "transformers", "diffusers", "accelerate")
ENGINE = ("langgraph", "pydantic", "httpx", "numpy")


def python(code: str, first_on_path: Path = ROOT) -> str:
    """What `code` prints in a fresh interpreter with a folder first on its path, then the repository."""
    prelude = f"import sys; sys.path[:0] = [{str(first_on_path)!r}, {str(ROOT)!r}]\n"
    done = subprocess.run([sys.executable, "-c", prelude + code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def loaded_by(code: str, watched: tuple[str, ...]) -> list[str]:
    """Which of the modules `watched` are loaded after `code` has run."""
    return python(f"{code}\nprint(*(m for m in {watched!r} if m in sys.modules))").splitlines()[-1].split()


def modules(*packages: object) -> list[str]:
    """The names of packages and of all that is in them."""
    return [
        n
        for p in packages
        for n in (p.__name__, *(m.name for m in pkgutil.walk_packages(p.__path__, f"{p.__name__}.")))
    ]


def test_imports_go_down_only(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT)
    status = lint_imports(config_filename="pyproject.toml", no_cache=True)
    assert status == 0, capsys.readouterr().out


@pytest.mark.parametrize("module", ["orchestrator", "orchestrator.projectors", "orchestrator.cli.main"])
def test_light_modules_load_no_model_library(module: str) -> None:
    assert loaded_by(f"import {module}", MODELS) == []


def test_flows_and_stages_declare_without_model_libraries() -> None:
    names = modules(orchestrator.flow, orchestrator.nodes)
    assert len(names) > 10
    assert loaded_by(f"import importlib\nfor name in {names!r}: importlib.import_module(name)", MODELS) == []


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["--version"]])
def test_help_is_instant(arguments: list[str]) -> None:
    code = f"from orchestrator.cli.main import main\ntry: main({arguments!r})\nexcept SystemExit: pass"
    assert loaded_by(code, (*MODELS, *ENGINE)) == []


def test_a_users_own_modules_of_the_same_names_do_not_collide(tmp_path: Path) -> None:
    for name in ("nodes", "projectors", "prompts"):
        (tmp_path / f"{name}.py").write_text("mine = True\n")
    orch = "orchestrator.nodes.registry, orchestrator.projectors, orchestrator.prompts"
    code = f"import nodes, projectors, prompts\nimport {orch}\nprint(nodes.mine)"
    assert python(code, first_on_path=tmp_path) == "True\n"
