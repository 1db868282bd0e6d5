"""The app: routes, guards, errors, and what all requests share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fastapi import Depends, FastAPI
from fastapi.security import HTTPBearer
from starlette.concurrency import run_in_threadpool

from orchestrator import __version__
from orchestrator.errors import UserError
from orchestrator.serve import openai, refusals, routes
from orchestrator.serve.guard import KeyGuard, SizeGuard
from orchestrator.serve.media import Reader, Uploads, intake
from orchestrator.serve.runs import Runs
from orchestrator.serve.settings import Settings
from orchestrator.serve.shapes import Health

if TYPE_CHECKING:
    from orchestrator.engine.flow import Flow


def create_app(flows: Iterable[Flow], settings: Settings | None = None) -> FastAPI:
    """An ASGI app that serves flows by their names. Raises UserError if two have the same."""
    settings = settings or Settings()
    named = _named(flows)
    runs, uploads = Runs(settings), Uploads()
    reader = Reader(uploads, intake(settings.allow_urls, settings.max_upload))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await run_in_threadpool(runs.close)
        uploads.close()

    app = FastAPI(title="Orch", version=__version__, lifespan=lifespan, redoc_url=None)
    app.state.settings, app.state.runs = settings, runs
    guarded = [Depends(HTTPBearer(auto_error=False))] if settings.key else []  # for the schema: KeyGuard does it
    more = refusals.documented(401) if settings.key else {}
    for router in (routes.make(named, runs, uploads, reader), openai.make(named, runs, reader)):
        app.include_router(router, dependencies=guarded, responses=more)

    @app.get("/health")
    async def health() -> Health:
        """The server lives. Needs no key."""
        return Health()

    refusals.install(app)
    app.add_middleware(SizeGuard, limit=settings.max_upload)
    if settings.key:  # the last one that is added is the first that a request meets
        app.add_middleware(KeyGuard, key=settings.key)
    return app


def _named(flows: Iterable[Flow]) -> dict[str, Flow]:
    named: dict[str, Flow] = {}
    for flow in flows:
        name = flow.spec.flow
        if name in named:
            raise UserError(f"two flows are called '{name}': give one another name, in the first line of its file")
        named[name] = flow
    if not named:
        raise UserError("no flow to serve: name a flow file or an arrow line")
    return named
