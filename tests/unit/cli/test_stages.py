from __future__ import annotations

import pytest

from orchestrator.cli.main import main
from orchestrator.nodes.registry import stages

Captured = pytest.CaptureFixture[str]


def test_stages_lists_all(capsys: Captured) -> None:
    assert main(["stages"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in stages())
    assert "Prompts[as features]" in shown


@pytest.mark.parametrize("name", stages())
def test_one_stage_tells_ports_and_settings(name: str, capsys: Captured) -> None:
    stage = stages()[name]
    assert main(["stages", name]) == 0
    shown = capsys.readouterr().out
    assert all(f" {word} " in shown for word in (*stage.inputs, *stage.outputs, *stage.config_class.model_fields))


def test_settings_show_limits(capsys: Captured) -> None:
    assert main(["stages", "encode"]) == 0
    assert "integer >= 1, <= 64" in capsys.readouterr().out


def test_an_unknown_stage(capsys: Captured) -> None:
    assert main(["stages", "encod"]) == 2
    assert capsys.readouterr().err == "error: unknown stage 'encod'. Did you mean 'encode'?\n"
