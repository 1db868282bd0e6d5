"""What clients of OpenAI's API expect: models, chat completions, image generations. A model is a flow."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from orchestrator.serve import chat
from orchestrator.serve.media import Reader
from orchestrator.serve.messages import Listener
from orchestrator.serve.refusals import documented, refusal
from orchestrator.serve.routes import FAILED, MAX_SEED, STREAM, unknown
from orchestrator.serve.runs import Run, Runs
from orchestrator.serve.shapes import paths, url
from orchestrator.serve.waiting import EventStream, Feed, until_over

if TYPE_CHECKING:
    from orchestrator.engine.flow import Flow

MAX_IMAGES = 4
DONE = "data: [DONE]\n\n"
BEGAN = int(time.time())


class ImagesRequest(BaseModel):
    """Pictures of a prompt. `model` is a flow; picture n is made with seed + n. Their size is set in the flow."""

    model_config = ConfigDict(extra="ignore")

    model: str
    prompt: str
    n: int = Field(1, ge=1, le=MAX_IMAGES)
    response_format: Literal["url", "b64_json"] = "url"
    size: Literal["auto"] = "auto"
    seed: int = Field(0, ge=0, le=MAX_SEED - MAX_IMAGES)


class Model(BaseModel):
    """A flow as a model; `serves` are the paths that take it, `dialogue` is whether it takes messages before the
    request."""

    id: str
    object: Literal["model"] = "model"
    created: int = BEGAN
    owned_by: str = "orch"
    serves: list[str]
    dialogue: bool


class Models(BaseModel):
    """All models."""

    object: Literal["list"] = "list"
    data: list[Model]


def no_images(flow: Flow) -> str:
    """Why a flow serves no image generations, or nothing."""
    texts = [name for name, put in flow.spec.inputs.items() if put.modality == "text"]
    needed = [name for name, put in flow.spec.inputs.items() if put.required and name not in texts]
    if not any(kind.modality == "image" for _, kind in flow.plan.outputs.values()):
        return "it makes no image"
    if len(texts) != 1:
        return f"it takes {len(texts)} texts, not one"
    return f"it needs {', '.join(needed)} beside the prompt" if needed else ""


CHAT, IMAGES = "/v1/chat/completions", "/v1/images/generations"
WHY_NOT: dict[str, Callable[[Flow], str]] = {CHAT: chat.why_not, IMAGES: no_images}


def make(flows: Mapping[str, Flow], runs: Runs, reader: Reader) -> APIRouter:
    """All of these routes."""
    router = APIRouter(tags=["openai"])
    shop = _Shop(flows, runs, reader)

    @router.get("/v1/models")
    async def list_models() -> Models:
        """The flows that serve any of OpenAI's paths."""
        return Models(data=[model for model in map(shop.model, flows) if model.serves])

    @router.get("/v1/models/{name}", responses=documented(404))
    async def show_model(name: str) -> Model:
        """A flow."""
        if name not in flows:
            raise unknown(name, flows)
        return shop.model(name)

    @router.post(CHAT, response_model=None, responses=_answers(stream=True))
    async def complete(request: Request, asked: chat.ChatRequest) -> Response:
        """Text, pictures, sounds in; text and media out."""
        return await shop.chat(request, asked)

    @router.post(IMAGES, response_model=None, responses=_answers())
    async def draw(request: Request, asked: ImagesRequest) -> Response:
        """Pictures of a prompt."""
        return await shop.images(request, asked)

    return router


