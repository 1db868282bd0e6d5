"""Errors as clients see them: one form, OpenAI's, for every path; never a traceback, a path or what a model said.

What the client got wrong is told as it is. All else is the operator's: it goes to the log.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any, cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from orchestrator.errors import Cancelled, InputError, RetryError

LOG = logging.getLogger("orchestrator.serve")

CLIENT_GONE = 499  # nginx's: no registered code says it
TYPES = {
    401: "authentication_error",
    404: "not_found_error",
    429: "rate_limit_error",
    CLIENT_GONE: "cancelled_error",
    504: "timeout_error",
}
# The first class that fits: the status, and what is told (None: the error's own message).
FAULTS: tuple[tuple[type[Exception], int, str | None], ...] = (
    (InputError, 422, None),
    (Cancelled, CLIENT_GONE, "the run was cancelled"),
    (RetryError, 503, "the server lacks memory, or a service that it needs does not answer; try again later"),
    (Exception, 500, "the run failed; the server's log says why"),
)


class Fault(BaseModel):
    """What went wrong. `type` is a class of errors, `param` the part of the request that is meant, if any."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorBody(BaseModel):
    """The body of every answer that is an error."""

    error: Fault


def fault(status: int, message: str, param: str | None = None) -> Fault:
    """A fault of a status."""
    kind = TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    return Fault(message=message, type=kind, param=param)


def judged(error: Exception) -> tuple[int, str]:
    """The status of an error, and what clients are told of it."""
    _, status, message = next(row for row in FAULTS if isinstance(error, row[0]))
    return status, str(error) if message is None else message


def refusal(
    status: int, message: str, headers: Mapping[str, str] | None = None, param: str | None = None
) -> JSONResponse:
    """An answer that is an error."""
    body = ErrorBody(error=fault(status, message, param))
    return JSONResponse(body.model_dump(), status, dict(headers or {}))


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What OpenAPI says of a route's errors."""
    return {status: {"model": ErrorBody} for status in statuses}


def install(app: FastAPI) -> None:
    """Make every error of an app an answer of this form."""
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Exception, _failed)
    app.add_exception_handler(InputError, _failed)
    app.add_exception_handler(RetryError, _failed)


def invalid(request: Request) -> int:
    """The status of a request that is well-formed and wrong: OpenAI's clients expect 400."""
    return 400 if request.url.path.startswith("/v1/") else 422


async def _http(request: Request, error: Exception) -> JSONResponse:
    known = cast(HTTPException, error)
    return refusal(known.status_code, str(known.detail), known.headers)


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    problems = list(_problems(error))
    return refusal(invalid(request), "\n".join(text for _, text in problems), param=problems[0][0])


async def _failed(request: Request, error: Exception) -> JSONResponse:
    status, message = judged(error)
    if status >= 500:
        LOG.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return refusal(invalid(request) if status == 422 else status, message)


def _problems(error: Any) -> Iterator[tuple[str, str]]:
    """(where, what) of everything that is wrong with a request."""
    for problem in error.errors():
        where = ".".join(str(step) for step in problem["loc"][1:]) or str(problem["loc"][0])
        yield where, f"{where}: {problem['msg']}"
