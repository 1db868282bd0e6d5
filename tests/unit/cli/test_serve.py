from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli.main import main
from tests import stubs


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What uvicorn is given."""
    got: dict[str, Any] = {}
    monkeypatch.setattr("uvicorn.run", lambda app, **options: got.update(options, app=app))
    return got


@pytest.fixture
def flow(tmp_path: Path) -> str:
    (stubs.bare_bundle(tmp_path / "bare") / "llm").mkdir()
    file = tmp_path / "ask.yaml"
    nodes = "{r: {stage: reason, prompt: $text}, d: {stage: decode, reply: $r}}"
    file.write_text(f"{{flow: ask, bundle: bare, inputs: {{text: text}}, nodes: {nodes}, outputs: {{out: $d.text}}}}")
    return str(file)


@pytest.fixture(autouse=True)
def placed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.engine.flow.Flow.memory_plan", lambda self, **options: None)


def test_what_is_served(
    flow: str, served: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ORCH_API_KEY", "s3cret")
    limits = ["--workers", "2", "--queue", "0", "--timeout", "9", "--max-upload", "5MB"]
    assert main(["serve", flow, *limits, "--allow-urls", "--host", "0.0.0.0", "--port", "81", "--device", "cpu"]) == 0
    settings = served["app"].state.settings
    assert (served["host"], served["port"]) == ("0.0.0.0", 81)
    assert (settings.key, settings.workers, settings.queue, settings.timeout) == ("s3cret", 2, 0, 9.0)
    assert (settings.max_upload, settings.allow_urls, settings.options["device"]) == (5_000_000, True, "cpu")
    err = capsys.readouterr().err
    assert err.startswith("serving ask at http://0.0.0.0:81")
    assert "s3cret" not in err


def test_an_open_server_is_warned_of(
    flow: str, served: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("ORCH_API_KEY", raising=False)
    assert main(["serve", flow]) == 0
    assert "warning" not in capsys.readouterr().err
    assert main(["serve", flow, "--host", "0.0.0.0"]) == 0
    assert "warning: ORCH_API_KEY is not set: whoever reaches 0.0.0.0 may use this server" in capsys.readouterr().err


WRONG = [
    (["no.yaml"], "no flow: 'no.yaml'"),
    (["{flow}", "{flow}"], "two flows are called 'ask'"),
    (["{flow}", "--workers", "0"], "workers is 0; at least 1 is needed"),
    (["{flow}", "--timeout", "0"], "timeout is 0.0; at least 0.001 is needed"),
    (["{flow}", "--max-upload", "much"], "'much' is no amount of memory"),
]


@pytest.mark.parametrize(("words", "message"), WRONG, ids=[row[1] for row in WRONG])
def test_wrong_calls(
    words: list[str], message: str, flow: str, served: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", *(word.format(flow=flow) for word in words)]) == 2
    assert message in capsys.readouterr().err
    assert served == {}


def test_without_the_extra(flow: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert main(["serve", flow]) == 2
    assert "pip install 'orch-mm[serve]'" in capsys.readouterr().err
