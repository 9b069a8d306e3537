"""Endpoints of what is stored: candles of any length, and ticks."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import polars as pl
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from market_pipeline.api import auth, cursors, formats
from market_pipeline.api.asked import Asked, Cursor, InQuery, Length, Period
from market_pipeline.api.auth import Scope
from market_pipeline.api.context import Context, Works
from market_pipeline.api.coverage import coverage
from market_pipeline.api.errors import responses
from market_pipeline.api.formats import Page
from market_pipeline.api.instruments import find
from market_pipeline.api.models import CandlePage, Listed, TickPage
from market_pipeline.market import CANDLE_SCHEMA, TICK_COLUMNS, Interval
from market_pipeline.storage.reading import Row

_TIMES = ("time", "exchange_time", "received_at")
_POLARS = {"i8": pl.Int64(), "f8": pl.Float64(), "?": pl.Boolean()}
_UTC = pl.Datetime("us", "UTC")

CANDLES: dict[str, pl.DataType] = {
    **CANDLE_SCHEMA,
    "trades": pl.Int64(),
    "state": pl.String(),
    "has_gap": pl.Boolean(),
}
"""Columns of candles in CSV and Arrow."""

TICKS: dict[str, pl.DataType] = {
    name: _UTC if name in _TIMES else _POLARS[kind]
    for name, kind in TICK_COLUMNS.items()
    if name not in ("instrument_id", "feed")
} | {"broker": pl.String()}
"""Columns of ticks in CSV and Arrow, of one instrument."""

# Shares trade for a quarter of the day: a page may span so many times what its candles last.
_SPAN = 4
# Of long candles: they may have to be made of minutes, of which two years take about a second.
_LONGEST_SPAN = timedelta(days=740)
_MICROSECOND = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

router = APIRouter(prefix="/api/historical", tags=["historical"])
_read = [Depends(auth.require(Scope.READ))]


def _documented(model: Any) -> dict[int | str, dict[str, Any]]:
    return {200: {"model": model, "content": formats.CONTENT}, **responses(404, 406)}


@router.get("/candles", dependencies=_read, responses=_documented(CandlePage))
async def candles(  # noqa: PLR0913 - each is a parameter of the query
    request: Request,
    works: Works,
    period: Asked,
    instrument: InQuery,
    interval: Length = "1m",
    limit: Annotated[int, Query(ge=1, le=50_000)] = 10_000,
    cursor: Cursor = None,
) -> Response:
    """Return candles of any length that begin in a period, the oldest first.

    A page may hold fewer than `limit` and still have a `next_cursor`. `coverage` compares it with
    the session table; an instrument that trades rarely has fewer without anything being lost.
    """
    media_type = formats.accepted(request)
    known = await find(works, instrument)
    minutes = Interval.read(interval).minutes
    asked = ["candles", known["instrument_id"], minutes, period.given]
    start, end = _place(asked, cursor, period)
    rows, following = await _candles(works, known["instrument_id"], minutes, (start, end), limit)
    around = _around(known, start, following or end, period) | {"interval": interval}
    covered = (start, min(following or end, datetime.now(UTC)))
    begins = [row["time"] for row in rows]

    def answer() -> Response:
        """Make the body, which takes long if it is large."""
        counts = coverage(works.settings.calendar, known, minutes, covered, begins)
        next_cursor = cursors.write(asked, _micros(following, end)) if following else None
        page = Page("candles", rows, CANDLES, around | {"coverage": counts}, next_cursor)
        return formats.answer(request, media_type, page)

    return await run_in_threadpool(answer)


async def _candles(
    works: Context, instrument_id: int, minutes: int, period: tuple[datetime, datetime], limit: int
) -> tuple[list[Row], datetime | None]:
    """Return the candles of a page and where the next begins; what is empty is passed over."""
    start, end = period
    of = {"instrument_id": instrument_id, "minutes": minutes}
    width = timedelta(minutes=minutes)
    span = min(_SPAN * limit * width + timedelta(days=1), _LONGEST_SPAN)
    if end - start > span:
        first = await works.reader.row("first_candle", **of, start=start, ends=end)
        if first is None or first["time"] is None:
            return [], None
        start = max(start, first["time"] - width)
    until = min(end, start + span)
    rows = await works.reader.rows("read_candles", **of, start=start, ends=until, rows=limit + 1)
    if len(rows) > limit:
        return rows[:limit], rows[limit]["time"]
    if until == end:
        return rows, None
    more = await works.reader.row("first_candle", **of, start=until, ends=end)
    return rows, until if more and more["time"] else None


@router.get("/ticks", dependencies=_read, responses=_documented(TickPage))
async def ticks(
    request: Request,
    works: Works,
    period: Asked,
    instrument: InQuery,
    limit: Annotated[int, Query(ge=1, le=50_000)] = 1000,
    cursor: Cursor = None,
) -> Response:
    """Return the ticks of a period in their order: what a feed said, snapshot by snapshot.

    They are kept for TICK_RETENTION_DAYS; candles stay.
    """
    media_type = formats.accepted(request)
    known = await find(works, instrument)
    asked = ["ticks", known["instrument_id"], period.given]
    start, end, seq = period.start, period.end, -1
    if cursor:
        place = cursors.read(asked, cursor, 3)
        (start, end), seq = map(_time, place[:2]), place[2]
    rows = await works.reader.rows(
        "read_ticks",
        instrument_id=known["instrument_id"],
        start=start,
        ends=end,
        after=seq,
        rows=limit + 1,
    )
    next_cursor = None
    if len(rows) > limit:
        last = rows[limit - 1]
        next_cursor = cursors.write(asked, [*_micros(last["time"], end), last["seq"]])
    page = Page("ticks", rows[:limit], TICKS, _around(known, start, end, period), next_cursor)
    return await run_in_threadpool(formats.answer, request, media_type, page)


def _around(known: Row, start: datetime, end: datetime, period: Period) -> dict[str, Any]:
    return {
        "instrument": {name: known[name] for name in Listed.model_fields},
        "from": start,
        "to": end,
        "assumed_zone": period.assumed_zone,
    }


def _place(asked: Any, cursor: str | None, period: Period) -> tuple[datetime, datetime]:
    if cursor is None:
        return period.start, period.end
    start, end = cursors.read(asked, cursor, 2)
    return _time(start), _time(end)


def _micros(*times: datetime) -> list[int]:
    return [(each - _EPOCH) // _MICROSECOND for each in times]


def _time(micros: int) -> datetime:
    return _EPOCH + micros * _MICROSECOND
