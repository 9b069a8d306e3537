"""Endpoints about instruments: listing, searching, looking at one; subscribing."""

from datetime import UTC, date, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field, model_validator
from starlette.concurrency import run_in_threadpool

from market_pipeline.api import auth, cursors
from market_pipeline.api.asked import Cursor, InPath, Name, Text
from market_pipeline.api.auth import Scope
from market_pipeline.api.context import Context, Works
from market_pipeline.api.errors import responses
from market_pipeline.api.models import (
    InstrumentDetails,
    InstrumentPage,
    SearchResults,
    SubscriptionPage,
    Subscriptions,
)
from market_pipeline.errors import UnknownInstrument
from market_pipeline.market import Exchange, Kind, Mode, Segment
from market_pipeline.sessions import trading_date
from market_pipeline.storage import instrument_search, instruments
from market_pipeline.storage.instrument_search import Filters
from market_pipeline.storage.reading import Row

_MOST_NAMED = 5000
_LARGEST_ID = 2**63 - 1

router = APIRouter(prefix="/api/instruments", tags=["instruments"])
_read = [Depends(auth.require(Scope.READ))]
_control = [Depends(auth.require(Scope.CONTROL))]


def _filters(
    exchange: Annotated[Exchange | None, Query()] = None,
    segment: Annotated[Segment | None, Query()] = None,
    kind: Annotated[Kind | None, Query()] = None,
    underlying: Annotated[Text | None, Query(examples=["NIFTY"])] = None,
    expiry: Annotated[date | None, Query(examples=["2026-12-31"])] = None,
    expired: Annotated[bool, Query(description="Also what is not offered any more.")] = False,
) -> Filters:
    return Filters(exchange, segment, kind, underlying, expiry, expired)


Filtered = Annotated[Filters, Depends(_filters)]


class Selection(BaseModel):
    """Instruments by token or by name."""

    model_config = ConfigDict(extra="forbid")

    tokens: list[Annotated[int, Field(ge=0, le=_LARGEST_ID)]] = Field(
        [], max_length=_MOST_NAMED, examples=[[256265, 738561]]
    )
    names: list[Name] = Field(
        [],
        max_length=_MOST_NAMED,
        description="EXCHANGE:SYMBOL, a symbol, or id:42.",
        examples=[["NSE:TCS"]],
    )

    @model_validator(mode="after")
    def _names_something(self) -> "Selection":
        if not self.tokens and not self.names:
            raise ValueError("name at least one instrument, in tokens or in names")
        return self

    @property
    def all_names(self) -> list[str]:
        return [*map(str, self.tokens), *self.names]


class Subscribing(Selection):
    """Instruments, and how much of each."""

    mode: Mode = Field(Mode.FULL, description="ltp: the price; quote: the day; full: depth too.")


