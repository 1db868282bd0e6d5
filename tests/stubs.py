"""Stages without weights, for tests of the engine: texts go in and out, and what ran is noted.

`registered` puts them into the table of stages; `bare_bundle` is a bundle that has nothing to load.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from orchestrator.nodes.media import Media
from orchestrator.nodes.ports import Port, PortType
from orchestrator.nodes.stage import Config, Context, Inputs, Outputs, Progress, Stage

TEXT = PortType("Media", "text")
RUNS: list[str] = []  # the `name` of every echo and join that ran, in order
HOOKS: dict[str, Callable[[Context], None]] = {}  # called by echoes whose `hook` names them


class EchoConfig(Config):
    """What an echo does beside echoing."""

    name: str = Field("", description="What RUNS calls it.")
    say: str = Field("", description="Appended to the text.")
    hook: str = Field("", description="A function of HOOKS.")
    steps: int = Field(0, description="Steps of progress.")
    dice: bool = Field(False, description="Whether it says the seed.")


class Echo(Stage):
    """Repeat a text."""

    name: ClassVar[str] = "echo"
    config_class = EchoConfig
    inputs: ClassVar[Mapping[str, Port]] = {"text": Port(TEXT, "What is said.")}
    outputs: ClassVar[Mapping[str, Port]] = {"text": Port(TEXT, "The same, and more.")}

    @property
    def random(self) -> bool:  # type: ignore[override]
        return bool(self.config.dice)

    def run(self, batch: Sequence[Inputs], context: Context) -> list[Outputs]:
        RUNS.append(self.config.name)
        for step in range(1, self.config.steps + 1):
            context.report(0, Progress("steps", step, self.config.steps))
        if self.config.hook:
            HOOKS[self.config.hook](context)
        dice = [str(seed) if self.config.dice else "" for seed in context.seeds]
        return [
            {"text": Media.load(request["text"].text + self.config.say + d, "text")}
            for request, d in zip(batch, dice, strict=True)
        ]


class JoinConfig(Config):
    """A name for RUNS."""

    name: str = Field("", description="What RUNS calls it.")


class Join(Stage):
    """Put texts together."""

    name: ClassVar[str] = "join"
    config_class = JoinConfig
    inputs: ClassVar[Mapping[str, Port]] = {"parts": Port(TEXT, "The texts.", many=True, optional=True)}
    outputs: ClassVar[Mapping[str, Port]] = {"text": Port(TEXT, "All of them, a plus between them.")}

    def run(self, batch: Sequence[Inputs], context: Context) -> list[Outputs]:
        RUNS.append(self.config.name)
        return [{"text": Media.load("+".join(p.text for p in r.get("parts", ())), "text")} for r in batch]


class SieveConfig(Config):
    """What passes."""

    word: str = Field("yes", description="What a text must hold to come out at `match`.")


class Sieve(Stage):
    """Let a text pass at one of two ports."""

    name: ClassVar[str] = "sieve"
    config_class = SieveConfig
    inputs: ClassVar[Mapping[str, Port]] = {"text": Port(TEXT, "Any text.")}
    outputs: ClassVar[Mapping[str, Port]] = {
        "match": Port(TEXT, "A text with the word.", optional=True),
        "rest": Port(TEXT, "A text without it.", optional=True),
    }

    def run(self, batch: Sequence[Inputs], context: Context) -> list[Outputs]:
        return [{"match" if self.config.word in r["text"].text else "rest": r["text"]} for r in batch]


class Words(Stage):
    """Split a text into its words: several media at one port."""

    name: ClassVar[str] = "words"
    inputs: ClassVar[Mapping[str, Port]] = {"text": Port(TEXT, "Any text.")}
    outputs: ClassVar[Mapping[str, Port]] = {"text": Port(TEXT, "Its words.")}

    def run(self, batch: Sequence[Inputs], context: Context) -> list[Outputs]:
        return [{"text": tuple(Media.load(word, "text") for word in r["text"].text.split())} for r in batch]


STAGES: dict[str, type[Stage]] = {stage.name: stage for stage in (Echo, Join, Sieve, Words)}


def bare_bundle(folder: Path) -> Path:
    """A bundle that names an LLM which nobody loads."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bundle.yaml").write_text("{name: bare, llm: {path: llm}}\n")
    return folder


def flow(nodes: Mapping[str, Mapping[str, Any]], outputs: Mapping[str, str], **inputs: Any) -> Any:
    """The spec of a flow over texts; its only input is `text`, unless others are given."""
    from orchestrator.flow.spec import FlowSpec

    put = inputs or {"text": "text"}
    return FlowSpec.model_validate({"flow": "stub", "inputs": put, "nodes": nodes, "outputs": outputs})
