"""When the exchanges trade. Told the time, never asks for it; the only place that knows IST.

Session times: NSE and BSE cash 09:15-15:30, from 2026-08-03 a closing auction to 15:35; equity
derivatives 09:15-15:30, from 2026-08-03 to 15:40 (SEBI circular of 16 January 2026); currency
09:00-17:00; commodities 09:00-23:55 (23:30 while the United States keep summer time: the later
close is used, because streaming too long costs nothing and stopping early costs ticks).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from market_pipeline.errors import ConfigurationError

EXCHANGE_TZ = ZoneInfo("Asia/Kolkata")
_IST_OFFSET_SECONDS = 19_800  # India has had no clock change since 1945
_SECONDS_PER_DAY = 86_400

_AUGUST_2026 = date(2026, 8, 3)
_DAWN = date(1994, 11, 3)  # the first trading day of the NSE

# exchange -> (valid from, open, close), the newest last
_HOURS: dict[str, tuple[tuple[date, time, time], ...]] = {
    "NSE": ((_DAWN, time(9, 15), time(15, 30)), (_AUGUST_2026, time(9, 15), time(15, 35))),
    "NFO": ((_DAWN, time(9, 15), time(15, 30)), (_AUGUST_2026, time(9, 15), time(15, 40))),
    "CDS": ((_DAWN, time(9, 0), time(17, 0)),),
    "MCX": ((_DAWN, time(9, 0), time(23, 55)),),
}
_HOURS |= {"BSE": _HOURS["NSE"], "BFO": _HOURS["NFO"], "BCD": _HOURS["CDS"], "NCO": _HOURS["MCX"]}

# Weekday holidays of NSE and BSE, as the exchanges announce them each December.
_HOLIDAYS = {
    2025: "02-26 03-14 03-31 04-10 04-14 04-18 05-01 08-15 08-27 10-02 10-21 10-22 11-05 12-25",
    2026: "01-15 01-26 03-03 03-26 03-31 04-03 04-14 05-01 05-28 06-26 09-14 10-02 10-20 11-10 "
    "11-24 12-25",
}
# Sessions on days that are otherwise closed: Budget days, and Muhurat trading in the evening.
_SPECIAL: dict[date, tuple[time, time]] = {
    date(2025, 2, 1): (time(9, 15), time(15, 30)),
    date(2025, 10, 21): (time(13, 45), time(14, 45)),
    date(2026, 2, 1): (time(9, 15), time(15, 30)),
    date(2026, 11, 8): (time(18, 0), time(19, 0)),
}


@dataclass(frozen=True)
class Session:
    """One trading day of an exchange, as UTC instants."""

    day: date
    opens_at: datetime
    closes_at: datetime


def trading_dates(epoch_seconds: NDArray[Any]) -> NDArray[np.int64]:
    """Return the trading date of each instant as days since 1970-01-01.

    Every Indian session begins and ends within one calendar day of Asia/Kolkata.
    """
    return (epoch_seconds.astype(np.int64) + _IST_OFFSET_SECONDS) // _SECONDS_PER_DAY


def distinct_trading_dates(epoch_seconds: NDArray[Any]) -> list[int]:
    """Return the trading dates among instants, rising, as days since 1970-01-01."""
    if not epoch_seconds.size:
        return []
    ends = trading_dates(np.array([epoch_seconds.min(), epoch_seconds.max()]))
    if ends[0] == ends[1]:  # as nearly always
        return [int(ends[0])]
    days: list[int] = np.unique(trading_dates(epoch_seconds)).tolist()
    return days


def trading_date(instant: datetime) -> date:
    """Return the calendar day in Asia/Kolkata of a timezone-aware instant."""
    return instant.astimezone(EXCHANGE_TZ).date()


def to_ist(naive_or_aware: datetime) -> datetime:
    """Read a datetime without zone as Asia/Kolkata; convert one with a zone."""
    if naive_or_aware.tzinfo is None:
        return naive_or_aware.replace(tzinfo=EXCHANGE_TZ)
    return naive_or_aware.astimezone(EXCHANGE_TZ)


class Calendar:
    """The trading days of the Indian exchanges."""

    first_day = date(2025, 1, 1)

    def is_trading_day(self, day: date) -> bool:
        """Tell whether the equity exchanges trade that day.

        Raises:
            ConfigurationError: the year's holidays are not in the table.
        """
        if day in _SPECIAL:
            return True
        if day.weekday() >= 5:
            return False
        if day.year > max(_HOLIDAYS):
            raise ConfigurationError(
                f"the trading holidays of {day.year} are not known: add them to sessions.py"
            )
        return f"{day:%m-%d}" not in _HOLIDAYS.get(day.year, "").split()

    def session(self, exchange: str, day: date) -> Session | None:
        """Return the session of an exchange on a day, None where it does not trade."""
        if not self.is_trading_day(day):
            return None
        opens, closes = _SPECIAL.get(day) or next(
            (opens, closes)
            for valid_from, opens, closes in reversed(_HOURS[exchange])
            if valid_from <= day
        )
        return Session(day, _utc(day, opens), _utc(day, closes))

    def is_open(self, exchange: str, instant: datetime, margin: timedelta = timedelta(0)) -> bool:
        """Tell whether a session is on, give or take `margin` at both ends."""
        session = self.session(exchange, trading_date(instant))
        return bool(session and session.opens_at - margin <= instant <= session.closes_at + margin)

    def days(self, first: date, last: date) -> Iterator[date]:
        """Yield the trading days from `first` to `last`, both included."""
        day = first
        while day <= last:
            if self.is_trading_day(day):
                yield day
            day += timedelta(days=1)


class AlwaysOpen(Calendar):
    """The simulated exchange: one session each calendar day of Asia/Kolkata, from midnight on."""

    def is_trading_day(self, day: date) -> bool:
        return True

    def session(self, exchange: str, day: date) -> Session:
        opens = _utc(day, time(0, 0))
        return Session(day, opens, opens + timedelta(days=1))


def _utc(day: date, at: time) -> datetime:
    return datetime.combine(day, at, EXCHANGE_TZ).astimezone(UTC)
