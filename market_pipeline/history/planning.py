"""What to ask the broker for: the fewest requests that cover the days that are missing. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from market_pipeline.market import Kind
from market_pipeline.sessions import Session, bounds

SETTLED = timedelta(minutes=15)
"""How long after the close of a session its candles are taken for final."""


@dataclass(frozen=True)
class Contract:
    """An instrument as far as its history goes; `token` is None where the broker has none."""

    instrument_id: int
    name: str
    exchange: str
    segment: str
    kind: str
    token: int | None
    expiry: date | None = None
    listed_on: date | None = None

    @property
    def is_derivative(self) -> bool:
        return self.kind in (Kind.FUT, Kind.CE, Kind.PE)


class Request(NamedTuple):
    """A request for the candles of an instrument that begin from one instant to before another."""

    contract: Contract
    starts_at: datetime
    ends_at: datetime


class Plan(NamedTuple):
    """Requests, the newest days first, and how many days of instruments need none and why."""

    requests: list[Request]
    wanted: int
    covered: int
    not_listed: int
    expired: int
    no_token: list[str]

    @property
    def missing(self) -> int:
        """How many days of instruments the requests are for."""
        return self.wanted - self.covered - self.not_listed - self.expired


def plan(
    contracts: Sequence[Contract],
    sessions: Mapping[str, Sequence[Session]],
    covering: pl.DataFrame,
    most_days: int,
    settled: timedelta = SETTLED,
) -> Plan:
    """Return the fewest requests of at most `most_days` calendar days for what is missing.

    `sessions` are those wanted of each exchange, rising, none that has not opened. `covering` are
    requests that were answered, as history.covering returns them: a session need not be asked for
    again if one contains it and was made `settled` after its close. Before an instrument was
    listed, and after it expired, there is nothing to ask for.
    """
    answered = {key[0]: rows for key, rows in covering.group_by("instrument_id")}
    calendars = {exchange: _Days.of(days) for exchange, days in sessions.items()}
    requests: list[Request] = []
    covered = not_listed = expired = wanted = 0
    for contract in contracts:
        if contract.token is None:
            continue
        days = calendars[contract.exchange]
        wanted += len(days.day)
        early, late = days.before(contract.listed_on), days.after(contract.expiry)
        rows = answered.get(contract.instrument_id)
        known = days.inside(rows, settled) & ~early & ~late
        not_listed, expired = not_listed + int(early.sum()), expired + int(late.sum())
        covered += int(known.sum())
        requests += _cover(contract, days.day[~(early | late | known)], most_days)
    requests.sort(key=lambda each: (each.ends_at, -each.contract.instrument_id), reverse=True)
    no_token = [each.name for each in contracts if each.token is None]
    return Plan(requests, wanted, covered, not_listed, expired, no_token)


class _Days(NamedTuple):
    """Sessions as arrays: days and microseconds since 1970."""

    day: NDArray[np.int64]
    opens: NDArray[np.int64]
    closes: NDArray[np.int64]

    @classmethod
    def of(cls, sessions: Sequence[Session]) -> "_Days":
        return cls(
            np.array([each.day.toordinal() for each in sessions], np.int64),
            np.array([_microseconds(each.opens_at) for each in sessions], np.int64),
            np.array([_microseconds(each.closes_at) for each in sessions], np.int64),
        )

    def before(self, day: date | None) -> NDArray[np.bool_]:
        return self.day < (day.toordinal() if day else 0)

    def after(self, day: date | None) -> NDArray[np.bool_]:
        return self.day > (day or date.max).toordinal()

    def inside(self, answered: pl.DataFrame | None, after: timedelta) -> NDArray[np.bool_]:
        """Tell which sessions an answered request contains."""
        known = np.zeros(len(self.day), np.bool_)
        if answered is None:
            return known
        settled = self.closes + after // timedelta(microseconds=1)
        columns = ("starts_at", "ends_at", "asked_at")
        stamps = (answered[name].dt.epoch("us").to_list() for name in columns)
        for starts, ends, asked in zip(*stamps, strict=True):
            known |= (starts <= self.opens) & (ends >= self.closes) & (asked >= settled)
        return known


def _cover(contract: Contract, days: NDArray[np.int64], most_days: int) -> Iterator[Request]:
    """Yield the fewest spans that contain all days: each ends at the last day not yet in one."""
    end = len(days)
    while end:
        last = int(days[end - 1])
        begin = int(np.searchsorted(days, last - most_days + 1))
        span = bounds(date.fromordinal(int(days[begin])), date.fromordinal(last))
        yield Request(contract, *span)
        end = begin


def _microseconds(instant: datetime) -> int:
    return int(instant.timestamp()) * 1_000_000
