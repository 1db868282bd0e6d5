"""README and docs/ tell the truth: what can be run without weights is run, everything else is at least read."""

from __future__ import annotations

import argparse
import json
import re
import tomllib
from importlib import import_module
from itertools import takewhile
from pathlib import Path

import pytest
import yaml

from orchestrator.cli.main import COMMANDS, main
from orchestrator.errors import FlowError
from orchestrator.flow import loads, wire
from orchestrator.models.bundle import BundleSpec
from orchestrator.nodes.ports import Port
from orchestrator.nodes.registry import BUILT_IN, stage_class
from orchestrator.train.recipe import Recipe
from tests.docs import PAGES, Block, blocks, run

COMMAND_LINES = [
    pytest.param(words, printed, id=f"{block}-{' '.join(words)}")
    for block in blocks("", "console")
    for words, printed in block.commands()
]


@pytest.mark.parametrize("block", blocks("yaml"), ids=str)
def test_yaml(block: Block, tmp_path: Path) -> None:
    content = yaml.safe_load(block.text)
    if "recipe" in content:
        (tmp_path / "recipe.yaml").write_text(block.text)
        Recipe.load(tmp_path / "recipe.yaml")
    elif "flow" in content and block.file != "broken.yaml":
        wire(loads(block.text))
    elif "flow" in content:
        with pytest.raises(FlowError):
            wire(loads(block.text))
    elif block.file == "bundle.yaml":
        BundleSpec.model_validate(content)


@pytest.mark.parametrize("block", blocks("json"), ids=str)
def test_json(block: Block) -> None:
    json.loads(block.text)


@pytest.mark.parametrize("block", blocks("toml"), ids=str)
def test_toml(block: Block) -> None:
    tomllib.loads(block.text)


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_python_compiles(block: Block) -> None:
    compile(block.text, str(block), "exec")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_runs(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Up to the first block that needs a bundle; the others are run by tests/integration/test_docs.py."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)  # some write files
    mine = [block for block in blocks("python") if block.page == page]
    for block in run(list(takewhile(lambda b: not b.needs_bundle, mine)), tmp_path):
        printed = capsys.readouterr().out
        assert block.then in (None, printed)


@pytest.mark.parametrize(("words", "printed"), COMMAND_LINES)
def test_command(
    words: list[str], printed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every command has the arguments that the page gives it; where the page shows what it prints, it prints that."""
    if words[0] in COMMANDS and "--help" not in words:
        command = import_module(f"orchestrator.cli.{words[0]}")
        parser = argparse.ArgumentParser()
        command.arguments(parser)
        parser.parse_args(words[1:])
    if printed:
        for block in blocks("yaml"):
            if block.file:
                (tmp_path / Path(block.file).name).write_text(block.text)
        monkeypatch.chdir(tmp_path)
        main(words)
        shown = capsys.readouterr()
        assert shown.out + shown.err == printed


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text("utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_table_of_stages_is_what_they_declare() -> None:
    page = next(page for page in PAGES if page.name == "stages.md").read_text("utf-8")
    for name in BUILT_IN:
        stage = stage_class(name)
        sides = [", ".join(_shown(n, p) for n, p in ports.items()) for ports in (stage.inputs, stage.outputs)]
        settings = ", ".join(f"`{field}`" for field in stage.config_class.model_fields)
        assert f"| `{name}` | {sides[0]} | {sides[1]} | {settings} |\n" in page


def _shown(name: str, port: Port) -> str:
    kind = f"{port.type.kind} of `{port.like}`" if port.like else str(port)
    notes = [word for word, holds in (("many", port.many), ("optional", port.optional)) if holds]
    notes += [f"not {modality}" for modality in port.not_modalities]
    return f"`{name}` {kind}" + (f" ({', '.join(notes)})" if notes else "")
