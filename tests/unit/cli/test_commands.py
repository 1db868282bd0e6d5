"""show, check, stages, bundle and doctor, without weights."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.cli import doctor
from orchestrator.cli.main import main
from orchestrator.cli.tables import size
from orchestrator.engine.fit import PartUse
from orchestrator.errors import BundleError, FlowError, Problem
from orchestrator.flow import dumps, parse, wire
from orchestrator.nodes.registry import stages

LINE = "image -> text"
Captured = pytest.CaptureFixture[str]


@pytest.fixture
def flow(monkeypatch: pytest.MonkeyPatch) -> None:
    """`Flow.of` as if there were a bundle."""
    problems = {
        "bad.yaml": FlowError([Problem("unknown stage 'x'", "bad.yaml", 3, 5), Problem("no input", "bad.yaml", 9)]),
        "other.yaml": BundleError("unknown bundle 'b'"),
    }

    def of(text: str, bundle: str | None = None) -> Any:
        if text in problems:
            raise problems[text]
        graph = SimpleNamespace(get_graph=lambda xray: SimpleNamespace(draw_mermaid=lambda: "graph TD;"))
        uses = [
            PartUse("llm", "LlamaForCausalLM", 9_100_000, ("reason",)),
            PartUse("encoders.image", "CLIP", 50_000, ("encode",)),
        ]
        spec = parse(text)
        return SimpleNamespace(spec=spec, plan=wire(spec), graph=lambda: graph, memory_plan=lambda: uses)

    monkeypatch.setattr("orchestrator.engine.flow.Flow.of", of)


def test_show_prints_yaml_graph_and_memory(flow: None, capsys: Captured) -> None:
    assert main(["show", LINE]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(dumps(parse(LINE)))
    assert "● reason   reason   Reply" in shown
    assert "LlamaForCausalLM" in shown
    assert shown.split()[-2:] == ["9.2", "MB"]


def test_show_yaml_alone_is_a_flow_file(flow: None, capsys: Captured) -> None:
    assert main(["show", LINE, "--yaml"]) == 0
    assert capsys.readouterr().out == dumps(parse(LINE))


def test_show_mermaid(flow: None, capsys: Captured) -> None:
    assert main(["show", LINE, "--mermaid"]) == 0
    assert capsys.readouterr().out == "graph TD;\n"


def test_show_png(flow: None, capsys: Captured, tmp_path: Path) -> None:
    assert main(["show", LINE, "--png", str(tmp_path / "g.png")]) == 0
    assert capsys.readouterr().out == f"{tmp_path}/g.png\n"
    assert (tmp_path / "g.png").read_bytes().startswith(b"\x89PNG")


def test_check_reports_every_problem_of_every_file(flow: None, capsys: Captured) -> None:
    assert main(["check", "bad.yaml", LINE, "other.yaml"]) == 2
    assert capsys.readouterr().out.splitlines() == [
        "bad.yaml:3:5: unknown stage 'x'",
        "bad.yaml:9: no input",
        "image -> text: sound",
        "other.yaml: unknown bundle 'b'",
    ]


def test_check_sound(flow: None, capsys: Captured) -> None:
    assert main(["check", LINE]) == 0
    assert capsys.readouterr().out == "image -> text: sound\n"


def test_check_json(flow: None, capsys: Captured) -> None:
    assert main(["check", "bad.yaml", LINE, "--json"]) == 2
    shown = json.loads(capsys.readouterr().out)
    assert shown["flows"][LINE] == []
    assert shown["flows"]["bad.yaml"][0] == {
        "message": "unknown stage 'x'", "source": "bad.yaml", "line": 3, "column": 5,
    }  # fmt: skip


def test_check_schema(capsys: Captured) -> None:
    assert main(["check", "--schema"]) == 0
    assert "properties" in json.loads(capsys.readouterr().out)


def test_check_nothing(capsys: Captured) -> None:
    assert main(["check"]) == 2
    assert "nothing to check: give flow files" in capsys.readouterr().err


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


class FakeBundle:
    name, root = "tiny", Path("/bundles/tiny")
    spec = SimpleNamespace(
        doc="A bundle [small].", licence="Apache-2.0", signals={"video": SimpleNamespace(count=24, token="[VID{}]")}
    )
    problems: tuple[str, ...] = ()

    @staticmethod
    def known() -> list[str]:
        return ["tiny"]

    @classmethod
    def open(cls, name: str) -> FakeBundle:
        if name != "tiny":
            raise BundleError(f"unknown bundle '{name}'")
        return cls()

    def names(self) -> list[str]:
        return ["llm", "encoders.image"]

    def size(self, part: str) -> int:
        return 1_000_000

    def id(self, part: str) -> str:
        return f"tiny/{part}"

    def part(self, part: str) -> Any:
        return SimpleNamespace(path=part.replace(".", "/"))

    def verify(self) -> list[str]:
        return list(self.problems)


@pytest.fixture
def bundle(monkeypatch: pytest.MonkeyPatch) -> type[FakeBundle]:
    monkeypatch.setattr("orchestrator.models.bundle.Bundle", FakeBundle)
    monkeypatch.setattr(FakeBundle, "problems", ())
    return FakeBundle


def test_bundle_list(bundle: None, capsys: Captured) -> None:
    assert main(["bundle", "list"]) == 0
    assert "tiny     2.0 MB   A bundle [small]." in capsys.readouterr().out


def test_bundle_show(bundle: None, capsys: Captured) -> None:
    assert main(["bundle", "show", "tiny"]) == 0
    shown = capsys.readouterr().out
    assert all(
        word in shown for word in ("A bundle [small].", "licence: Apache-2.0", "encoders/image", "[VID{}]", "24")
    )


def test_bundle_verify(bundle: type[FakeBundle], capsys: Captured) -> None:
    assert main(["bundle", "verify", "tiny"]) == 0
    assert capsys.readouterr().out == "tiny: sound (2 parts in /bundles/tiny)\n"
    bundle.problems = ("llm: truncated", "encoders.image: missing")
    assert main(["bundle", "verify", "tiny"]) == 2
    assert capsys.readouterr().out == "llm: truncated\nencoders.image: missing\n"


def test_bundle_unknown(bundle: None, capsys: Captured) -> None:
    assert main(["bundle", "show", "x"]) == 2
    assert capsys.readouterr().err == "error: unknown bundle 'x'\n"


def test_doctor_runs_every_check(bundle: type[FakeBundle], capsys: Captured, tmp_path: Path) -> None:
    assert main(["doctor", "--json", "--out", str(tmp_path)]) == 0
    found = {check["name"]: check for check in json.loads(capsys.readouterr().out)["checks"]}
    assert {"orch", "libraries", "device", "threads", "codecs", "runs", "disk", "bundle tiny"} <= set(found)
    assert "libx264" in found["codecs"]["detail"]


def test_doctor_fails_on_a_damaged_bundle(bundle: type[FakeBundle], capsys: Captured) -> None:
    bundle.problems = ("llm: truncated",)
    assert main(["doctor"]) == 1
    assert "✗  bundle tiny  llm: truncated" in capsys.readouterr().out


def test_doctor_tells_of_a_broken_torchvision(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "torchvision.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')\n")
    monkeypatch.syspath_prepend(tmp_path)
    (finding,) = doctor.traps(tmp_path)
    assert (finding.name, finding.status) == ("torchvision", "fail")
    assert "operator torchvision::nms does not exist" in finding.detail
    assert "`pip uninstall torchvision`" in finding.detail


def test_doctor_outlives_a_check_that_breaks(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    def broken(out: Path) -> Any:
        raise OSError("no library")
        yield

    monkeypatch.setattr(doctor, "CHECKS", {"codecs": broken})
    assert main(["doctor"]) == 1
    assert "✗  codecs  OSError: no library" in capsys.readouterr().out


def test_doctor_on_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(dir: Path) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(doctor.tempfile, "TemporaryFile", refuse)
    finding = next(doctor.runs(tmp_path / "runs"))
    assert (finding.status, finding.name) == ("fail", "runs")
    assert "cannot be written: Permission denied; choose another with --out" in finding.detail


@pytest.mark.parametrize(
    ("count", "shown"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (9_150_000, "9.2 MB"), (7 * 10**9, "7.0 GB")]
)
def test_sizes(count: int, shown: str) -> None:
    assert size(count) == shown
