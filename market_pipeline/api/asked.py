"""What can be asked: the parameters that several endpoints share, and how they are read."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Path, Query
from pydantic import AfterValidator, BeforeValidator, StringConstraints, WithJsonSchema

from market_pipeline.api import cursors
from market_pipeline.api.errors import NotAsked
from market_pipeline.market import Interval
from market_pipeline.sessions import EXCHANGE_TZ, bounds, to_ist, trading_date

_FIRST_YEAR, _LAST_YEAR = 1990, 2100
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_HOW = "a day as in 2026-11-20, or a time as in 2026-11-20T09:15 or 2026-11-20T03:45:00Z"

Name = Annotated[
    str,
    StringConstraints(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$"),
]
"""EXCHANGE:SYMBOL, a symbol, the broker's token, or id:42 for our instrument_id 42."""

_NAMED = "The active broker's token, `EXCHANGE:SYMBOL`, a symbol, or `id:42` for instrument_id 42."
InPath = Annotated[Name, Path(description=_NAMED, examples=["256265", "NSE:RELIANCE", "id:42"])]
InQuery = Annotated[Name, Query(description=_NAMED, examples=["256265", "NSE:RELIANCE", "id:42"])]

Text = Annotated[str, StringConstraints(max_length=100, pattern=r"^[^\x00-\x1f\x7f]*$")]

Cursor = Annotated[
    str | None,
    Query(max_length=cursors.LONGEST, description="`next_cursor` of the page before."),
]


_Moment = TypeVar("_Moment", date, datetime)


def _moment(value: Any) -> date | datetime:
    text = str(value).strip()
    try:
        found = date.fromisoformat(text) if _DAY.fullmatch(text) else datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"write it as {_HOW}") from None
    return _in_range(found)


def _in_range(moment: _Moment) -> _Moment:
    if not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
        raise ValueError(f"must lie between {_FIRST_YEAR} and {_LAST_YEAR}")
    return moment


Moment = Annotated[
    date | datetime,
    BeforeValidator(_moment),
    WithJsonSchema(
        {"anyOf": [{"type": "string", "format": "date"}, {"type": "string", "format": "date-time"}]}
    ),
]


Day = Annotated[date, AfterValidator(_in_range)]
"""A trading day."""


def _length(text: str) -> str:
    return Interval.read(text).name


Length = Annotated[
    str,
    Query(
        description="Any whole minutes up to a day: 1m, 3m, 7m, 15m, 1h, 2h, 1d. Longer candles "
        "are aligned to the opening of the session.",
        pattern=r"^\s*[0-9]{1,4}[mhdMHD]\s*$",
        examples=["1m", "7m", "1d"],
    ),
    AfterValidator(_length),
]


@dataclass(frozen=True)
class Period:
    """From one instant up to another, in UTC; whether India's zone was assumed for one of them."""

    start: datetime
    end: datetime
    is_assumed: bool
    given: tuple[str, str]
    """What was asked for, in which now may move."""

    @property
    def assumed_zone(self) -> str | None:
        return EXCHANGE_TZ.key if self.is_assumed else None


def period(
    since: Annotated[
        Moment | None,
        Query(
            alias="from",
            description=f"The first moment: {_HOW}. Without a zone it is India's. By default the "
            "midnight before `to`.",
        ),
    ] = None,
    until: Annotated[
        Moment | None,
        Query(
            alias="to",
            description="The first moment after the period; a day is meant with all of it. By "
            "default now.",
        ),
    ] = None,
) -> Period:
    """Read the period that is asked for.

    Raises:
        NotAsked: it ends before it begins.
    """
    end = _instant(until, is_end=True) if until else datetime.now(UTC)
    last = trading_date(end - timedelta(microseconds=1))
    start = _instant(since) if since else bounds(last)[0].astimezone(UTC)
    if start >= end:
        raise NotAsked(f"from {start.isoformat()} is not before to {end.isoformat()}")
    return Period(start, end, _is_naive(since) or _is_naive(until), (str(since), str(until)))


Asked = Annotated[Period, Depends(period)]


def _instant(moment: date | datetime, is_end: bool = False) -> datetime:
    if isinstance(moment, datetime):
        return to_ist(moment).astimezone(UTC)
    return bounds(moment)[int(is_end)].astimezone(UTC)


def _is_naive(moment: date | datetime | None) -> bool:
    if isinstance(moment, datetime):
        return moment.tzinfo is None
    return moment is not None
