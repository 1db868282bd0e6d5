"""The bodies of requests and answers: pydantic models, made of what each flow takes and makes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from orchestrator.serve.media import MEDIUM, doc
from orchestrator.serve.refusals import Fault
from orchestrator.serve.runs import Run, Status

if TYPE_CHECKING:
    from orchestrator.engine.flow import Flow


class TextOutput(BaseModel):
    """A text that a run made; `more` where it made several."""

    modality: Literal["text"]
    text: str
    meta: dict[str, Any]
    more: list[TextOutput] = []


class FileOutput(BaseModel):
    """A medium that a run made: `url` is its path on this server. `more` where it made several."""

    modality: str
    url: str
    meta: dict[str, Any]
    more: list[FileOutput] = []


class RunBody(BaseModel):
    """A run as it is now. An output is there as soon as the run is over, unless it was skipped."""

    id: str
    flow: str
    status: Status
    seed: int
    seconds: float
    outputs: dict[str, TextOutput | FileOutput]
    error: Fault | None = None


class UploadBody(BaseModel):
    """An upload: its id may stand for a medium in requests."""

    id: str
    modality: str
    type: str
    bytes: int
    meta: dict[str, Any]


class PutBody(BaseModel):
    """An input of a flow."""

    modality: str
    required: bool
    doc: str


class FlowBody(BaseModel):
    """A flow: its inputs, the modalities of its outputs, and the paths that serve it."""

    name: str
    doc: str
    inputs: dict[str, PutBody]
    outputs: dict[str, str | None]
    paths: list[str]


class FlowList(BaseModel):
    """All flows of a server."""

    flows: list[FlowBody]


class Health(BaseModel):
    """The server lives."""

    status: Literal["ok"] = "ok"


def run_body(run: Run) -> RunBody:
    """What is told of a run."""
    outputs = {name: _output(run, told) for name, told in run.outputs.items() if "path" in told}
    return RunBody(
        id=run.id, flow=run.flow.spec.flow, status=run.status, seed=run.seed, seconds=round(run.seconds, 3),
        outputs=outputs, error=run.fault,
    )  # fmt: skip


def files(run: Run) -> dict[str, Path]:
    """The files of a run's outputs, by their names."""
    return {path.name: path for told in run.outputs.values() for path in paths(told)}


def inputs_model(flow: Flow) -> type[BaseModel]:
    """What a request to a flow holds."""
    fields: dict[str, Any] = {}
    for i, (name, put) in enumerate(flow.spec.inputs.items()):
        rules: dict[str, Any] = {} if put.modality == "text" else {"pattern": MEDIUM}
        told = put.doc if put.modality == "text" else f"{put.doc} {doc(put.modality)}".strip()
        default = ... if put.required else (put.default or "") if put.modality == "text" else ""
        fields[f"input_{i}"] = (str, Field(default, alias=name, title=name, description=told or None, **rules))
    return create_model(f"{_title(flow)}Inputs", __config__=ConfigDict(extra="forbid"), **fields)


def inputs_schema(flow: Flow) -> dict[str, Any]:
    """The same as JSON schema. The default of a medium is a path of the flow's author: it is not shown."""
    schema = inputs_model(flow).model_json_schema()
    for name, put in flow.spec.inputs.items():
        if put.modality != "text":
            schema["properties"][name].pop("default", None)
    return schema


def form_schema(flow: Flow) -> dict[str, Any]:
    """The same as a form, whose media may be files."""
    schema = inputs_schema(flow)
    for name, put in flow.spec.inputs.items():
        if put.modality != "text":
            schema["properties"][name] = {"type": "string", "format": "binary", "description": doc(put.modality)}
    return schema


def run_model(flow: Flow) -> type[BaseModel]:
    """What an answer about a run of a flow holds."""
    fields: dict[str, Any] = {}
    for i, (name, (_, kind)) in enumerate(flow.plan.outputs.items()):
        made = TextOutput if kind.modality == "text" else FileOutput if kind.modality else TextOutput | FileOutput
        fields[f"output_{i}"] = (made | None, Field(None, alias=name, title=name))
    outputs = create_model(f"{_title(flow)}Outputs", **fields)
    return create_model(f"{_title(flow)}Run", __base__=RunBody, outputs=(outputs, ...))


def flow_body(flow: Flow, paths: list[str]) -> FlowBody:
    """What is told of a flow."""
    puts = {
        name: PutBody(modality=put.modality, required=put.required, doc=put.doc)
        for name, put in flow.spec.inputs.items()
    }
    outputs = {name: kind.modality for name, (_, kind) in flow.plan.outputs.items()}
    return FlowBody(name=flow.spec.flow, doc=flow.spec.doc, inputs=puts, outputs=outputs, paths=paths)


def url(run: Run, path: Path) -> str:
    """Where the file of a run is."""
    return f"/runs/{run.id}/files/{path.name}"


def paths(told: Mapping[str, Any]) -> Iterator[Path]:
    """The files of an output, as `run.json` tells of it; a run that was stopped may not have written them all."""
    for one in (told, *told.get("more", ())):
        if "path" in one:
            yield Path(one["path"])


def _output(run: Run, told: Mapping[str, Any]) -> TextOutput | FileOutput:
    more = [_output(run, other) for other in told.get("more", ()) if "path" in other]
    if "text" in told:
        return TextOutput.model_validate({**told, "more": more})
    return FileOutput.model_validate({**told, "url": url(run, Path(told["path"])), "more": more})


def _title(flow: Flow) -> str:
    return "".join(word.capitalize() for word in flow.spec.flow.replace("_", "-").split("-"))
