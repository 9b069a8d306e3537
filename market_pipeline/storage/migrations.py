"""Forward-only, numbered migrations: sql/migrations/NNNN_name.sql, each applied once and whole.

One named NNNN_name.timescaledb.sql is for servers that have the extension TimescaleDB. Elsewhere it
is passed over, and applied later should the server get it.
"""

import contextlib
import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus

from market_pipeline.errors import (
    DatabaseError,
    DatabaseTooOld,
    DatabaseUnavailable,
    MigrationEdited,
    OwnerNeeded,
)
from market_pipeline.storage.sql_files import Migration, load, scripts, sql_folder

OLDEST_SERVER = 15
OLDEST_TIMESCALEDB = (2, 18)
_CONNECT_TIMEOUT_SECONDS = 10
_LOCK = 0x6D61726B6574  # Any number that nothing else locks: "market".


class MigrationStatus(NamedTuple):
    number: int
    name: str
    applied_at: datetime | None
    is_needed: bool = True
    """Not where the server lacks what it is about."""


class _Applied(NamedTuple):
    number: int
    name: str
    sha256: str
    applied_at: datetime


def migrate(url: str, folder: Path | None = None, is_plain: bool = False) -> list[Migration]:
    """Apply what is missing and return it; each migration wholly or not at all.

    A plain schema is one without TimescaleDB's tables, whatever the server has. Of several
    processes that migrate at once, one does the work and the others wait for it.

    Raises:
        DatabaseUnavailable: the server cannot be reached.
        DatabaseTooOld: it is older than PostgreSQL 15.
        MigrationEdited: a file is not what was applied.
        OwnerNeeded: something is missing, and the tables are another user's.
        DatabaseError: a migration fails, or the database is newer than this program.
    """
    migrations = load(folder or sql_folder() / "migrations")
    with _connected(url) as connection:
        if owner := _owner_instead(connection):
            _require_nothing_missing(connection, migrations, owner)
            return []
        connection.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
        connection.execute(
            "CREATE TABLE IF NOT EXISTS schema_migrations ("
            " number int PRIMARY KEY, name text NOT NULL, sha256 text NOT NULL,"
            " applied_at timestamptz NOT NULL DEFAULT now())"
        )
        applied = _applied(connection)
        _compare(migrations, applied)
        missing = _missing(connection, migrations, applied, is_plain)
        for migration in missing:
            _apply(connection, migration)
    return missing


def status(url: str, folder: Path | None = None) -> list[MigrationStatus]:
    """Tell when each migration was applied, or that it was not. Changes nothing.

    Raises:
        DatabaseError: as `migrate`.
    """
    migrations = load(folder or sql_folder() / "migrations")
    with _connected(url) as connection:
        applied = _applied(connection)
        _compare(migrations, applied)
        missing = {each.number for each in _missing(connection, migrations, applied)}
    times = {each.number: each.applied_at for each in applied}
    return [
        MigrationStatus(
            each.number,
            each.name,
            times.get(each.number),
            each.number in times or each.number in missing,
        )
        for each in migrations
    ]


@contextlib.contextmanager
def _connected(url: str) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """Connect, check the server's version and translate what goes wrong."""
    address = _address(url)
    try:
        with psycopg.connect(
            url, autocommit=True, connect_timeout=_CONNECT_TIMEOUT_SECONDS
        ) as connection:
            version = connection.info.server_version
            if version // 10000 < OLDEST_SERVER:
                raise DatabaseTooOld(
                    f"The server at {address} is PostgreSQL {version // 10000}.{version % 10000}: "
                    f"{OLDEST_SERVER} or newer is needed"
                )
            yield connection
    except psycopg.OperationalError as error:
        raise DatabaseUnavailable(f"The database at {address} cannot be used: {error}") from error
    except psycopg.Error as error:
        raise DatabaseError(f"The database at {address} refused: {error}") from error


def _address(url: str) -> str:
    """Return host and port of a URL, never its password."""
    try:
        parts = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        # Its message quotes the URL.
        raise DatabaseUnavailable(
            "DATABASE_URL is malformed: it must look like postgresql://user:password@host:5432/name"
        ) from None
    host = parts.get("host") or parts.get("hostaddr") or "localhost"
    return f"{host}:{parts.get('port') or 5432}"


