"""Endpoints about streaming: whether it is wanted, and what the streams do."""

from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from market_pipeline.api import auth
from market_pipeline.api.auth import Scope
from market_pipeline.api.context import Context, Works
from market_pipeline.sessions import bounds, trading_date

_MOST_GAPS = 200
DEAD_SECONDS = 45.0
"""A stream writes its heartbeat every few seconds."""

router = APIRouter(prefix="/api/ws", tags=["streaming"])
_read = [Depends(auth.require(Scope.READ))]
_control = [Depends(auth.require(Scope.CONTROL))]


class Streaming(BaseModel):
    """Whether streams are wanted; they start and end within seconds, while an exchange is open."""

    is_streaming: bool
    changed_at: datetime


class Feed(BaseModel):
    """The connection of a stream to one broker."""

    broker: str
    state: str = Field(examples=["streaming"])
    detail: str
    frames: int
    reconnects: int


class Stream(BaseModel):
    """A connection to a broker, or one to each of two, since it was started."""

    stream: str
    broker: str
    state: str = Field(examples=["streaming"])
    detail: str
    is_alive: bool = Field(description="It gave a sign of life within 45 seconds.")
    started_at: datetime
    heartbeat_at: datetime
    instruments: int
    frames: int
    ticks: int
    ticks_per_second: float
    lag_ms: float | None = Field(description="From received to committed, the median.")
    backlog_bytes: int = Field(description="Received and not stored yet.")
    reconnects: int
    faults: int
    anomalies: int
    stale_instruments: int = Field(description="Of which nothing comes though it lives.")
    feeds: list[Feed] = Field(description="The preferred broker's first.")


class Gap(BaseModel):
    gap_id: int
    stream: str
    started_at: datetime
    ended_at: datetime | None = Field(description="Null while it lasts.")
    cause: str
    broker: str | None = Field(description="Whose feed it is.")
    covered_by: str | None = Field(description="Whose feed has made the candles meanwhile.")
    instruments: int = Field(description="How many it is about; 0: all of the stream.")
    repaired_by: str | None
    repair_failure: str | None


class Status(Streaming):
    broker: str
    streams: list[Stream]
    gaps_today: list[Gap] = Field(description="The newest first, at most 200.")


@router.post("/start", dependencies=_control, response_model=Streaming)
async def start(works: Works) -> dict[str, Any]:
    """Want streams: those that the subscriptions need. Doing it again changes nothing."""
    return await _want(works, is_streaming=True)


@router.post("/stop", dependencies=_control, response_model=Streaming)
async def stop(works: Works) -> dict[str, Any]:
    """Want no streams: those that run store what they hold and end. Subscriptions stay."""
    return await _want(works, is_streaming=False)


@router.get("/status", dependencies=_read, response_model=Status)
async def status(works: Works) -> dict[str, Any]:
    """Tell whether streams are wanted, what each does, and today's gaps."""
    rows = works.reader.rows
    today = bounds(trading_date(datetime.now(UTC)))[0]
    streams = await rows("stream_status")
    return {
        **(await rows("desired_state"))[0],
        "broker": works.broker,
        "streams": [row | {"is_alive": is_alive(row)} for row in streams],
        "gaps_today": await rows("gaps_of_day", since=today, rows=_MOST_GAPS),
    }


def is_alive(row: dict[str, Any]) -> bool:
    """Tell whether a stream of stream_status.sql lives."""
    ended = row["state"] in ("stopped", "failed")
    return not ended and bool(row["heartbeat_age"] <= DEAD_SECONDS)


async def _want(works: Context, is_streaming: bool) -> dict[str, Any]:
    await run_in_threadpool(works.database.execute, "set_desired_state", is_streaming=is_streaming)
    return (await works.reader.rows("desired_state"))[0]
