"""The contract kit of stages: `check_stage(MyStage(config), requests=[{"text": media}, ...])`.

`requests` are examples of what a batch holds; without any, only what the stage declares is checked. A stage that loads
parts of a bundle gets them from `context`: `StageContext(bundle=Bundle.open("pocket"))`, or models of yours by part.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any, get_args

from pydantic import ValidationError

from orchestrator.errors import UserError
from orchestrator.nodes import ports
from orchestrator.nodes.media import Media
from orchestrator.nodes.modality import MODALITIES
from orchestrator.nodes.ports import Port, PortType
from orchestrator.nodes.registry import stage_class
from orchestrator.nodes.stage import Config, Inputs, Outputs, Progress, Stage
from orchestrator.testing.kit import raise_all

if TYPE_CHECKING:
    from orchestrator.models.bundle import Bundle

HEAVY = ("torch", "transformers", "diffusers", "accelerate", "langgraph")
KINDS: dict[str, type] = {kind: getattr(ports, kind, Media) for kind in get_args(ports.Kind)}
LIGHT = """
import importlib, json, runpy, sys
module, file, path, heavy = json.loads(sys.argv[1])
sys.path[:0] = path
try:
    if module == "__main__":
        raise ModuleNotFoundError(name=module)
    importlib.import_module(module)
except ModuleNotFoundError as error:
    if error.name is None or not f"{module}.".startswith(f"{error.name}."):
        raise
    runpy.run_path(file)
print(*(name for name in heavy if name in sys.modules))
"""


@dataclass
class StageContext:
    """What a stage is lent while it runs, without an engine; what it reports and loads is kept.

    A part comes from `models` by its name, else it is loaded from `bundle`.
    """

    bundle: Any = None
    models: dict[str, Any] = field(default_factory=dict)
    seeds: Sequence[int] = (0,)
    device: str = "cpu"
    watched: bool = True
    progress: list[tuple[int, Progress]] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)

    def load(self, part: str) -> Any:
        """A loaded part."""
        self.loaded.append(part)
        if part not in self.models:
            self.models[part] = self._from_bundle(part)
        return self.models[part]

    def report(self, request: int, progress: Progress) -> None:
        """Keep a report."""
        self.progress.append((request, progress))

    def _from_bundle(self, part: str) -> Any:
        import torch

        from orchestrator.models.loading import load_part

        if self.bundle is None:
            raise UserError(f"no model for '{part}': give StageContext a bundle, or models={{'{part}': ...}}")
        bundle: Bundle = self.bundle
        return load_part(bundle, part, self.device, torch.float32)


@dataclass
class _Case:
    """A stage with examples."""

    stage: Stage
    requests: Sequence[Inputs]
    context: StageContext

    def run(self, *which: int) -> list[Outputs]:
        """What the stage makes of some of the requests, as one batch; each has a seed of its own."""
        lent = replace(self.context, seeds=[100 + i for i in which])
        return self.stage.run([self.requests[i] for i in which], lent)

    def types(self, request: Inputs) -> dict[str, PortType]:
        """The types of a request's inputs, as the wiring of a flow would have them."""
        found: dict[str, PortType] = {}
        for port, value in request.items():
            values = value if self.stage.inputs[port].many else (value,)
            for i, item in enumerate(values):
                found.setdefault(port, _type(item))
                if self.stage.inputs[port].many:
                    found[f"{port}[{i}]"] = _type(item)
        return found


def check_stage(
    stage: str | type[Stage] | Stage, requests: Sequence[Inputs] = (), context: StageContext | None = None
) -> None:
    """Check a stage (or a class, with its default config); AssertionError tells everything that is wrong with it."""
    found = stage_class(stage) if isinstance(stage, str) else stage
    made = found(found.config_class()) if isinstance(found, type) else found
    examples = list(requests) * 2 if len(requests) == 1 else list(requests)
    case = _Case(made, examples, context or StageContext())
    raise_all(type(made).__name__, STAGE_CHECKS if examples else DECLARED, lambda: case)


def _declared(case: _Case) -> Iterator[str]:
    stage = type(case.stage)
    if not isinstance(getattr(stage, "name", None), str) or not stage.name.isidentifier() or not stage.name.islower():
        yield f"'name' is a word in small letters, not {getattr(stage, 'name', None)!r}"
    if not isinstance(stage.version, int) or stage.version < 1:
        yield f"'version' is a whole number >= 1, not {stage.version!r}"
    if not (stage.__doc__ or "").strip() or stage.__doc__ == Stage.__doc__:
        yield "the class has a docstring, whose first line is its summary"
    if not stage.outputs:
        yield "it has at least one output"


def _ports(case: _Case) -> Iterator[str]:
    stage = type(case.stage)
    for side, declared in (("input", stage.inputs), ("output", stage.outputs)):
        for name, port in declared.items():
            yield from (f"{side} '{name}' {problem}" for problem in _port(port, stage, side))
    for name in stage.inputs.keys() & stage.config_class.model_fields.keys():
        yield f"'{name}' is both an input and a config field: a flow could not tell which is meant"


def _port(port: Port, stage: type[Stage], side: str) -> Iterator[str]:
    if not port.doc.strip():
        yield "has no doc"
    if port.type.kind not in KINDS:
        yield f"has the unknown kind '{port.type.kind}'; known: {', '.join(KINDS)}"
    for modality in (port.type.modality, *port.not_modalities):
        if modality not in (None, *MODALITIES):
            yield f"has the unknown modality '{modality}'; known: {', '.join(MODALITIES)}"
    if port.like is not None and (side == "input" or port.like not in stage.inputs):
        yield f"is like '{port.like}': `like` is for outputs and names an input; inputs: {', '.join(stage.inputs)}"
    if side == "output" and port.many:
        yield "is `many`: that is for inputs; a tuple of media may come out of any output"


