"""Making flows: what is refused before anything is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from orchestrator.engine.flow import Flow
from orchestrator.errors import BundleError, FlowError, UserError
from orchestrator.flow.builder import FlowBuilder
from tests import stubs
from tests.unit.engine.conftest import Make, echo

MODELS = {
    "name": "some",
    "llm": {"path": "llm"},
    "encoders": {"image": {"path": "e"}},
    "signals": {"image": {"count": 4, "token": "[IMG{}]"}, "video": {"count": 24, "token": "[VID{}]"}},
}


@pytest.fixture
def some(tmp_path: Path) -> Path:
    """A bundle with an LLM folder, two signals and nothing else."""
    (tmp_path / "llm").mkdir()
    (tmp_path / "bundle.yaml").write_text(yaml.safe_dump(MODELS))
    return tmp_path


def test_of_takes_lines_and_files(some: Path, tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_text("{flow: f, inputs: {text: text}, nodes: {a: {stage: echo, text: $text}}, outputs: {out: $a}}")
    assert Flow.of(file, some).spec.flow == "f"
    assert Flow.of("text -> text", some).spec.inputs.keys() == {"text"}


def test_of_names_the_nearest_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "film.yaml").touch()
    with pytest.raises(UserError, match=r"no flow: 'flows/flim\.yaml' is neither .*Did you mean 'flows/film\.yaml'\?"):
        Flow.of("flows/flim.yaml")


def test_a_builder_is_a_flow(bare: Path) -> None:
    built = FlowBuilder("built")
    built.output("out", built.add("echo", text=built.input("text", "text"), say="!"))
    assert Flow(built, bare).run(text="hi")["out"].text == "hi!"


@pytest.mark.parametrize("name", ["handles", "text", "start", "end", "state", "context"])
def test_any_name_will_do_for_a_node(make: Make, name: str) -> None:
    """LangGraph keeps some for itself."""
    assert make({name: echo("$said")}, {"out": f"${name}"}, said="text").run(said="hi")["out"].text == "hi"


def test_bundle_beside_the_flow_file(tmp_path: Path) -> None:
    stubs.bare_bundle(tmp_path / "mine")
    file = tmp_path / "f.yaml"
    file.write_text(
        "{flow: f, bundle: mine, inputs: {text: text}, nodes: {a: {stage: echo, text: $text}}, outputs: {out: $a}}"
    )
    assert Flow.load(file).bundle.root == tmp_path / "mine"


def test_with_fields(make: Make) -> None:
    flow = make({"a": echo("$text", say="1"), "b": echo("$a", say="x")}, {"out": "$b"})
    changed = flow.with_fields({"a.say": "two", "b.dice": "true", "b.steps": 3})
    assert changed.run(text="", seed=4)["out"].text == "twox4"
    assert flow.run(text="")["out"].text == "1x"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"aa.say": "x"}, r"cannot set 'aa\.say': write NODE\.FIELD=VALUE\. Did you mean 'a'\?"),
        ({"a": "x"}, r"cannot set 'a': write NODE\.FIELD=VALUE"),
        ({"a.sy": "x"}, r"has no port or field 'sy'\. Did you mean 'say'\?"),
        ({"a.steps": "many"}, r"field 'steps' .*integer"),
        ({"a.steps": "[1"}, r"'\[1' is no YAML value"),
        ({"a.stage": "3"}, r"cannot set 'a\.stage': .*string"),
        ({"a.text": "$b"}, r"nothing is named '\$b'"),
    ],
)
def test_with_fields_refuses(make: Make, changes: dict[str, str], message: str) -> None:
    flow = make({"a": echo("$text")}, {"out": "$a"})
    with pytest.raises(UserError, match=message):
        flow.with_fields(changes)


def test_unknown_bundle(make: Make) -> None:
    with pytest.raises(BundleError, match=r"unknown bundle 'pockte': neither a folder nor a bundle that ships"):
        Flow.arrow("text -> text", "pockte")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("text -> audio", r"'reason': bundle 'some' has no signal for audio; it has: image, video"),
        ("text -> video", r"'generate': bundle 'some' has no generators\.video; its generators are: none"),
        ("text -> video", r"'output_project': bundle 'some' has no output_projectors\.video; its .* are: none"),
        ("image -> text", r"'encode': bundle 'some': encoders\.image is missing: there is no folder .*e"),
        ("image -> text", r"'project': bundle 'some' has no input_projectors\.image; its input_projectors are: none"),
        ("video -> text", r"'encode': bundle 'some' has no encoders\.video; its encoders are: image"),
    ],
)
def test_what_the_bundle_lacks_is_told_before_loading(some: Path, line: str, message: str) -> None:
    with pytest.raises(FlowError, match=message):
        Flow.arrow(line, some)


def test_all_that_the_bundle_lacks_at_once(some: Path) -> None:
    with pytest.raises(FlowError) as caught:
        Flow.arrow("image -> audio", some)
    assert len(caught.value.problems) == 5


def test_a_required_signal_must_fit_the_reply(some: Path) -> None:
    flow = Flow.arrow("text -> text", some)
    with pytest.raises(FlowError, match=r"'reason': max_new_tokens is 20, but the required signals take 24 tokens"):
        flow.with_fields({"reason.require": ["video"], "reason.max_new_tokens": 20, "reason.signals": ["video"]})
