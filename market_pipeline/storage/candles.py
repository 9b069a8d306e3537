"""Keeps stored candles in step with the ticks, on plain PostgreSQL and on TimescaleDB.

Candles before the watermark are read from what is stored, later ones are computed from ticks when
read. A refresh moves the watermark in two steps, because ticks are written meanwhile: first the
threshold, under a lock that waits for the writers under way, so that every later writer records
the candles it changes behind it; then the candles up to the threshold and those recorded as changed
are stored and the watermark follows. On TimescaleDB the storing is the refresh of the continuous
aggregates, which keep account of changes themselves.
"""

import hashlib
from datetime import UTC, datetime

from market_pipeline.storage import dialect, timescaledb
from market_pipeline.storage.database import Connection, Database, run
from market_pipeline.storage.sql_files import sql_folder

_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


def install(connection: Connection) -> list[str]:
    """Create the candle views and functions whose definition has changed; return their names.

    Raises:
        DatabaseError: a continuous aggregate would have to be made anew.
    """
    if timescaledb.is_used(connection):
        timescaledb.install(connection)
    statements = _statements(connection)
    return [name for name, statement in statements.items() if _install(connection, name, statement)]


def outdated(connection: Connection) -> list[str]:
    """Return the names of what `install` would create or change."""
    statements = _statements(connection)
    if timescaledb.is_used(connection):
        statements |= {f"{each.name}_aggregate": each.aggregate() for each in dialect.definitions()}
    return [
        name
        for name, statement in statements.items()
        if not _is_stored(connection, name, statement)
    ]


def _statements(connection: Connection) -> dict[str, str]:
    folders = [sql_folder() / "functions"]
    if timescaledb.is_used(connection):
        statements = {f"{each.name}_kept": each.kept_view() for each in dialect.definitions()}
        statements |= {each.name: each.view("kept") for each in dialect.definitions()}
        folders.append(sql_folder() / "timescaledb" / "functions")
    else:
        statements = {each.name: each.view() for each in dialect.definitions()}
    files = [file for folder in folders for file in sorted(folder.glob("*.sql"))]
    return statements | {file.stem: file.read_text("utf-8") for file in files}


def _is_stored(connection: Connection, name: str, statement: str) -> bool:
    stored = run(connection, "candle_definition", name=name).fetchone()
    return stored is not None and stored[0] == _digest(statement)


def _install(connection: Connection, name: str, statement: str) -> bool:
    if _is_stored(connection, name, statement):
        return False
    connection.execute(statement.encode())
    run(connection, "set_candle_definition", name=name, sha256=_digest(statement))
    return True


def _digest(statement: str) -> str:
    return hashlib.sha256(statement.encode()).hexdigest()


def refresh(database: Database, at_least: datetime = _NEVER) -> int:
    """Store the candles that are complete or have changed; return how many rows were written.

    Goes up to the minute of the newest tick, and to `at_least` even when there is none so new.
    On TimescaleDB only the one-minute candles that are new are counted.

    Raises:
        DatabaseUnavailable: nothing is half done; call again.
    """
    with database.session() as connection:
        run(connection, "lock_candle_refresh")  # until the connection closes
        with connection.transaction():
            run(connection, "lock_candles")
            run(connection, "advance_candle_threshold", at_least=at_least)
        if timescaledb.is_used(connection):
            return timescaledb.refresh(connection)
        with connection.transaction():
            written = 0
            run(connection, "create_candles_changed")
            run(connection, "take_candle_invalidations")
            for definition in dialect.definitions():
                for statement in definition.upserts:
                    written += connection.execute(statement).rowcount
            run(connection, "finish_candle_refresh")
    return written
