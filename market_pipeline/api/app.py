"""The application: its layers, its routes and its documentation."""

import contextlib
from collections.abc import AsyncIterator
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.middleware.cors import CORSMiddleware

from market_pipeline.api import (
    context,
    documenting,
    errors,
    health,
    historical,
    instruments,
    live_page,
    runs,
    streams,
    watch_list,
)
from market_pipeline.api.context import Context
from market_pipeline.api.guard import Guard, SmallBodies
from market_pipeline.api.live import endpoint, hub
from market_pipeline.api.observing import Observed, RequestMetrics
from market_pipeline.config import Settings

# Those of runs first: their fixed paths come before /api/instruments/{token}.
_ROUTERS = (
    runs.router,
    instruments.router,
    historical.router,
    streams.router,
    watch_list.router,
    health.router,
)


def create_app(settings: Settings) -> FastAPI:
    """Return the application that settings ask for; its context is in `app.state.context`.

    Raises:
        ConfigurationError: API_KEYS is wrong, or missing where others than this machine can ask.
        EmbeddedServerError: no DATABASE_URL is set and the embedded server does not run.
    """
    works = context.make(settings)
    app = FastAPIOffline(
        title="market_pipeline",
        version=version("market-pipeline"),
        description=documenting.DESCRIPTION,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_lifespan,
    )
    app.state.context = works
    for router in _ROUTERS:
        app.include_router(router, responses=errors.EVERYWHERE)
    errors.add_handlers(app)
    app.include_router(endpoint.router)
    live_page.add_to(app)
    documenting.complete(app, has_keys=bool(works.keys))
    _add_layers(app, works)
    return app


def _add_layers(app: FastAPI, works: Context) -> None:
    """Add them from the innermost to the outermost."""
    origins = tuple(
        origin.strip() for origin in works.settings.api_cors_origins.split(",") if origin.strip()
    )
    app.add_middleware(SmallBodies)
    if not works.keys:
        app.add_middleware(Guard, origins=origins)
    if origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "POST"],
            allow_headers=["X-API-Key", "Authorization", "Content-Type", "X-Request-ID"],
            expose_headers=["X-Request-ID", "Retry-After", "Link"],
        )
    app.add_middleware(Observed, metrics=RequestMetrics(works.registry))


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    works: Context = app.state.context
    async with works.reader, hub.running(works.reader.url, works.reader) as app.state.live:
        yield {}
