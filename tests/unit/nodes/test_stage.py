"""The contract of a stage: every registered one keeps it, and the kit sees each way of breaking it."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import pytest
from pydantic import BaseModel, ConfigDict, Field

from orchestrator.errors import UserError
from orchestrator.nodes.media import Media
from orchestrator.nodes.ports import Port, PortType
from orchestrator.nodes.registry import BUILT_IN, stage_class
from orchestrator.nodes.stage import Config, Context, Inputs, Outputs, Progress, Stage
from orchestrator.testing import StageContext, check_stage
from tests.stubs import STAGES, TEXT, Echo, EchoConfig


def said(text: str) -> Media:
    return Media.load(text, "text")


NEEDED: dict[str, dict[str, Any]] = {"tool": {"function": "json:dumps"}}  # settings without which there is no stage


@pytest.mark.parametrize("name", BUILT_IN)
def test_built_in_stages_declare_well(name: str) -> None:
    found = stage_class(name)
    check_stage(found(found.config_class(**NEEDED.get(name, {}))))


EXAMPLES: dict[str, list[Inputs]] = {
    "echo": [{"text": said("a")}],
    "join": [{"parts": (said("a"), said("b"))}, {}],
    "sieve": [{"text": said("yes")}, {"text": said("no")}],
    "words": [{"text": said("one two")}, {"text": said("three")}],
}


@pytest.mark.parametrize("name", STAGES)
def test_stubs_keep_it_too(name: str) -> None:
    check_stage(STAGES[name], requests=EXAMPLES[name])


def test_an_instance_with_its_config() -> None:
    check_stage(Echo(EchoConfig(say="!", dice=True)), requests=[{"text": said("a")}])


class Loose(BaseModel):
    """No Config of ours."""


class Careless(Config):
    """A config with two mistakes."""

    model_config = ConfigDict(extra="ignore")
    size: int = 3


class Odd(Config):
    """A config that JSON changes."""

    names: Any = Field((1, 2), description="A tuple, which becomes a list.")


def stage(**changes: Any) -> type[Stage]:
    """An echo with other class attributes."""
    body = {"name": "broken", "__doc__": "Broken.", "__module__": "tests.stubs"} | changes
    return type("Broken", (Echo,), body)


def port(**changes: Any) -> dict[str, Port]:
    return {"text": Port(**({"type": TEXT, "doc": "A text."} | changes))}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"name": "Two Words"}, r"declaration: 'name' is a word in small letters, not 'Two Words'"),
        ({"version": 0}, r"declaration: 'version' is a whole number >= 1, not 0"),
        ({"__doc__": ""}, r"declaration: the class has a docstring"),
        ({"outputs": {}}, r"declaration: it has at least one output"),
        ({"inputs": port(doc=" ")}, r"ports: input 'text' has no doc"),
        ({"outputs": port(type=PortType("Smell"))}, r"ports: output 'text' has the unknown kind 'Smell'; known: Media"),
        (
            {"outputs": port(type=PortType("Media", "vido"))},
            r"output 'text' has the unknown modality 'vido'; known: text",
        ),
        ({"outputs": port(like="txt")}, r"ports: output 'text' is like 'txt': .* inputs: text"),
        ({"inputs": port(like="text")}, r"ports: input 'text' is like 'text': `like` is for outputs"),
        ({"outputs": port(many=True)}, r"ports: output 'text' is `many`"),
        ({"inputs": {"say": Port(TEXT, "x")}}, r"ports: 'say' is both an input and a config field"),
        ({"config_class": Loose}, r"config: config_class is a subclass of orchestrator\.nodes\.stage\.Config"),
        ({"config_class": Careless}, r"config: field 'size' has no description.*config: it takes unknown fields"),
        ({"config_class": Odd}, r"config: it does not survive JSON"),
    ],
)
def test_bad_declarations(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(AssertionError, match=rf"(?s)Broken breaks the contract:\n.*{problem}"):
        check_stage(stage(**changes))


def test_a_heavy_module_is_told(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the module can only be found by its file, as that of a script."""
    (tmp_path / "torch.py").touch()  # the real one takes seconds
    (tmp_path / "heavy.py").write_text("import torch")
    monkeypatch.syspath_prepend(tmp_path)
    script = ModuleType("a_script")
    script.__file__ = str(tmp_path / "heavy.py")
    monkeypatch.setitem(sys.modules, "a_script", script)
    for module in ("heavy", "a_script"):
        with pytest.raises(
            AssertionError, match=r"light import: importing its module imports torch; import them where"
        ):
            check_stage(stage(__module__=module))
    with pytest.raises(AssertionError, match=r"light import: its module cannot be imported: "):
        check_stage(stage(__module__="no_such_module"))