@router.get("", dependencies=_read, response_model=InstrumentPage)
async def list_instruments(
    request: Request,
    answered: Response,
    works: Works,
    filters: Filtered,
    limit: Annotated[int, Query(ge=1, le=5000)] = 500,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """List the instruments that the filters leave, page by page."""
    values = _values(filters)
    asked = ["instruments", works.brokers, values]
    after = cursors.read(asked, cursor, 1)[0] if cursor else 0
    rows = await works.reader.rows(
        "list_instruments", brokers=works.brokers, after=after, rows=limit + 1, **values
    )
    following = _following(request, answered, asked, rows, limit)
    return {"instruments": rows[:limit], "next_cursor": following}


@router.get("/search", dependencies=_read, response_model=SearchResults)
async def search_instruments(
    works: Works,
    filters: Filtered,
    q: Annotated[Text, Query(description="As one says it.", examples=["nifty 24200 ce"])],
    limit: Annotated[int, Query(ge=1, le=200)] = 20,
) -> dict[str, Any]:
    """Find instruments by symbol, name, underlying, strike, month or kind, the best first."""
    today = trading_date(datetime.now(UTC))
    found = await run_in_threadpool(
        instrument_search.search, works.database, works.brokers, q, today, limit + 1, filters
    )
    return {
        "instruments": found.head(limit).to_dicts(),
        "is_similar": bool(found["is_similar"].any()),
        "has_more": found.height > limit,
    }


@router.get("/subscriptions/list", dependencies=_read, response_model=SubscriptionPage,
            responses=responses(400))  # fmt: skip
async def list_subscriptions(
    request: Request,
    answered: Response,
    works: Works,
    ended: Annotated[bool, Query(description="Also those that were ended.")] = False,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """List what is subscribed, page by page."""
    asked = ["subscriptions", works.broker, ended]
    after = cursors.read(asked, cursor, 1)[0] if cursor else 0
    rows = await works.reader.rows(
        "list_subscriptions", broker=works.broker, after=after, with_ended=ended, rows=limit + 1
    )
    following = _following(request, answered, asked, rows, limit)
    return {"subscriptions": rows[:limit], "next_cursor": following}


@router.get("/{token}", dependencies=_read, response_model=InstrumentDetails,
            responses=responses(404))  # fmt: skip
async def show_instrument(works: Works, token: InPath) -> dict[str, Any]:
    """Tell all that is known of an instrument: its tokens, its history and its last tick."""
    known = await find(works, token)
    instrument_id = known["instrument_id"]
    rows = works.reader.rows
    return known | {
        "tokens": await rows("instrument_tokens", instrument_id=instrument_id),
        "history": await rows("instrument_versions", instrument_id=instrument_id),
        "last_tick": await works.reader.row("last_tick", instrument_id=instrument_id),
    }


@router.post("/subscribe", dependencies=_control, response_model=Subscriptions,
             responses=responses(404))  # fmt: skip
async def subscribe(works: Works, wanted: Subscribing) -> dict[str, Any]:
    """Subscribe instruments: they are streamed within seconds. Subscribed ones take the mode.

    Doing it again changes nothing. Either all of them are subscribed or, if one is unknown, none.
    """
    found = await _resolve(works, wanted)
    await run_in_threadpool(
        works.database.execute, "subscribe", instrument_ids=found, mode=wanted.mode.value
    )
    return await _subscriptions(works, found)


@router.post("/unsubscribe", dependencies=_control, response_model=Subscriptions,
             responses=responses(404))  # fmt: skip
async def unsubscribe(works: Works, unwanted: Selection) -> dict[str, Any]:
    """End subscriptions; what was stored stays. Doing it again changes nothing."""
    found = await _resolve(works, unwanted)
    await run_in_threadpool(works.database.execute, "unsubscribe", instrument_ids=found)
    return await _subscriptions(works, found)


async def find(works: Context, name: str) -> Row:
    """Return the instrument that a name means: see instrument_details.sql.

    Raises:
        UnknownInstrument: says what is similar.
    """
    instrument_id = _id_of(name)
    if instrument_id is None:
        instrument_id = await _named(works, name)
    known = await works.reader.row(
        "instrument_details", broker=works.broker, instrument_id=instrument_id
    )
    if known is None:
        raise UnknownInstrument(f"There is no instrument with the id {instrument_id}")
    return known


async def _named(works: Context, name: str) -> int:
    for broker in works.brokers:
        found = await works.reader.row("find_instruments", broker=broker, names=[name])
        if found is not None:
            return int(found["instrument_id"])
    # This says what is similar.
    await run_in_threadpool(
        instruments.resolve, works.database, works.broker, [name], works.standby
    )
    raise UnknownInstrument(f"{works.broker} had no instrument {name} a moment ago")


def _id_of(name: str) -> int | None:
    digits = name.removeprefix("id:")
    if digits == name or not (digits.isascii() and digits.isdecimal()):
        return None
    return min(int(digits), _LARGEST_ID)


async def _resolve(works: Context, selection: Selection) -> list[int]:
    found = await run_in_threadpool(
        instruments.resolve, works.database, works.broker, selection.all_names, works.standby
    )
    return list(dict.fromkeys(instrument_id for instrument_id, _ in found))


async def _subscriptions(works: Context, instrument_ids: list[int]) -> dict[str, Any]:
    rows = await works.reader.rows(
        "subscriptions_of", broker=works.broker, instrument_ids=instrument_ids
    )
    return {"subscriptions": rows}


def _values(filters: Filters) -> dict[str, Any]:
    return {
        "exchange": filters.exchange,
        "segment": filters.segment,
        "kind": filters.kind,
        "underlying": filters.underlying.upper() if filters.underlying else None,
        "expiry": filters.expiry,
        "with_expired": filters.with_expired,
    }


def _following(
    request: Request, answered: Response, asked: Any, rows: list[Row], limit: int
) -> str | None:
    """Return the cursor of the next page, and put it into the header Link; None at the end."""
    if len(rows) <= limit:
        return None
    cursor = cursors.write(asked, [rows[limit - 1]["instrument_id"]])
    url = request.url.include_query_params(cursor=cursor)
    answered.headers["Link"] = f'<{url.path}?{url.query}>; rel="next"'
    return cursor
