"""The contract of a stage: a kind of step, declared once.

A stage declares typed ports and a pydantic config; checks, docs, the JSON schema and the wiring come from that. It is
light to import (no torch at module level), knows neither LangGraph, nor YAML, nor the terminal, and gets its weights
through `Context.load`. `run` takes a batch of requests: batching is the engine's to use.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict

from orchestrator.nodes.ports import Port, PortType

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from orchestrator.models.bundle import Bundle
    from orchestrator.models.llm.past import Past
    from orchestrator.nodes.media import Media

Inputs = Mapping[str, Any]  # port name -> value; an optional port without a value is absent; a `many` port is a tuple
Outputs = dict[str, Any]  # port name -> value; an optional port may be absent


class Config(BaseModel):
    """Base of the stages' configs: unknown fields are errors, fields carry their docs."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True)
class Progress:
    """How far a node is. `text` is what was written so far (tokens); `preview` a small picture or frames (steps)."""

    unit: Literal["tokens", "steps"]
    done: int
    total: int
    text: str = ""
    preview: tuple[Image, ...] = ()


@dataclass(frozen=True)
class Learned:
    """What a stage did in train mode: the results of `run`, and its objectives, each a scalar mean over `counts` items
    (target tokens, signals, pairs), so that means of several batches can be weighed together."""

    outputs: list[Outputs]
    losses: dict[str, Tensor] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)


class Callee(Protocol):
    """A flow as a tool calls it."""

    @property
    def name(self) -> str:
        """The flow's name."""

    @property
    def doc(self) -> str:
        """What it does."""

    @property
    def inputs(self) -> Mapping[str, tuple[str, str, bool]]:
        """Name -> (modality, what it is, whether it must be given)."""

    def run(self, inputs: Mapping[str, Any]) -> tuple[Media, ...]:
        """All that it makes, in the order of its outputs."""


@runtime_checkable
class Flows(Protocol):
    """What the engine lends beside `Context` where flows are called."""

    def flow(self, place: str) -> Callee:
        """A flow to be called: a file, seen from the flow's own, or an arrow line. Raises what is wrong with it."""


@runtime_checkable
class Remembers(Protocol):
    """What the engine lends beside `Context` where somebody has a dialogue with the LLM."""

    @property
    def past(self) -> Past | None:
        """What the LLM has read of the dialogue."""


class Context(Protocol):
    """What the engine lends to a stage while it runs."""

    @property
    def bundle(self) -> Bundle:
        """The bundle that the flow runs on."""

    @property
    def device(self) -> str:
        """Where its parts are, e.g. `cpu` or `cuda:0`."""

    @property
    def seeds(self) -> Sequence[int]:
        """One a request."""

    @property
    def watched(self) -> bool:
        """Whether anybody sees the progress: previews are made for somebody."""

    def load(self, part: str) -> Any:
        """A loaded part of the bundle, e.g. `llm`, `encoders.image`, `input_projectors.image`, `generators.video`."""

    def report(self, request: int, progress: Progress) -> None:
        """Tell how far a request of the batch is. Raises `Cancelled` when the run was stopped."""


class Stage(ABC):
    """A kind of step. Subclasses are final: one class a file, with a docstring whose first line is its summary."""

    name: ClassVar[str]
    version: ClassVar[int] = 1  # raise it when the same inputs give another output: it is part of the cache key
    inputs: ClassVar[Mapping[str, Port]]
    outputs: ClassVar[Mapping[str, Port]]
    config_class: ClassVar[type[Config]] = Config
    random: ClassVar[bool] = False  # whether the seed changes the output
    pure: ClassVar[bool] = True  # whether the output follows from inputs, config, parts and seed: else it always runs

    def __init__(self, config: Config) -> None:
        self.config: Any = config

    def parts(self, types: Mapping[str, PortType]) -> tuple[str, ...]:
        """The bundle parts that this node needs, given the types of its connected inputs (and outputs).

        Used for checks, memory plan and cache key before anything is loaded; `many` ports have the type of their
        first reference under the port's name and of all under `port[i]`.
        """
        return ()

    def for_flow(self, signals: frozenset[str]) -> Stage:
        """This stage, told which modalities the flow takes from the signals in its replies."""
        return self

    def for_bundle(self, bundle: Bundle) -> Stage:
        """This stage, told what it will run on, where what is not configured follows from that."""
        return self

    def misfits(self, bundle: Bundle, types: Mapping[str, PortType]) -> list[str]:
        """What the bundle lacks for this node's config and inputs (`types` as of `parts`), beside missing parts; told
        before anything is loaded."""
        return []

    @abstractmethod
    def run(self, batch: Sequence[Inputs], context: Context) -> list[Outputs]:
        """Run a batch of requests; the result has one entry a request, in order. Differentiable where it can be."""

    def learn(self, batch: Sequence[Inputs], context: Context, objectives: Mapping[str, Mapping[str, Any]]) -> Learned:
        """`run` in train mode: what the next nodes get, with gradients, and those of this stage's objectives that the
        recipe names, each with its options. Requests bring the ground truth beside their inputs."""
        return Learned(self.run(batch, context))

    def targets(self, batch: Sequence[Inputs], context: Context) -> list[Outputs]:
        """What its objectives compare with, where frozen parts make that: computed once a sample, kept, and added to
        the requests of `learn`."""
        return [{} for _ in batch]
