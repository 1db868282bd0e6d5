"""The server's own routes: flows, runs, uploads and files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from orchestrator.errors import nearest
from orchestrator.serve import body, events, shapes
from orchestrator.serve.media import KINDS, Reader, Uploads, file_response
from orchestrator.serve.refusals import documented, refusal
from orchestrator.serve.runs import Run, Runs
from orchestrator.serve.waiting import EventStream, Feed, until_over

if TYPE_CHECKING:
    from orchestrator.engine.flow import Flow

MAX_SEED = 2**32 - 1
STREAM = "text/event-stream"
FAILED = (400, 413, 415, 422, 429, 499, 500, 503, 504)

Seed = Annotated[int, Query(ge=0, le=MAX_SEED, description="Of all that is random.")]
Wait = Annotated[bool, Query(description="Answer when the run is over; else at once, with 202.")]
BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}


def make(flows: Mapping[str, Flow], runs: Runs, uploads: Uploads, reader: Reader) -> APIRouter:
    """All of them."""
    router = APIRouter()
    for name, flow in flows.items():
        router.add_api_route(
            f"/flows/{name}/runs", _begin(flow, runs, reader), methods=["POST"], response_model=None,
            operation_id=f"run_{name}", summary=f"Run {name}", description=flow.spec.doc or None, tags=["flows"],
            responses=_answers(flow), openapi_extra={"requestBody": _request(flow)},
        )  # fmt: skip
    _add_flows(router, flows)
    _add_runs(router, runs)
    _add_media(router, uploads)
    return router


def unknown(name: str, flows: Mapping[str, Flow]) -> HTTPException:
    """There is no such flow."""
    return HTTPException(404, f"there is no flow '{name[:80]}'.{nearest(name, flows)}")


def answer(run: Run, status: int = 200) -> Response:
    """A run as an answer; one that did not go well has its own status."""
    where = {"Location": f"/runs/{run.id}"}
    if run.over and run.fault:
        return refusal(run.code, run.fault.message, where)
    return JSONResponse(shapes.run_body(run).model_dump(mode="json"), status, where)


def _begin(flow: Flow, runs: Runs, reader: Reader) -> Callable[..., Any]:
    async def begin(request: Request, wait: Wait = False, seed: Seed = 0) -> Response:
        runs.check_room()  # before the body is read
        given = await body.inputs(request)
        media = await run_in_threadpool(reader.read, flow, given)
        if STREAM in request.headers.get("accept", ""):
            feed = Feed()
            run = runs.begin(flow, media, seed, feed)
            return EventStream(runs, run, events.lines(run, feed))
        run = runs.begin(flow, media, seed)
        if not wait:
            return answer(run, 202)
        await until_over(request, runs, run)
        return answer(run)

    return begin


def _answers(flow: Flow) -> dict[int | str, dict[str, Any]]:
    model = shapes.run_model(flow)
    stream = {STREAM: {"schema": {"type": "string", "description": "Events of the run; the last one is `run`."}}}
    done = {"model": model, "content": stream, "description": "The run is over."}
    return {200: done, 202: {"model": model, "description": "The run is queued."}, **documented(*FAILED)}


def _request(flow: Flow) -> dict[str, Any]:
    schemas = {body.JSON: shapes.inputs_schema(flow), body.FORM: shapes.form_schema(flow)}
    return {"required": True, "content": {kind: {"schema": schema} for kind, schema in schemas.items()}}


def _add_flows(router: APIRouter, flows: Mapping[str, Flow]) -> None:
    def told(name: str) -> shapes.FlowBody:
        return shapes.flow_body(flows[name], [f"/flows/{name}/runs"])

    @router.get("/flows", tags=["flows"])
    async def list_flows() -> shapes.FlowList:
        """The flows of this server."""
        return shapes.FlowList(flows=[told(name) for name in flows])

    @router.get("/flows/{name}", tags=["flows"], responses=documented(404))
    async def show_flow(name: str) -> shapes.FlowBody:
        """A flow: its inputs and outputs."""
        if name not in flows:
            raise unknown(name, flows)
        return told(name)

    @router.post("/flows/{name}/runs", include_in_schema=False)
    async def run_unknown(name: str) -> None:
        raise unknown(name, flows)


def _add_runs(router: APIRouter, runs: Runs) -> None:
    @router.get("/runs/{run_id}", tags=["runs"], responses=documented(404))
    async def show_run(run_id: str) -> shapes.RunBody:
        """A run as it is now; of one that failed, the error."""
        return shapes.run_body(runs.find(run_id))

    @router.delete("/runs/{run_id}", tags=["runs"], status_code=202, responses=documented(404))
    async def cancel_run(run_id: str) -> shapes.RunBody:
        """Stop a run: at once if it waits, else at its next token or step. One that is over stays as it is."""
        run = runs.find(run_id)
        runs.stop(run)
        return shapes.run_body(run)

    @router.get(
        "/runs/{run_id}/files/{name}", tags=["runs"], response_class=FileResponse,
        responses={200: {"content": dict.fromkeys(KINDS, BINARY)}, **documented(404)},
    )  # fmt: skip
    async def fetch_file(run_id: str, name: str) -> FileResponse:
        """An output of a run."""
        run = runs.find(run_id)
        found = shapes.files(run).get(name)
        if found is None:
            raise HTTPException(404, f"run {run.id} has no file '{name[:80]}'.{nearest(name, shapes.files(run))}")
        return file_response(runs.folder(run), found)


def _add_media(router: APIRouter, uploads: Uploads) -> None:
    content: dict[str, Any] = dict.fromkeys(KINDS, BINARY)
    form = {"type": "object", "properties": {"file": BINARY["schema"]}, "required": ["file"]}
    content[body.FORM] = {"schema": form}

    @router.post(
        "/media", tags=["media"], status_code=201, responses=documented(400, 413, 415, 422),
        openapi_extra={"requestBody": {"required": True, "content": content}},
    )  # fmt: skip
    async def upload(request: Request) -> shapes.UploadBody:
        """Keep a medium for later requests, for as long as there is room."""
        data, kind = await body.medium(request)
        made = await run_in_threadpool(uploads.add, data, kind)
        return shapes.UploadBody.model_validate(made, from_attributes=True)

    @router.get(
        "/media/{upload_id}", tags=["media"], response_class=FileResponse,
        responses={200: {"content": dict.fromkeys(KINDS, BINARY)}, **documented(404)},
    )  # fmt: skip
    async def fetch_upload(upload_id: str) -> FileResponse:
        """An upload."""
        found = uploads.find(upload_id)
        return file_response(found.path.parent, found.path, found.type)
