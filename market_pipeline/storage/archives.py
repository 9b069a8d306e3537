"""What of the database is archived, read as it is at one instant; and the certificates of days."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

import polars as pl
import pyarrow as pa
from adbc_driver_postgresql import dbapi

from market_pipeline import sessions
from market_pipeline.errors import ArchiveBusy, ArchiveError, DayChanged
from market_pipeline.storage import candles
from market_pipeline.storage.database import (
    Connection,
    Database,
    connect_arrow,
    load_query,
    run,
    translated_errors,
)


class ArchivedFile(NamedTuple):
    """One file of a certificate."""

    path: str  # below the location of the archive
    kind: str
    exchange: str
    rows: int
    bytes: int
    sha256: str  # of its bytes
    content_sha256: str  # of the values in it


class Certificate(NamedTuple):
    """What a day's archive was found to be; see table `archives`."""

    day: date
    location: str
    ticks: int
    standby_ticks: int
    candles: int
    bytes: int
    sha256: str
    archived_at: datetime
    verified_at: datetime
    changed_at: datetime | None
    damage: str | None


class Snapshot:
    """The database as it was at one instant, for reading much of it."""

    def __init__(self, connection: dbapi.Connection) -> None:
        self._connection = connection

    def batches(
        self, name: str, instrument_ids: Sequence[int], starts_at: datetime, ends_at: datetime
    ) -> Iterator[pa.RecordBatch]:
        """Yield rows of a query that takes no parameters as they come: see set_archive_stretch."""
        span = {"starts_at": starts_at, "ends_at": ends_at}
        self.rows("set_archive_stretch", instrument_ids=list(instrument_ids), **span)
        with closing(self._connection.cursor()) as cursor:
            cursor.execute(load_query(name).text)
            yield from cursor.fetch_record_batch()

    def rows(self, name: str, /, **values: Any) -> pl.DataFrame:
        """Return the rows of a named query, of which there are few."""
        query = load_query(name)
        with closing(self._connection.cursor()) as cursor:
            cursor.execute(query.text, query.arguments(values) or None)
            frame = pl.from_arrow(cursor.fetch_arrow_table())
        assert isinstance(frame, pl.DataFrame)
        return frame

    def _run(self, name: str) -> None:
        with closing(self._connection.cursor()) as cursor:
            cursor.execute(load_query(name).text)


@contextmanager
def snapshot(database: Database) -> Iterator[Snapshot]:
    """Read in one transaction, so that what is written meanwhile is not seen.

    Raises:
        DatabaseError: see translated_errors.
    """
    with translated_errors(database.url), closing(connect_arrow(database.url)) as connection:
        reading = Snapshot(connection)
        reading._run("set_snapshot")
        reading._run("set_archive_memory")
        yield reading


@contextmanager
def holding(database: Database, day: date) -> Iterator[None]:
    """Be the only program that archives or verifies a day.

    Raises:
        ArchiveBusy: another one does.
    """
    with database.session() as connection:
        ((is_ours,),) = run(connection, "lock_archive_day", day=day).fetchall()
        if not is_ours:
            raise ArchiveBusy(f"{day} is being archived or verified by another program: try later")
        try:
            yield
        finally:
            if not connection.broken:
                run(connection, "unlock_archive_day", day=day)


def begin(database: Database, day: date) -> None:
    """Have writers note from here on when they write a tick of a day.

    Raises:
        ArchiveError: the day is not over, or its ticks were dropped.
        DatabaseUnavailable: call again.
    """
    _, ends_at = sessions.bounds(day)
    if datetime.now(UTC) < ends_at:
        raise ArchiveError(f"{day} is not over: it can be archived from midnight in India on")
    candles.refresh(database, at_least=ends_at)
    with database.transaction() as connection:
        run(connection, "lock_candles")  # from here on no tick is being written
        _refuse_dropped(connection, day)
        if run(connection, "begin_archive", day=day, ends=ends_at).rowcount == 0:
            raise ArchiveError(f"{day}: its candles are not complete yet")


def note(database: Database, location: str, day: date, paths: Sequence[str]) -> None:
    """Note files before they are begun, so that they are deleted if they get no certificate."""
    with database.transaction() as connection:
        for path in paths:
            run(connection, "add_archive_leftover", location=location, path=path, day=day)


def certify(
    database: Database,
    day: date,
    location: str,
    files: Sequence[ArchivedFile],
    kept: Sequence[ArchivedFile],
    sha256: str,
) -> None:
    """Write a day's certificate in place of its last one, whose files become leftovers.

    Except those that are `kept`, as `dropped_files` has told.

    Raises:
        DayChanged: ticks of the day were written since `begin`; nothing was certified.
        ArchiveError: the day's ticks were dropped.
    """
    rows = {
        kind: sum(each.rows for each in (*kept, *files) if each.kind == kind)
        for kind in ("ticks", "standby_ticks", "candles")
    }
    with database.transaction() as connection:
        run(connection, "lock_candles")  # who is writing a tick of the day has noted it by now
        _refuse_dropped(connection, day)
        if run(connection, "end_archive_work", day=day).rowcount == 0:
            raise DayChanged(f"{day} was written to while it was archived: archive it again")
        run(connection, "retire_archive_files", day=day)
        size = sum(each.bytes for each in (*kept, *files))
        values = rows | {"bytes": size, "sha256": sha256}
        run(connection, "put_archive", day=day, location=location, **values)
        for each in files:
            run(connection, "add_archive_file", day=day, **each._asdict())
            run(connection, "keep_archive_file", location=location, path=each.path)


def certificate(database: Database, day: date) -> Certificate | None:
    """Return a day's certificate, None if it has none."""
    rows = database.query("archive_certificate", day=day).rows()
    return Certificate(*rows[0]) if rows else None


def files(database: Database, day: date) -> list[ArchivedFile]:
    """Return the files of a day's certificate by path."""
    return [ArchivedFile(*row) for row in database.query("archive_files", day=day).rows()]


def dropped_files(database: Database, day: date) -> list[ArchivedFile]:
    """Return those whose rows the database has no more: the only copy, never to be replaced."""
    return [ArchivedFile(*row) for row in database.query("dropped_archive_files", day=day).rows()]


def leftovers(database: Database, location: str, day: date) -> list[str]:
    """Return the files of a day that were begun and are in no certificate."""
    values = {"location": location, "day": day}
    paths: list[str] = database.query("archive_leftovers", **values)["path"].to_list()
    return paths


def forget(database: Database, location: str, paths: Sequence[str]) -> None:
    """Forget leftovers that were deleted."""
    with database.transaction() as connection:
        for path in paths:
            run(connection, "keep_archive_file", location=location, path=path)


def archived_days(database: Database, location: str) -> dict[date, str | None]:
    """Return the days that are archived at a location and what is wrong with each.

    Those first that were not verified for the longest.
    """
    rows = database.query("archived_days", location=location)
    return dict(zip(rows["day"].to_list(), rows["damage"].to_list(), strict=True))


def set_damage(database: Database, day: date, damage: str | None) -> None:
    """Note what a verification found wrong with a day's archive; None: nothing."""
    database.execute("set_archive_damage", day=day, damage=damage)


def due(database: Database, location: str, before: date) -> list[date]:
    """Return days before one that are to be archived at a location, the oldest first."""
    values = {"location": location, "before": before}
    days: list[date] = database.query("days_to_archive", **values)["day"].to_list()
    return days


def _refuse_dropped(connection: Connection, day: date) -> None:
    if run(connection, "tick_day_is_dropped", day=day).fetchone() is not None:
        raise ArchiveError(f"the ticks of {day} were dropped: they cannot be archived any more")
