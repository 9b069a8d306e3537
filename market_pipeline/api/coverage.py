"""How many candles the session table expects of a liquid instrument. Told the time, never asks."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from market_pipeline.errors import ConfigurationError
from market_pipeline.sessions import (
    Calendar,
    InstrumentClass,
    bounds,
    instrument_class,
    trading_date,
)
from market_pipeline.storage.reading import Row

_DAY = 1440  # minutes


def coverage(
    calendar: Calendar,
    instrument: Row,
    minutes: int,
    period: tuple[datetime, datetime],
    present: Sequence[datetime],
) -> dict[str, Any]:
    """Compare the candles there are, by when they begin, with those that are expected.

    The period ends before now. Auctions are not expected, and no day after a contract has expired.
    """
    begins = np.array([int(each.timestamp()) // 60 for each in present], np.int64)
    try:
        wanted = expected(calendar, instrument, minutes, *period)
    except ConfigurationError as error:
        return {"expected": None, "present": len(present), "note": str(error)}
    found = int(np.isin(begins, wanted).sum())
    return {"expected": int(wanted.size), "present": found, "note": None}


def expected(
    calendar: Calendar, instrument: Row, minutes: int, start: datetime, end: datetime
) -> NDArray[np.int64]:
    """Return when the candles of a period are expected to begin, in minutes since 1970.

    Raises:
        ConfigurationError: the calendar does not know a day of it.
    """
    kind = instrument_class(
        instrument["exchange"],
        instrument["kind"],
        instrument["underlying"],
        instrument["has_derivatives"],
    )
    last = trading_date(end)
    if instrument["expiry"] is not None:
        last = min(last, instrument["expiry"])
    days = _days(trading_date(start), last)
    found = [_of_day(calendar, (instrument["exchange"], kind), minutes, day) for day in days]
    begins = np.concatenate([np.zeros(0, np.int64), *found])
    return begins[(begins * 60 >= start.timestamp()) & (begins * 60 < end.timestamp())]


def _of_day(
    calendar: Calendar, hours: tuple[str, InstrumentClass], minutes: int, day: date
) -> NDArray[np.int64]:
    trading = calendar.expected_minutes(*hours, day)
    opens_at = bounds(day)[0] if minutes == _DAY else calendar.session_opens(hours[0], day)
    if not trading.size or opens_at is None:
        return np.zeros(0, np.int64)
    opens = int(opens_at.astimezone(UTC).timestamp()) // 60
    return np.unique(opens + (trading - opens) // minutes * minutes)


def _days(first: date, last: date) -> list[date]:
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]
