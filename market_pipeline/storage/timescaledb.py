"""What is different where the server has TimescaleDB: continuous aggregates and their policies.

A hypertable of ticks takes the place of partitions (sql/migrations/0007). Everything else, the
readers included, sees the same names and columns.
"""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, Self

from market_pipeline.config import Settings
from market_pipeline.errors import DatabaseError
from market_pipeline.storage import dialect
from market_pipeline.storage.database import Connection, Database, run

_REMEDY = "run `market-pipeline db init`"


class Policies(NamedTuple):
    """How long ticks are kept and when they are compressed, in days."""

    keep_days: int
    compress_after_days: int

    @classmethod
    def of(cls, settings: Settings) -> Self:
        return cls(settings.tick_retention_days, settings.compress_after_days)


def version(connection: Connection) -> str | None:
    """Return the version of TimescaleDB in this database, None if it does not use it."""
    row = run(connection, "timescaledb_version").fetchone()
    return row[0] if row else None


def is_used(connection: Connection) -> bool:
    return version(connection) is not None


def install(connection: Connection) -> None:
    """Create the continuous aggregates that are not there yet.

    Raises:
        DatabaseError: a definition has changed. The aggregate cannot be altered, and to make it
            anew would lose all candles whose ticks are gone.
    """
    for definition in dialect.definitions():
        statement = definition.aggregate()
        name = f"{definition.name}_aggregate"
        digest = hashlib.sha256(statement.encode()).hexdigest()
        stored = run(connection, "candle_definition", name=name).fetchone()
        if stored is None:
            connection.execute(statement.encode())
            run(connection, "set_candle_definition", name=name, sha256=digest)
        elif stored[0] != digest:
            raise DatabaseError(
                f"the definition of {definition.name} in sql/candles was edited, but continuous "
                "aggregates cannot be altered: restore it, or add a migration that makes a new "
                "one beside the old and keeps its candles"
            )


def set_policies(connection: Connection, wanted: Policies) -> None:
    """Let the server refresh candles and compress ticks by itself; change what is otherwise."""
    run(connection, "set_timescaledb_policies", **wanted._asdict())


def problems(database: Database, wanted: Policies) -> list[str]:
    """Say what is wrong with the server's policies; nothing where TimescaleDB is not used.

    How the last runs of its jobs went is not looked at: some report failure after having done their
    work. Whether candles are fresh is what counts, and has a check of its own.
    """
    if database.query("timescaledb_version").is_empty():
        return []
    rows = database.query("timescaledb_policies").to_dicts()
    refreshed = {row["name"]: row for row in rows if row["is_refresh"]}
    compressed = [row for row in rows if not row["is_refresh"] and row["name"] == "ticks"]
    names = [f"{definition.name}_aggregate" for definition in dialect.definitions()]
    found = [f"{name} has no refresh policy: {_REMEDY}" for name in names if name not in refreshed]
    reach = refreshed.get(names[0], {}).get("looks_back_days")
    if names[0] in refreshed and (reach is None or reach > wanted.keep_days):
        back = "without limit" if reach is None else f"{reach:g} days"
        found.append(
            f"the refresh of {names[0]} looks back {back}, but ticks are kept {wanted.keep_days} "
            f"days: it would empty the candles before; {_REMEDY}"
        )
    found += _dangers(database, reach)
    if not any(row["compress_after_days"] == wanted.compress_after_days for row in compressed):
        found.append(f"ticks are not compressed after {wanted.compress_after_days} d: {_REMEDY}")
    return found


def _dangers(database: Database, reach: float | None) -> list[str]:
    """Say what the server does by itself that would lose ticks or candles for ever."""
    found = [
        f"the server drops {name} by itself, archived or not: remove_retention_policy('{name}')"
        for name in database.query("blind_retention_policies")["name"]
    ]
    dropped_before = database.query("ticks_dropped_before").item()
    if reach is not None and dropped_before is not None:
        days = (datetime.now(UTC) - dropped_before) / timedelta(days=1)
        if reach > days:
            found.append(
                f"the refresh of candles looks back {reach:g} days, but ticks of {days:.1f} days "
                f"ago were dropped: it would empty their candles; {_REMEDY}"
            )
    return found


def refresh(connection: Connection) -> int:
    """Bring the aggregates up to the threshold, the shorter candles first."""
    with connection.transaction():
        run(connection, "create_candles_changed")
        run(connection, "take_candle_invalidations")
    dropped_before, ends_at = run(connection, "aggregate_window").fetchone() or (None, None)
    if ends_at is None or (dropped_before is not None and ends_at <= dropped_before):
        return 0
    for definition in dialect.definitions():
        # What longer candles are made of is never dropped.
        starts_at = dropped_before if definition.source == "ticks" else None
        name = f"{definition.name}_aggregate"
        run(connection, "refresh_aggregate", name=name, starts_at=starts_at, ends_at=ends_at)
    row = run(connection, "count_candles_since_watermark").fetchone()
    run(connection, "finish_candle_refresh")
    return int(row[0]) if row else 0