@dataclass(frozen=True)
class _Shop:
    """What the routes share."""

    flows: Mapping[str, Flow]
    runs: Runs
    reader: Reader

    def model(self, name: str) -> Model:
        serves = [path for path, why_not in WHY_NOT.items() if not why_not(self.flows[name])]
        return Model(id=name, serves=serves, dialogue=CHAT in serves and chat.remembers(self.flows[name]))

    def flow(self, name: str, path: str) -> Flow:
        """The flow of a request. Raises HTTPException 404, or 400 if it does not serve the path."""
        if name not in self.flows:
            raise unknown(name, self.flows)
        if reason := WHY_NOT[path](self.flows[name]):
            raise HTTPException(400, f"flow '{name}' does not serve {path}: {reason}; call POST /flows/{name}/runs")
        return self.flows[name]

    async def chat(self, request: Request, asked: chat.ChatRequest) -> Response:
        flow = self.flow(asked.model, CHAT)
        base = str(request.base_url).rstrip("/")
        listener = Listener(flow, self.reader, self.runs, base)
        flow, media = await run_in_threadpool(listener.heard, asked.messages)
        if asked.stream:
            feed = Feed()
            run = self.runs.begin(flow, media, asked.seed or 0, feed)
            return EventStream(self.runs, run, _chunks(run, feed, asked, base))
        run = self.runs.begin(flow, media, asked.seed or 0)
        await until_over(request, self.runs, run)
        if run.fault:
            return _refused(run)
        text, made = await run_in_threadpool(chat.content, run, asked.media, base)
        message = {"role": "assistant", "content": text, "media": made}
        choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
        return JSONResponse(_head(run, "chat.completion") | {"choices": [choice]})

    async def images(self, request: Request, asked: ImagesRequest) -> Response:
        flow = self.flow(asked.model, IMAGES)
        prompt = next(name for name, put in flow.spec.inputs.items() if put.modality == "text")
        media = await run_in_threadpool(self.reader.read, flow, {prompt: asked.prompt})
        found: list[dict[str, str]] = []
        for i in range(asked.n):
            run = self.runs.begin(flow, media, asked.seed + i)
            await until_over(request, self.runs, run)
            if run.fault:
                return _refused(run)
            base = str(request.base_url).rstrip("/")
            found += [_image(run, path, asked.response_format, base) for path in _pictures(run)]
        if not found:
            return refusal(400, f"flow '{asked.model}' made no image of this prompt")
        return JSONResponse({"created": int(time.time()), "data": found})


async def _chunks(run: Run, feed: Feed, asked: chat.ChatRequest, base: str) -> AsyncIterator[str]:
    """The stream of a chat completion: text as it is written, then what else there is."""
    nodes, sent = chat.speakers(run.flow), ""
    yield _chunk(run, {"role": "assistant", "content": ""})
    async for event in feed.events():
        text = chat.written(event, nodes)
        if text and len(text) > len(sent) and text.startswith(sent):
            yield _chunk(run, {"content": text[len(sent) :]})
            sent = text
    if run.fault:
        yield f"data: {json.dumps({'error': run.fault.model_dump()})}\n\n"
        return
    whole, media = await run_in_threadpool(chat.content, run, asked.media, base)
    rest = whole[len(sent) :] if whole.startswith(sent) else f"\n\n{whole}"
    yield _chunk(run, {"content": rest, "media": media})
    yield _chunk(run, {}, "stop")
    yield DONE


def _chunk(run: Run, delta: Mapping[str, Any], reason: str | None = None) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": reason, "logprobs": None}
    body = _head(run, "chat.completion.chunk") | {"choices": [choice]}
    return f"data: {json.dumps(body, ensure_ascii=False)}\n\n"


def _head(run: Run, kind: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{run.id}", "object": kind, "created": int(time.time()), "model": run.flow.spec.flow}


def _pictures(run: Run) -> list[Path]:
    return [path for told in run.outputs.values() if told["modality"] == "image" for path in paths(told)]


def _image(run: Run, path: Path, form: str, base: str) -> dict[str, str]:
    if form == "url":
        return {"url": base + url(run, path)}
    return {"b64_json": base64.b64encode(path.read_bytes()).decode("ascii")}


def _refused(run: Run) -> Response:
    status = 400 if run.code == 422 else run.code
    return refusal(status, run.fault.message if run.fault else "")


def _answers(stream: bool = False) -> dict[int | str, dict[str, Any]]:
    content = {STREAM: {"schema": {"type": "string"}}} if stream else {}
    return {200: {"content": content}, **documented(404, *FAILED)}
