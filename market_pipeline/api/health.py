"""Endpoints for whoever watches: does it live, is it of use."""

import asyncio
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from market_pipeline import brokers
from market_pipeline.api import auth
from market_pipeline.api.auth import Scope
from market_pipeline.api.context import Context, Works
from market_pipeline.api.errors import MEDIA_TYPE, Problem, body_of
from market_pipeline.api.streams import is_alive
from market_pipeline.errors import MarketPipelineError

router = APIRouter(tags=["health"])


class Alive(BaseModel):
    status: str = Field(examples=["ok"])


class Part(BaseModel):
    """One part of what readiness is made of."""

    is_ready: bool
    detail: str = Field(examples=["1 of 1 streams live"])


class Readiness(BaseModel):
    """Whether everything that data needs on its way is there."""

    status: str = Field(examples=["ready"])
    parts: dict[str, Part] = Field(description="database, streams and dagster.")


class NotReady(Problem):
    """Which part is missing."""

    parts: dict[str, Part]


@router.get("/health", response_model=Alive)
async def health() -> dict[str, str]:
    """Answer that this process lives; nothing else is looked at. Needs no key."""
    return {"status": "ok"}


@router.get(
    "/health/ready",
    response_model=Readiness,
    responses={503: {"model": NotReady, "description": "Not ready"}},
)
async def ready(request: Request, works: Works) -> Any:
    """Tell whether the database answers, wanted streams live and Dagster's daemon does.

    Needs no key. 503 names the part that is missing.
    """
    names = ("database", "streams", "dagster")
    found = await asyncio.gather(_database(works), _streams(works), _dagster(works))
    parts = dict(zip(names, found, strict=True))
    lacking = [f"{name}: {part.detail}" for name, part in parts.items() if not part.is_ready]
    if not lacking:
        return {"status": "ready", "parts": parts}
    problem = body_of(request.scope, 503, "not-ready", "; ".join(lacking))
    content = NotReady(**problem.model_dump(), parts=parts).model_dump(exclude_none=True)
    return JSONResponse(content, 503, headers={"Retry-After": "5"}, media_type=MEDIA_TYPE)


@router.get(
    "/metrics",
    dependencies=[Depends(auth.require(Scope.READ))],
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(works: Works) -> Response:
    """Tell Prometheus, in its text format, how streams get on and what this process answers."""
    await works.tables.refresh(works.reader)
    return Response(generate_latest(works.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})


# The details are for everybody: they hold no address and no message of a driver.


async def _database(works: Context) -> Part:
    try:
        await works.reader.rows("database_answers")
    except MarketPipelineError:
        return Part(is_ready=False, detail="does not answer")
    return Part(is_ready=True, detail="answers")


async def _streams(works: Context) -> Part:
    try:
        wanted = await wanted_streams(works)
        rows = {row["stream"]: row for row in await works.reader.rows("stream_status")}
    except MarketPipelineError:
        return Part(is_ready=False, detail="what is wanted is not known")
    dead = [name for name in wanted if name not in rows or not is_streaming(rows[name])]
    if dead:
        return Part(is_ready=False, detail=f"not streaming: {', '.join(dead)}")
    detail = f"{len(wanted)} of {len(wanted)} streams live" if wanted else "none is wanted now"
    return Part(is_ready=True, detail=detail)


async def _dagster(works: Context) -> Part:
    try:
        lacking = await works.dagster.unhealthy_daemons()
    except MarketPipelineError:
        return Part(is_ready=False, detail="the web server does not answer")
    if lacking:
        return Part(is_ready=False, detail=f"daemons that do not live: {', '.join(lacking)}")
    return Part(is_ready=True, detail="its daemons live")


async def wanted_streams(works: Context) -> list[str]:
    """Return the streams that the subscriptions need and of which an exchange is open."""
    opened = [
        await run_in_threadpool(brokers.open_broker, each) for each in works.settings.each_broker
    ]
    rows = await works.reader.rows(
        "desired_streams",
        brokers=[each.broker.value for each in works.settings.each_broker],
        per_stream=min(broker.max_tokens_per_stream for broker in opened),
    )
    now, calendar = datetime.now(UTC), works.settings.calendar
    return [
        row["stream"]
        for row in rows
        if any(calendar.is_open(exchange, now) for exchange in row["exchanges"])
    ]


def is_streaming(row: dict[str, Any]) -> bool:
    return is_alive(row) and row["state"] == "streaming"
