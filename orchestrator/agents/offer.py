"""A flow as a tool: what it says of itself, the arguments that it takes, and a call."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, WithJsonSchema, create_model

from orchestrator.errors import InputError, UserError, nearest
from orchestrator.flow.plan import owner
from orchestrator.nodes.media_intake import Intake
from orchestrator.nodes.modality import MODALITIES

if TYPE_CHECKING:
    from orchestrator.engine.events import Event, NodeFinished, OutputReady, RunStarted
    from orchestrator.engine.flow import Flow
    from orchestrator.flow.spec import InputSpec
    from orchestrator.nodes.media import Media

SEED = "seed"
Text = Annotated[str | None, WithJsonSchema({"type": "string"})]
Medium = Annotated[str | bytes | None, WithJsonSchema({"type": "string"})]


@dataclass(frozen=True)
class Offer:
    """A flow that others may call. `options` are those of `Flow.run`; each run has a folder of its own in `out`."""

    flow: Flow
    name: str
    description: str
    intake: Intake = field(default_factory=Intake)
    out: Path = Path("runs")
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        flow: Flow,
        name: str | None = None,
        description: str | None = None,
        out: str | Path = "runs",
        **rest: Any,
    ) -> Offer:
        """With the flow's own name and doc, where no others are given."""
        called = name or re.sub(r"\W+", "_", flow.spec.flow)
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", called):
            raise UserError(f"a tool's name has 1 to 64 letters, digits, '_' and '-', not '{called}'; pass name=")
        return cls(flow, called, description or _description(flow), out=Path(out), **rest)

    @cached_property
    def arguments(self) -> type[BaseModel]:
        """The arguments as a pydantic model: the flow's inputs, and the seed if anything in it is random."""
        fields: dict[str, Any] = {name: self._field(spec) for name, spec in self.flow.spec.inputs.items()}
        if SEED not in fields and any(node.stage.random for node in self.flow.plan.nodes):
            again = "Another number makes another result of the same request."
            fields[SEED] = (int, Field(self.options.get(SEED, 0), description=again))
        config = ConfigDict(extra="forbid", protected_namespaces=())
        return create_model(self.name, __config__=config, **fields)

    def call(self, given: Mapping[str, Any]) -> Made:
        """Run the flow. Raises UserError where the caller is wrong, and what else `Flow.run` raises."""
        made, (inputs, options) = Made(self.flow), self._request(given)
        for event in self.flow.stream(inputs, **options):
            made.see(event)
        return made

    async def acall(self, given: Mapping[str, Any], on_event: Callable[[Event], Awaitable[None]] | None = None) -> Made:
        """`call` for async code; cancelling it stops the run."""
        made, (inputs, options) = Made(self.flow), await asyncio.to_thread(self._request, given)
        async with aclosing(self.flow.astream(inputs, **options)) as events:
            async for event in events:
                made.see(event)
                if on_event:
                    await on_event(event)
        return made

    def _request(self, given: Mapping[str, Any]) -> tuple[dict[str, Media], dict[str, Any]]:
        """Inputs and options of a run; all that is wrong is told at once."""
        try:
            asked = self.arguments.model_validate(dict(given))
        except ValidationError as error:
            raise InputError(explain(error, self)) from None
        values = {name: value for name, value in asked if value is not None and name in asked.model_fields_set}
        specs, inputs, problems = self.flow.spec.inputs, dict[str, "Media"](), []
        for name in values.keys() & specs.keys():
            try:
                inputs[name] = self.intake.read(name, specs[name].modality, values[name])
            except InputError as error:
                problems.append(str(error))
        if problems:
            raise InputError("\n".join(sorted(problems)))
        seed = {SEED: values[SEED]} if SEED in values and SEED not in specs else {}
        return inputs, {"out": self.out, "previews": False, **self.options, **seed}

    def _field(self, spec: InputSpec) -> tuple[Any, Any]:
        """An input as a field of the model. The default of a medium is a path of the flow's author: it is not shown."""
        if spec.modality == "text":
            default = ... if spec.required else spec.default
            return Text, Field(default, description=spec.doc or "A text.")
        noun = MODALITIES[spec.modality].noun.removeprefix("the ")
        doc = f"{(spec.doc or f'A {noun}').rstrip('.')}: {self.intake.forms()}."
        return Medium, Field(... if spec.required else None, description=doc)


class Made:
    """What a run made, as its events tell it."""

    def __init__(self, flow: Flow) -> None:
        self.run, self.folder = "", ""
        self.outputs: dict[str, OutputReady] = {}
        self._flow, self._nodes = flow, dict[str, "NodeFinished"]()

    def see(self, event: Event) -> None:
        """Note an event."""
        if event.kind in _SEEN:
            _SEEN[event.kind](self, event)

    def told(self) -> str:
        """A line an output: the text, or what was made and where; and why something was not."""
        return "\n".join([*map(_line, self.outputs.values()), *self._lacking()])

    def plain(self) -> dict[str, Any]:
        """The JSON form: the run, and each output's modality, text or path, and facts."""
        outputs = {name: _plain(ready) for name, ready in self.outputs.items()}
        return {"run": self.run, "folder": self.folder, "outputs": outputs}

    def _begun(self, event: RunStarted) -> None:
        self.run, self.folder = event.run, event.folder or ""

    def _node(self, event: NodeFinished) -> None:
        self._nodes[event.node] = event

    def _output(self, event: OutputReady) -> None:
        self.outputs[event.name] = event

    def _lacking(self) -> Iterable[str]:
        for name, (source, _) in self._flow.plan.outputs.items():
            if name not in self.outputs:
                node = self._nodes.get(owner(source))
                reason = f": {node.reason}" if node and node.reason else ""
                yield f"{name}: was not made{reason}"


_SEEN: dict[str, Callable[[Made, Any], None]] = {
    "run_started": Made._begun,
    "node_finished": Made._node,
    "output_ready": Made._output,
}


def explain(error: ValidationError, offer: Offer) -> str:
    """What is wrong with the arguments of a call, a line an argument."""
    known, lines = offer.arguments.model_fields, dict[str, str]()
    for problem in error.errors():
        name = str(problem["loc"][0]) if problem["loc"] else offer.name
        unknown = problem["type"] == "extra_forbidden"
        said = f"is no argument.{nearest(name, known)}" if unknown else f"{problem['msg']}."
        lines.setdefault(name, f"{name}: {said}")
    return "\n".join(lines.values())


def _description(flow: Flow) -> str:
    """The flow's doc, and what comes out."""
    makes = ", ".join(f"{name} ({kind.modality})" for name, (_, kind) in flow.plan.outputs.items())
    return f"{(flow.spec.doc or flow.spec.flow).rstrip('.')}. Makes {makes}; media are written to files."


def _line(ready: OutputReady) -> str:
    if ready.media.modality == "text":
        return f"{ready.name}: {ready.media.text}"
    facts = ", ".join(f"{fact} {_short(value)}" for fact, value in ready.media.meta.items())
    return f"{ready.name}: {ready.media.modality} in {ready.path} ({facts})"


def _short(value: Any) -> str:
    return "x".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _plain(ready: OutputReady) -> dict[str, Any]:
    text = {"text": ready.media.text} if ready.media.modality == "text" else {}
    return {"modality": ready.media.modality, **text, "path": ready.path, "meta": dict(ready.media.meta)}
