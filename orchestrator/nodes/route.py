"""route: the calls of a reply -> what they give."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator

from orchestrator.errors import nearest
from orchestrator.models.llm.calls import Call, written
from orchestrator.nodes.decode import MADE, signal
from orchestrator.nodes.generate import GenerateConfig
from orchestrator.nodes.media import Media
from orchestrator.nodes.ports import Observation, Port, PortType, Reply
from orchestrator.nodes.stage import Config, Context, Inputs, Outputs, Stage

RESULTS = Port(PortType("Observation"), "What its calls gave: for the engine to fill.", many=True, optional=True)
TOOLS = Port(PortType("Tool"), "What the LLM may call beside media.", many=True, optional=True)
GIVEN: Mapping[str, Port] = {
    "text": Port(PortType("Media", "text"), "t: the reply without its calls."),
    "found": Port(PortType("Media", "text"), "What tools said, in the order of the calls.", optional=True),
} | {
    name: Port(PortType("Media", name), f"Each {name} that was made, in the order of the calls.", optional=True)
    for name in MADE
}


class ActConfig(Config):
    """How what the LLM asks for is made."""

    make: dict[str, dict[str, Any]] | None = Field(
        None, description="Modality -> settings of generate; default: the modalities whose ports are read."
    )
    bridge: Literal["signal", "caption"] = Field("signal", description="As of output_project.")

    @field_validator("make")
    @classmethod
    def _known(cls, make: dict[str, dict[str, Any]] | None) -> dict[str, dict[str, Any]] | None:
        for name in make or ():
            if name not in MADE:
                raise ValueError(f"'{name}' can't be made.{nearest(name, MADE)}")
        for settings in (make or {}).values():
            GenerateConfig.model_validate(settings)
        return make


class Route(Stage):
    """Follow the calls of a reply: each becomes a branch that makes media or runs a tool, all at once.

    Calls are the signals of an MM-LLM, the tool calls of a remote LLM, and JSON in the text of one without: a plan of
    {id, task, args, dep} too, whose parts wait for what they need and refer to it as <resource-ID>. What they give
    comes out in the order in which the reply asked for it. The engine runs the branches; the stage gathers them.
    """

    name: ClassVar[str] = "route"
    config_class = ActConfig
    inputs: ClassVar[Mapping[str, Port]] = {
        "reply": Port(PortType("Reply"), "What the LLM wrote."),
        "tools": TOOLS,
        "results": RESULTS,
    }
    outputs: ClassVar[Mapping[str, Port]] = GIVEN

    def run(self, batch: Sequence[Inputs], context: Context) -> list[Outputs]:
        """Nothing is computed."""
        return [gathered(request["reply"], request.get("results", ())) for request in batch]


def asked(reply: Reply) -> tuple[str, tuple[Call, ...]]:
    """What a reply says, and what it asks for, in order of place."""
    calls = sorted((*(signal(reply, span) for span in reply.spans), *reply.calls), key=lambda call: call.place)
    return (reply.text, tuple(calls)) if calls else written(reply.text)


def gathered(reply: Reply, results: Sequence[Observation]) -> Outputs:
    """The outputs of a reply and of what its calls gave."""
    out: Outputs = {"text": Media.load(asked(reply)[0], "text")}
    ports = {"found": "text"} | {name: name for name in MADE}
    for port, modality in ports.items():
        if media := tuple(medium for result in results for medium in result.of(modality)):
            out[port] = media[0] if len(media) == 1 else media
    return out


def made_by(make: Mapping[str, Any] | None, used: Collection[str]) -> Iterator[str]:
    """The modalities that a node makes: those that it names, else those whose ports are read."""
    return (name for name in MADE if name in (used if make is None else make))