def _applied(connection: psycopg.Connection[tuple[Any, ...]]) -> list[_Applied]:
    present = connection.execute("SELECT to_regclass('schema_migrations') IS NOT NULL").fetchone()
    if present != (True,):
        return []
    rows = connection.execute(
        "SELECT number, name, sha256, applied_at FROM schema_migrations ORDER BY number"
    )
    return [_Applied(*row) for row in rows]


def _owner_instead(connection: psycopg.Connection[tuple[Any, ...]]) -> str | None:
    """Return whose the tables are if this user may not do what their owner may."""
    row = connection.execute(
        "SELECT pg_get_userbyid(relowner) FROM pg_class"
        " WHERE oid = to_regclass('schema_migrations') AND NOT pg_has_role(relowner, 'USAGE')"
    ).fetchone()
    return row[0] if row else None


def _require_nothing_missing(
    connection: psycopg.Connection[tuple[Any, ...]], migrations: Sequence[Migration], owner: str
) -> None:
    applied = _applied(connection)
    _compare(migrations, applied)
    if missing := _missing(connection, migrations, applied):
        raise OwnerNeeded(
            f"The database lacks {', '.join(each.file for each in missing)}: run "
            f"`market-pipeline db init` as {owner}, who owns its tables"
        )


def _missing(
    connection: psycopg.Connection[tuple[Any, ...]],
    migrations: Sequence[Migration],
    applied: Sequence[_Applied],
    is_plain: bool = False,
) -> list[Migration]:
    done = {each.number for each in applied}
    missing = [each for each in migrations if each.number not in done]
    is_needed = any(each.needs_timescaledb for each in missing) and not is_plain
    if not (is_needed and _has_timescaledb(connection)):
        return [each for each in missing if not each.needs_timescaledb]
    return missing


def _has_timescaledb(connection: psycopg.Connection[tuple[Any, ...]]) -> bool:
    """Tell whether TimescaleDB is in use here, or could be: new enough and loaded at start-up."""
    row = connection.execute(
        "SELECT default_version, installed_version IS NOT NULL"
        " OR current_setting('shared_preload_libraries') LIKE '%timescaledb%'"
        " FROM pg_available_extensions WHERE name = 'timescaledb'"
    ).fetchone()
    if row is None or not row[1]:
        return False
    version = tuple(int(part) for part in re.findall(r"\d+", row[0])[:2])
    if version < OLDEST_TIMESCALEDB:
        wanted = ".".join(map(str, OLDEST_TIMESCALEDB))
        raise DatabaseTooOld(
            f"The server has TimescaleDB {row[0]}: {wanted} or newer is needed, or none at all"
        )
    return True


def _compare(migrations: Sequence[Migration], applied: Sequence[_Applied]) -> None:
    if applied and applied[-1].number > len(migrations):
        newest = applied[-1]
        raise DatabaseError(
            f"The database has migration {newest.number:04}_{newest.name}, which this version of "
            "market-pipeline does not know: upgrade market-pipeline"
        )
    for done in applied:
        known = migrations[done.number - 1]
        if known.sha256 != done.sha256:
            raise MigrationEdited(
                f"{known.file} has checksum {known.sha256[:12]}, but {done.number:04}_{done.name} "
                f"was applied with {done.sha256[:12]}: restore the file and add a new migration"
            )


def _apply(connection: psycopg.Connection[tuple[Any, ...]], migration: Migration) -> None:
    try:
        with connection.transaction():
            # Recorded first: the script may change search_path.
            connection.execute(
                "INSERT INTO schema_migrations (number, name, sha256) VALUES (%s, %s, %s)",
                [migration.number, migration.name, migration.sha256],
            )
            for script in scripts(migration):
                connection.execute(script.encode())
            if connection.info.transaction_status != TransactionStatus.INTRANS:
                raise DatabaseError(
                    f"{migration.file} ends the transaction that it is applied in: remove COMMIT "
                    "and ROLLBACK from it, and repair the database"
                )
        connection.execute("RESET ALL")  # The next one starts like the first.
    except psycopg.Error as error:
        if connection.broken:
            raise
        raise DatabaseError(
            f"{migration.file} failed{_line(error, migration)} and was undone: {error}"
        ) from error


def _line(error: psycopg.Error, migration: Migration) -> str:
    position = error.diag.statement_position
    if position is None:
        return ""
    return f" in line {migration.sql.count(chr(10), 0, int(position) - 1) + 1}"
