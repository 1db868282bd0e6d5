"""What stands in a request's body: the inputs of a flow as JSON or as a form, or one medium."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager

from fastapi import Request
from pydantic import TypeAdapter, ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException

from orchestrator.errors import InputError

MAX_PARTS = 64
JSON, FORM = "application/json", "multipart/form-data"

Given = dict[str, str | bytes]

_TEXTS = TypeAdapter(dict[str, str])


async def inputs(request: Request) -> Given:
    """The inputs that a request gives, by name. Raises HTTPException 400 or 415, and InputError."""
    kind = content_type(request)
    if kind not in READERS:
        raise HTTPException(415, f"a request is {JSON} or {FORM}, not '{kind[:80]}'")
    return await READERS[kind](request)


async def medium(request: Request) -> tuple[bytes, str]:
    """One medium and its content type: the body itself, or the only file of a form."""
    if content_type(request) != FORM:
        return await request.body(), content_type(request)
    async with _form(request) as form:
        files = [value for value in form.values() if isinstance(value, UploadFile)]
        if len(files) != 1:
            raise HTTPException(400, f"an upload has one file, not {len(files)}")
        return await files[0].read(), files[0].content_type or ""


def content_type(request: Request) -> str:
    """The media type of the body, without its parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def _json(request: Request) -> Given:
    try:
        return dict(_TEXTS.validate_json(await request.body()))
    except ValidationError as error:
        told = [".".join(map(str, (*e["loc"], ""))).replace(".", ": ", 1) + e["msg"] for e in error.errors()[:8]]
        raise InputError("the body is no JSON object of texts by input: " + "; ".join(told)) from None


async def _read_form(request: Request) -> Given:
    given: Given = {}
    async with _form(request) as form:
        for name, value in form.multi_items():
            if name in given:
                raise InputError(f"input '{name}' is given twice")
            given[name] = await value.read() if isinstance(value, UploadFile) else value
    return given


def _form(request: Request) -> AbstractAsyncContextManager[FormData]:
    """A form; what Starlette refuses in it is an HTTPException 400."""
    limit = int(request.app.state.settings.max_upload)
    return request.form(max_files=MAX_PARTS, max_fields=MAX_PARTS, max_part_size=limit)


READERS: dict[str, Callable[[Request], Awaitable[Given]]] = {JSON: _json, FORM: _read_form}
