"""When the exchanges trade. Told the time, never asks for it; the only place that knows IST.

What is known of hours and holidays, and from where, is in calendar.yaml.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from market_pipeline.calendar_file import packaged, read
from market_pipeline.calendar_table import MARKET_BY_EXCHANGE, Table
from market_pipeline.calendar_table import InstrumentClass as InstrumentClass
from market_pipeline.calendar_table import PeriodKind as PeriodKind
from market_pipeline.calendar_table import instrument_class as instrument_class
from market_pipeline.errors import ConfigurationError

EXCHANGE_TZ = ZoneInfo("Asia/Kolkata")
_IST_OFFSET_SECONDS = 19_800  # India has had no clock change since 1945
_SECONDS_PER_DAY = 86_400

_TRADING = (PeriodKind.CONTINUOUS, PeriodKind.CLOSING_AUCTION, PeriodKind.UNCONFIRMED)
"""The periods that a session consists of. The opening auction and the trade at the closing price
are not of it: their prices belong to no candle."""


@dataclass(frozen=True)
class Session:
    """One trading day of an exchange, as UTC instants: from the first trade to the last."""

    day: date
    opens_at: datetime
    closes_at: datetime


class Period(NamedTuple):
    """A part of a session, as UTC instants; the end is not in it."""

    kind: PeriodKind
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


def bounds(first: date, last: date | None = None) -> tuple[datetime, datetime]:
    """Return the first instant of a trading date, and the first one after it or a later date."""
    start, end = (datetime.combine(day, time(0), EXCHANGE_TZ) for day in (first, last or first))
    return start, end + timedelta(days=1)


def to_ist(naive_or_aware: datetime) -> datetime:
    """Read a datetime without zone as Asia/Kolkata; convert one with a zone."""
    if naive_or_aware.tzinfo is None:
        return naive_or_aware.replace(tzinfo=EXCHANGE_TZ)
    return naive_or_aware.astimezone(EXCHANGE_TZ)


class Calendar:
    """The trading days of the Indian exchanges.

    Raises ConfigurationError for a day of a later year than it knows. Before `first_day` every
    weekday counts as a trading day, so that history can be replayed from any year.
    """

    first_day = date(2024, 1, 1)

    def __init__(self, file: Path | None = None) -> None:
        """Take the calendar that comes with the program, and what a file adds to it.

        Raises:
            ConfigurationError: names the file, the entry and what is wrong with it.
        """
        self._own_table = read(file) if file else None

    @property
    def _table(self) -> Table:
        return self._own_table or packaged()  # which the simulated exchange never reads

    def is_trading_day(self, day: date, exchange: str | None = None) -> bool:
        """Tell whether an exchange trades that day, if only in the evening; by default, any.

        Where only the holidays of some exchanges are known, those decide.

        Raises:
            ConfigurationError: the year's holidays are not in the table.
        """
        exchanges = [exchange] if exchange else list(MARKET_BY_EXCHANGE)
        known = [name for name in exchanges if self.knows(name, day)]
        return any(self.session(name, day) for name in known or exchanges)

    def classes(self, exchange: str) -> tuple[InstrumentClass, ...]:
        """Return the kinds of instruments that trade on an exchange."""
        return self._table.classes(exchange)

    def periods(
        self, exchange: str, instrument_class: InstrumentClass, day: date
    ) -> tuple[Period, ...]:
        """Return what happens on a day, in order: nothing where there is no trading."""
        if day >= self.first_day:
            self._require(exchange, day)
        return _periods(self._table, exchange, instrument_class, day)

    def session(self, exchange: str, day: date) -> Session | None:
        """Return the session of an exchange on a day, None where it does not trade.

        It lasts as long as any of the exchange's instruments trades, breaks included.
        """
        trading = self._trading_periods(exchange, day)
        if not trading:
            return None
        opens, closes = min(p.opens_at for p in trading), max(p.closes_at for p in trading)
        return Session(day, opens, closes)

    def session_opens(self, exchange: str, day: date) -> datetime | None:
        """Return what candles of any length are aligned to: the first trading after the pre-open.

        None where there is no trading.
        """
        session = self.session(exchange, day)
        return session.opens_at if session else None

    def expected_minutes(
        self, exchange: str, instrument_class: InstrumentClass, day: date
    ) -> NDArray[np.int64]:
        """Return the minutes since 1970 in which a liquid instrument has a candle.

        Those of continuous trading. A closing auction makes one price, at a moment that exchanges
        leave to chance and brokers stamp as they like (from 15:28 to 15:35): see
        `possible_minutes`.

        Raises:
            ConfigurationError: the year's holidays are not in the table, earlier years included.
        """
        self._require(exchange, day)
        return self._minutes(exchange, instrument_class, day, (PeriodKind.CONTINUOUS,))

    def possible_minutes(
        self, exchange: str, instrument_class: InstrumentClass, day: date
    ) -> NDArray[np.int64]:
        """Return the minutes since 1970 in which there may be a candle; in others it is wrong."""
        return self._minutes(exchange, instrument_class, day, _TRADING)

    def is_open(self, exchange: str, instant: datetime, margin: timedelta = timedelta(0)) -> bool:
        """Tell whether any instrument of an exchange trades, give or take `margin`."""
        return any(
            period.opens_at - margin <= instant <= period.closes_at + margin
            for period in self._trading_periods(exchange, trading_date(instant))
        )

    def days(self, first: date, last: date, exchange: str | None = None) -> Iterator[date]:
        """Yield the trading days from `first` to `last`, both included."""
        day = first
        while day <= last:
            if self.is_trading_day(day, exchange):
                yield day
            day += timedelta(days=1)

    def knows(self, exchange: str, day: date) -> bool:
        """Tell whether the table says if an exchange trades that day."""
        return self._table.knows(exchange, day)

    def _require(self, exchange: str, day: date) -> None:
        if not self.knows(exchange, day):
            raise ConfigurationError(
                f"the trading holidays of {day.year} are not known for {exchange}: write them into "
                "a file that CALENDAR_FILE names, in the form of market_pipeline/calendar.yaml"
            )

    def _trading_periods(self, exchange: str, day: date) -> tuple[Period, ...]:
        if day >= self.first_day:
            self._require(exchange, day)
        return _trading_periods(self._table, exchange, day)

    def _minutes(
        self,
        exchange: str,
        instrument_class: InstrumentClass,
        day: date,
        kinds: tuple[PeriodKind, ...],
    ) -> NDArray[np.int64]:
        edges = [
            (int(period.opens_at.timestamp()) // 60, int(period.closes_at.timestamp()) // 60)
            for period in self.periods(exchange, instrument_class, day)
            if period.kind in kinds
        ]
        return np.concatenate([np.zeros(0, np.int64), *(np.arange(*each) for each in edges)])


class AlwaysOpen(Calendar):
    """The simulated exchange: one session each calendar day of Asia/Kolkata, from midnight on."""

    def knows(self, exchange: str, day: date) -> bool:
        return True

    def classes(self, exchange: str) -> tuple[InstrumentClass, ...]:
        return tuple(InstrumentClass)

    def is_trading_day(self, day: date, exchange: str | None = None) -> bool:
        return True

    def periods(
        self, exchange: str, instrument_class: InstrumentClass, day: date
    ) -> tuple[Period, ...]:
        session = self.session(exchange, day)
        return (Period(PeriodKind.CONTINUOUS, session.opens_at, session.closes_at),)

    def session(self, exchange: str, day: date) -> Session:
        opens = _utc(day, time(0, 0))
        return Session(day, opens, opens + timedelta(days=1))

    def session_opens(self, exchange: str, day: date) -> datetime:
        return _utc(day, time(0, 0))

    def is_open(self, exchange: str, instant: datetime, margin: timedelta = timedelta(0)) -> bool:
        return True


# Asked anew every second, of the same few days.
@functools.lru_cache(maxsize=4096)
def _periods(
    table: Table, exchange: str, instrument_class: InstrumentClass, day: date
) -> tuple[Period, ...]:
    return tuple(
        Period(kind, _utc(day, opens), _utc(day, closes))
        for kind, opens, closes in table.hours(exchange, instrument_class, day)
    )


@functools.lru_cache(maxsize=4096)
def _trading_periods(table: Table, exchange: str, day: date) -> tuple[Period, ...]:
    every = (_periods(table, exchange, each, day) for each in table.classes(exchange))
    return tuple(period for periods in every for period in periods if period.kind in _TRADING)


def _utc(day: date, at: time) -> datetime:
    return datetime.combine(day, at, EXCHANGE_TZ).astimezone(UTC)