def _light(case: _Case) -> Iterator[str]:
    module = type(case.stage).__module__
    if problem := _import_problem(module, getattr(sys.modules.get(module), "__file__", None)):
        yield problem


@cache
def _import_problem(module: str, file: str | None) -> str:
    """What is wrong with importing a module (or running its file) in a fresh interpreter."""
    given = json.dumps([module, file, sys.path, HEAVY])
    done = subprocess.run([sys.executable, "-c", LIGHT, given], capture_output=True, text=True, check=False)
    if done.returncode:
        return f"its module cannot be imported: {done.stderr.strip().splitlines()[-1]}"
    loaded = done.stdout.splitlines()[-1]
    return f"importing its module imports {loaded}; import them where they are used" if loaded else ""


def _config(case: _Case) -> Iterator[str]:
    config = case.stage.config
    kind: type[Any] = case.stage.config_class
    if not issubclass(kind, Config):
        yield f"config_class is a subclass of orchestrator.nodes.stage.Config, not {kind}"
        return
    yield from (f"field '{n}' has no description" for n, f in kind.model_fields.items() if not f.description)
    if (again := kind.model_validate(json.loads(config.model_dump_json()))) != config:
        yield f"it does not survive JSON: {config!r} became {again!r}"
    try:
        kind.model_validate(config.model_dump() | {"no_such_field": 1})
        yield "it takes unknown fields: keep `extra='forbid'`"
    except ValidationError:
        pass


def _results(case: _Case) -> Iterator[str]:
    results = case.run(*range(len(case.requests)))
    if not isinstance(results, list) or len(results) != len(case.requests):
        yield f"run gives a list with one result a request: {len(case.requests)} requests, {results!r}"
        return
    for request, outputs in zip(case.requests, results, strict=True):
        yield from _result(case.stage, case.types(request), outputs)


def _result(stage: Stage, types: Mapping[str, PortType], outputs: Outputs) -> Iterator[str]:
    for name in outputs.keys() - stage.outputs.keys():
        yield f"run gives '{name}', which is no declared output; declared: {', '.join(stage.outputs)}"
    for name, port in stage.outputs.items():
        if name not in outputs:
            if not port.optional:
                yield f"run gives no '{name}', which is not optional"
            continue
        like = types.get(port.like or "")
        modality = like.modality if like else port.type.modality
        wanted = PortType(port.type.kind, modality)
        for value in outputs[name] if isinstance(outputs[name], tuple) else (outputs[name],):
            if not isinstance(value, KINDS[wanted.kind]) or not wanted.accepts(_type(value)):
                yield f"output '{name}' is {wanted}, but run gives {_type(value)}"


def _parts(case: _Case) -> Iterator[str]:
    for i, request in enumerate(case.requests):
        declared = case.stage.parts(case.types(request))
        case.context.loaded.clear()
        case.run(i)
        for part in sorted({*case.context.loaded} - {*declared}):
            yield f"run loads '{part}', but parts() declares {declared}: the engine lends only these"


def _batches(case: _Case) -> Iterator[str]:
    alone = [case.run(i)[0] for i in range(len(case.requests))]
    for i in range(1, len(alone)):
        for which, together in zip((0, i), case.run(0, i), strict=True):
            if not _same(alone[which], together):
                yield f"request {which} gives another result in a batch of requests 0 and {i} than alone"


def _repeats(case: _Case) -> Iterator[str]:
    if not _same(case.run(0), case.run(0)):
        yield "the same request with the same seed gives another result"


DECLARED: dict[str, Callable[[_Case], Iterator[str]]] = {
    "declaration": _declared,
    "ports": _ports,
    "light import": _light,
    "config": _config,
}
STAGE_CHECKS = DECLARED | {"run": _results, "parts": _parts, "batch": _batches, "repeat": _repeats}


def _type(value: Any) -> PortType:
    """The type of a value: its class, and the modality that it says it has."""
    name = "Media" if isinstance(value, Media) else type(value).__name__
    return PortType(name, getattr(value, "modality", None))  # type: ignore[arg-type]  # any class: it is to be told


def _same(a: Any, b: Any) -> bool:
    """Whether two results are the same, but for rounding (one step of a pixel)."""
    if isinstance(a, Media) and isinstance(b, Media):
        return a.modality == b.modality and _same(_content(a), _content(b))
    if is_dataclass(a) and type(a) is type(b):
        return all(_same(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(a[k], b[k]) for k in a)
    if isinstance(a, (tuple, list)) and isinstance(b, (tuple, list)):
        return len(a) == len(b) and all(map(_same, a, b))
    if hasattr(a, "shape") and hasattr(b, "shape"):
        return _close(a, b)
    return bool(a == b)


def _close(a: Any, b: Any) -> bool:
    import torch

    a, b = (torch.as_tensor(x).detach().cpu() for x in (a, b))
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    slack = 1.0 if a.dtype == torch.uint8 else 1e-4
    return bool(((a.double() - b.double()).abs() <= slack * (1 if slack == 1 else 1 + b.double().abs())).all())


def _content(media: Media) -> Any:
    import numpy as np

    return np.array(media.image) if media.modality == "image" else getattr(media, media.modality)
