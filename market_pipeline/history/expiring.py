"""Contracts about to expire: their history can be had only as long as their tokens live."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta

from market_pipeline.history.backfill import Backfill
from market_pipeline.history.planning import Contract
from market_pipeline.market import UNDERLYING_BY_INDEX
from market_pipeline.sessions import trading_date
from market_pipeline.storage.database import Database

DAYS_AHEAD = 4
"""How early contracts are fetched for the first time: over a weekend with a holiday. The run after
their last session adds the rest."""

DAYS_BACK = 7
"""For how long a contract that expired incomplete is reported."""

_LIFE = timedelta(days=400)
"""Most contracts live three months; of older ones the first empty answer ends the asking."""


def contracts(database: Database, broker_name: str, first: date, last: date) -> list[Contract]:
    """Return the contracts of all subscribed underlyings that expire from one day to another."""
    rows = database.query(
        "expiring_contracts",
        broker=broker_name,
        first_expiry=first,
        last_expiry=last,
        indices=list(UNDERLYING_BY_INDEX),
        underlyings=list(UNDERLYING_BY_INDEX.values()),
    )
    return [Contract(**row) for row in rows.iter_rows(named=True)]


def about_to_expire(database: Database, broker_name: str, now: datetime) -> list[Contract]:
    """Return the contracts whose candles are to be fetched now."""
    today = trading_date(now)
    return contracts(database, broker_name, today, today + timedelta(days=DAYS_AHEAD))


def days(now: datetime) -> list[date]:
    """Return the days of which a contract that expires about now can have candles."""
    today = trading_date(now)
    return [today - timedelta(days=back) for back in range(_LIFE.days, -1, -1)]


def incomplete(work: Backfill, gone: Sequence[Contract], now: datetime) -> list[str]:
    """Return the contracts of which a session is missing, also those without a token by now."""
    asked = [replace(each, token=each.token or 0) for each in gone]
    plan = work.plan(asked, days(now), now, closed_only=True)
    return sorted({request.contract.name for request in plan.requests})