@pytest.mark.parametrize(
    ("run", "problem"),
    [
        (lambda batch, context: [{"text": batch[0]["text"]}], r"run: run gives a list with one result a request: 2"),
        (lambda batch, context: [{"txt": r["text"]} for r in batch], r"run gives 'txt', which is no declared output"),
        (lambda batch, context: [{} for _ in batch], r"run: run gives no 'text', which is not optional"),
        (lambda batch, context: [{"text": "a"} for _ in batch], r"output 'text' is Media\[text\], but run gives str"),
        (
            lambda batch, context: [{"text": Media.load(np.zeros((2, 2, 3), np.uint8))} for _ in batch],
            r"output 'text' is Media\[text\], but run gives Media\[image\]",
        ),
        (lambda batch, context: 1 / 0, r"run: raised ZeroDivisionError"),
        (
            lambda batch, context: [{"text": said(f"{len(batch)}")} for _ in batch],
            r"batch: request 0 gives another result in a batch of requests 0 and 1 than alone",
        ),
        (
            lambda batch, context: [{"text": said(str(context.load("llm")))} for _ in batch],
            r"parts: run loads 'llm', but parts\(\) declares \(\)",
        ),
        (lambda batch, context: [{"text": said(str(next(COUNT)))} for _ in batch], r"repeat: the same request"),
    ],
)
def test_bad_results(run: Any, problem: str) -> None:
    broken = stage(run=lambda self, batch, context: run(batch, context))
    context = StageContext(models={"llm": "a model"})
    with pytest.raises(AssertionError, match=rf"(?s)Broken breaks the contract:\n.*{problem}"):
        check_stage(broken, requests=[{"text": said("a")}, {"text": said("b")}], context=context)


COUNT = iter(range(1000))


class Upper(Stage):
    """A stage that an author would write: it uses a model, and tells how far it is."""

    name: ClassVar[str] = "upper"
    inputs: ClassVar[Mapping[str, Port]] = {"media": Port(PortType("Media"), "Anything.")}
    outputs: ClassVar[Mapping[str, Port]] = {"media": Port(PortType("Media"), "The same, larger.", like="media")}

    def parts(self, types: Mapping[str, PortType]) -> tuple[str, ...]:
        return (f"encoders.{types['media'].modality}",)

    def run(self, batch: Sequence[Inputs], context: Context) -> list[Outputs]:
        enlarge = context.load(f"encoders.{batch[0]['media'].modality}")
        for i in range(len(batch)):
            context.report(i, Progress("steps", 1, 1))
        return [{"media": enlarge(request["media"])} for request in batch]


def test_context_lends_models_and_keeps_what_was_told() -> None:
    context = StageContext(models={"encoders.text": lambda media: said(media.text.upper())}, seeds=(1, 2))
    check_stage(Upper, requests=[{"media": said("a")}], context=context)
    context.progress.clear()
    context.loaded.clear()
    (out,) = Upper(Config()).run([{"media": said("a")}], context)
    assert out["media"].text == "A"
    assert (context.loaded, [i for i, _ in context.progress]) == (["encoders.text"], [0])


def test_context_without_the_model() -> None:
    with pytest.raises(UserError, match=r"no model for 'encoders\.text': give StageContext a bundle, or models="):
        Upper(Config()).run([{"media": said("a")}], StageContext())
