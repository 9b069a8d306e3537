"""Brings a database up to this version: migrations, candles, policies, calendar, roles."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path

from market_pipeline.config import Settings
from market_pipeline.errors import OwnerNeeded
from market_pipeline.market import Exchange
from market_pipeline.sessions import AlwaysOpen, Calendar
from market_pipeline.storage import candles, migrations, roles, timescaledb
from market_pipeline.storage.database import Connection, Database, run
from market_pipeline.storage.timescaledb import Policies


def prepare(
    url: str, settings: Settings | None = None, folder: Path | None = None, is_plain: bool = False
) -> list[str]:
    """Apply what is missing and return its names; safe to run at any time and by many at once.

    Without settings the calendar is that of an exchange that is always open, and what the server
    does by itself stays as it is. A plain schema has no tables of TimescaleDB's, see migrate.
    Whoever does not own the tables can check that nothing is missing, and copy the calendar.

    Raises:
        OwnerNeeded: something is missing, and the tables are another user's.
        DatabaseError: see migrations.migrate and candles.install.
    """
    applied = [migration.name for migration in migrations.migrate(url, folder, is_plain)]
    calendar = settings.calendar if settings else AlwaysOpen()
    with Database(url).transaction() as connection:
        run(connection, "lock_schema")
        owner = roles.owner_instead(connection)
        if owner is None:
            applied += candles.install(connection)
        elif outdated := candles.outdated(connection):
            raise OwnerNeeded(
                f"The database has other definitions of {', '.join(outdated)} than this version: "
                f"run `market-pipeline db init` as {owner}, who owns its tables"
            )
        if settings is not None:
            _store_sessions(connection, calendar)
        if owner is None:
            _set_up(connection, settings)
    return applied


def _set_up(connection: Connection, settings: Settings | None) -> None:
    """Do what only the owner may: logins, what the server does by itself, and everyone's rights."""
    if settings is not None:
        _store_limits(connection, settings)
        roles.set_logins(connection, roles.passwords(settings))
        if timescaledb.is_used(connection):
            timescaledb.set_policies(connection, Policies.of(settings))
    roles.grant_access(connection)


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


def _store_limits(connection: Connection, settings: Settings) -> None:
    """Let the database know what is promised of it."""
    gigabytes = settings.database_max_gigabytes
    run(
        connection,
        "set_operating_limits",
        tick_retention_days=settings.tick_retention_days,
        compress_after_days=settings.compress_after_days,
        database_max_bytes=None if gigabytes is None else int(gigabytes * 1e9),
    )


def _sessions(calendar: Calendar) -> Iterator[tuple[str, date, datetime, datetime]]:
    for exchange in Exchange:
        day = calendar.first_day
        while calendar.knows(exchange, day):
            if session := calendar.session(exchange, day):
                yield exchange.value, day, session.opens_at, session.closes_at
            day += timedelta(days=1)
