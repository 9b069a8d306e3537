"""Keeps the stored candles of a plain PostgreSQL in step with the ticks.

Candles before the watermark are read from tables, later ones are computed from ticks when read.
A refresh moves the watermark in two steps, because ticks are written meanwhile: first the
threshold, under a lock that waits for the writers under way, so that every later writer records
the candles it changes behind it; then, in one transaction, the candles up to the threshold and
those recorded as changed are stored and the watermark follows.
"""

import hashlib
from datetime import UTC, datetime

from market_pipeline.storage import dialect
from market_pipeline.storage.database import Connection, Database, run

_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


def install(connection: Connection) -> list[str]:
    """Create the candle views whose definition has changed; return their names."""
    changed = []
    for definition in dialect.definitions():
        statement = definition.view()
        digest = hashlib.sha256(statement.encode()).hexdigest()
        stored = run(connection, "candle_definition", name=definition.name).fetchone()
        if stored is None or stored[0] != digest:
            connection.execute(statement)
            run(connection, "set_candle_definition", name=definition.name, sha256=digest)
            changed.append(definition.name)
    return changed


def refresh(database: Database, at_least: datetime = _NEVER) -> int:
    """Store the candles that are complete or have changed; return how many rows were written.

    Goes up to the minute of the newest tick, and to `at_least` even when there is none so new.

    Raises:
        DatabaseUnavailable: nothing was changed; call again.
    """
    written = 0
    with database.session() as connection:
        run(connection, "lock_candle_refresh")  # until the connection closes
        with connection.transaction():
            run(connection, "lock_candles")
            run(connection, "advance_candle_threshold", at_least=at_least)
        with connection.transaction():
            run(connection, "create_candles_changed")
            run(connection, "take_candle_invalidations")
            for definition in dialect.definitions():
                for statement in definition.upserts():
                    written += connection.execute(statement).rowcount
            run(connection, "finish_candle_refresh")
    return written
