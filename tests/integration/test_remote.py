"""Flows whose LLM is a remote one: captions by tool calls, what is refused before a run, and no key anywhere."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.cli.main import main
from orchestrator.engine.flow import Flow
from orchestrator.errors import BundleError, CallError, FlowError, ModelError, NodeError, RetryError
from orchestrator.models.bundle import Bundle
from orchestrator.models.bundle.verify import verify
from orchestrator.testing.remote import Answer, ScriptedLLM

KEY = "sk-very-secret"
DOG = Answer("Here it is.", calls=[("make_image", {"caption": "a red dog"})])
BY_CAPTION = {"output_project.bridge": "caption"}


def bundle(folder: Path, url: str, **llm: Any) -> Path:
    """The generators of the bundle in `folder`, and a remote LLM."""
    parts = yaml.safe_load((folder / "bundle.yaml").read_text())
    spec = {"name": "far", "llm": {"url": url, "model": "scripted", **llm}, "generators": parts["generators"]}
    (folder / "bundle.yaml").write_text(yaml.safe_dump(spec))
    return folder


@pytest.fixture
def folder(tiny_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bundle, tmp_path / "b", ignore=shutil.ignore_patterns("llm", "projectors")))


@pytest.fixture
def llm(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedLLM]:
    monkeypatch.setenv("SOME_KEY", KEY)
    with ScriptedLLM(key=KEY) as found:
        yield found


def test_a_caption_becomes_a_picture(folder: Path, llm: ScriptedLLM, tmp_path: Path) -> None:
    llm.answers = [DOG]
    flow = Flow.of("text -> text + image", bundle(folder, llm.url, key="SOME_KEY"), BY_CAPTION)
    events: list[Any] = []
    result = flow.run(text="Draw a dog.", out=tmp_path / "runs", on_event=events.append)
    assert (result["text"].text, result["image"].modality) == ("Here it is.", "image")
    (request,) = llm.requests
    (message,) = request["messages"]
    assert (message["role"], message["content"].endswith("Draw a dog.")) == ("user", True)
    assert [tool["function"]["name"] for tool in request["tools"]] == ["make_image"]
    told = [
        event.progress.text for event in events if getattr(event, "node", "") == "reason" and hasattr(event, "progress")
    ]
    assert told[:2] == ["Here ", "Here it "]
    again = flow.run(text="Draw a dog.")
    assert [node.status for node in again.nodes] == ["cached"] * len(again.nodes)
    kept = b"".join(file.read_bytes() for file in (tmp_path / "runs").rglob("*") if file.is_file())
    assert KEY.encode() not in kept + repr(events).encode()


def test_no_call_makes_nothing(folder: Path, llm: ScriptedLLM) -> None:
    llm.answers = [Answer("I would rather not.")]
    changes = BY_CAPTION | {"reason.require": []}  # of an arrow line, which asks for all that it names
    result = Flow.of("text -> text + image", bundle(folder, llm.url, key="SOME_KEY"), changes).run(text="Draw a cat.")
    assert result["text"].text == "I would rather not."
    assert "image" not in result.outputs


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (Answer(calls=[("make_image", "{")]), CallError, r"called 'make_image': its arguments are no JSON"),
        (Answer(calls=[*DOG.calls, ("draw", {})]), CallError, r"called 'draw': there is no such tool"),
        (Answer("No."), ModelError, r"did not call make_image, as it must"),
        (Answer(raw="data: {\n\n"), None, r"node 'reason' .*sent no answer of a chat endpoint"),
    ],
)
def test_what_the_llm_does_wrong(answer: Answer, error: Any, message: str, folder: Path, llm: ScriptedLLM) -> None:
    llm.answers = [answer]
    flow = Flow.of("text -> image", bundle(folder, llm.url, key="SOME_KEY"), BY_CAPTION)
    with pytest.raises(NodeError, match=message) as caught:
        flow.run(text=message)
    assert error is None or isinstance(caught.value.__cause__, error)


def test_failures_name_the_node(folder: Path, llm: ScriptedLLM, monkeypatch: pytest.MonkeyPatch) -> None:
    flow = Flow.of("text -> text", bundle(folder, llm.url, key="SOME_KEY", retries=0))
    llm.answers = [Answer("down", status=503)]
    with pytest.raises(RetryError, match=r"node 'reason': http.* failed 1 time, at last with 503"):
        flow.run(text="hello")
    monkeypatch.delenv("SOME_KEY")
    with pytest.raises(BundleError, match=r"node 'reason': the key of http.* SOME_KEY, which is not set; type: export"):
        flow.run(text="hello")


@pytest.mark.parametrize(
    ("line", "node", "message"),
    [
        ("text -> image", "output_project", r"is remote: it gives captions, no hidden .*; write `bridge: caption`, or"),
        (
            "image -> text",
            "project",
            r"is remote: it takes no soft prompts; if it sees image, write `llm: {sees: \[image\]}` in",
        ),
    ],
)
def test_what_a_remote_llm_cannot_do_is_told_before(line: str, node: str, message: str, folder: Path) -> None:
    with pytest.raises(FlowError, match=rf"node '{node}': the LLM of bundle 'far' {message}") as caught:
        Flow.arrow(line, bundle(folder, "http://127.0.0.1:9/v1"))
    assert [str(problem) for problem in caught.value.problems if "_projectors" in str(problem)] == []


def test_its_key_in_the_cache_is_address_model_and_settings(folder: Path) -> None:
    def key(url: str = "http://h/v1", **fields: Any) -> str:
        return Bundle.open(bundle(folder, url, **fields)).fingerprint("llm")

    first = key()
    assert first == key() == key(key="OTHER") == key(timeout=3, retries=1)
    assert len({first, key("http://i/v1"), key(model="other")}) == 3


def test_it_is_a_bundle_like_others(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = Bundle.open(bundle(folder, "http://h/v1"))
    assert verify(made) == []
    assert (made.size("llm"), made.kind("llm"), made.absent()) == (0, "remote scripted", [])
    with pytest.raises(BundleError, match=r"the llm is remote \(scripted at http://h/v1\): it has no weights"):
        made.path("llm")
    assert main(["bundle", "show", str(folder)]) == 0
    assert "remote scripted" in capsys.readouterr().out


def test_from_the_command_line(
    folder: Path, llm: ScriptedLLM, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    llm.answers = [DOG]
    words = [
        "run",
        "text -> image",
        "-i",
        "text=a dog, please",
        "--bundle",
        str(bundle(folder, llm.url, key="SOME_KEY")),
    ]
    assert main([*words, "--out", str(tmp_path / "runs")]) == 2
    assert "add `--set NODE.bridge=caption`" in capsys.readouterr().err
    assert main([*words, "--out", str(tmp_path / "runs"), "--set", "output_project.bridge=caption"]) == 0
    assert "image: " in capsys.readouterr().out
