"""Brings a database up to this version: migrations, candles, policies, and the calendar."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path

from market_pipeline.config import Settings
from market_pipeline.market import Exchange
from market_pipeline.sessions import AlwaysOpen, Calendar
from market_pipeline.storage import candles, migrations, timescaledb
from market_pipeline.storage.database import Connection, Database, run
from market_pipeline.storage.timescaledb import Policies


def prepare(url: str, settings: Settings | None = None, folder: Path | None = None) -> list[str]:
    """Apply what is missing and return its names; safe to run at any time and by many at once.

    Without settings the calendar is that of an exchange that is always open, and what the server
    does by itself stays as it is.

    Raises:
        DatabaseError: see migrations.migrate and candles.install.
    """
    applied = [migration.name for migration in migrations.migrate(url, folder)]
    calendar = settings.calendar if settings else AlwaysOpen()
    with Database(url).transaction() as connection:
        run(connection, "lock_schema")
        applied += candles.install(connection)
        if settings is not None:
            _store_sessions(connection, calendar)
            if timescaledb.is_used(connection):
                timescaledb.set_policies(connection, Policies.of(settings))
    return applied


def _store_sessions(connection: Connection, calendar: Calendar) -> None:
    """Make table trading_sessions equal to the calendar."""
    rows = [] if isinstance(calendar, AlwaysOpen) else list(_sessions(calendar))
    exchanges, days, opens_at, closes_at = zip(*rows, strict=True) if rows else ([],) * 4
    values = {"exchanges": list(exchanges), "days": list(days)}
    run(connection, "delete_trading_sessions", **values)
    run(
        connection,
        "upsert_trading_sessions",
        **values,
        opens_at=list(opens_at),
        closes_at=list(closes_at),
    )


def _sessions(calendar: Calendar) -> Iterator[tuple[str, date, datetime, datetime]]:
    for exchange in Exchange:
        day = calendar.first_day
        while calendar.knows(exchange, day):
            if session := calendar.session(exchange, day):
                yield exchange.value, day, session.opens_at, session.closes_at
            day += timedelta(days=1)
