"""Days of ticks that go, and come back: what the archive does not have is never dropped."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import date, datetime
from pathlib import Path

import pyarrow as pa
from adbc_driver_postgresql import dbapi

from market_pipeline.errors import ArchiveError, DatabaseError
from market_pipeline.sessions import bounds
from market_pipeline.storage import candles
from market_pipeline.storage.archives import Snapshot
from market_pipeline.storage.database import (
    Connection,
    Database,
    connect_arrow,
    run,
    translated_errors,
)

_REFRESHES = 5


def expired(database: Database, before: date) -> list[date]:
    """Return the days before a date that have ticks and were not restored, the oldest first."""
    days: list[date] = database.query("expired_tick_days", before=before)["day"].to_list()
    return days


def why_kept(database: Database, day: date) -> str | None:
    """Say why the ticks of a day may not be dropped; None: they may, as far as is known."""
    reason: str | None = database.query("why_tick_day_stays", day=day).item()
    return reason


def has_ticks(database: Database, day: date) -> bool:
    """Tell whether any tick of a day is stored, on stand-by or not."""
    starts_at, ends_at = bounds(day)
    found: bool = database.query("has_ticks", starts_at=starts_at, ends_at=ends_at).item()
    return found


def uncompressed(database: Database, after_days: int) -> list[str]:
    """Name the chunks that TimescaleDB should have compressed; none on plain PostgreSQL."""
    if database.query("timescaledb_version").is_empty():
        return []
    names: list[str] = database.query("uncompressed_chunks", after_days=after_days)[
        "name"
    ].to_list()
    return names


def data_folder(database: Database) -> Path | None:
    """Return where a server on this machine has its data; None where that cannot be told."""
    rows = database.query("data_directory")
    folder = None if rows.is_empty() else Path(rows.item())
    return folder if folder is not None and folder.exists() else None


def drop(database: Database, day: date) -> None:
    """Drop the ticks of a day. No candle is lost: all of them are in the stored ones before.

    Raises:
        DatabaseUnavailable: somebody reads ticks for long; try again, nothing is half done.
        DatabaseError: late ticks of the day keep arriving, it has no certificate, or TimescaleDB
            would make candles of it anew and cannot be kept from that.
    """
    ends_at = bounds(day)[1]
    with database.transaction() as connection:
        run(connection, "set_lock_timeout")
        run(connection, "shorten_candle_refresh", dropped_before=ends_at)
    for _ in range(_REFRESHES):
        candles.refresh(database, at_least=ends_at)
        if drop_if_stored(database, day):
            return
    raise DatabaseError(f"ticks of {day} are kept: late ones arrive faster than they are stored")


def drop_if_stored(database: Database, day: date) -> bool:
    """Drop a day unless a tick came since the refresh that no stored candle knows."""
    with database.session() as connection:
        # A refresh under way knows only of what was dropped before it began, and would empty more.
        run(connection, "lock_candle_refresh")  # until the connection closes
        with connection.transaction():
            # Dropping a partition locks all of ticks: rather fail than make the writers wait.
            run(connection, "set_lock_timeout")
            run(connection, "lock_candles")  # from here on no tick is being written
            if not _forget(connection, day):
                return False
            run(connection, "drop_archived_day", day=day)
    return True


def _forget(connection: Connection, day: date) -> bool:
    return run(connection, "forget_ticks_before", before=bounds(day)[1]).rowcount > 0


class Restoration(Snapshot):
    """A day of ticks that comes back, in one transaction; nobody sees it before it is attached."""

    def __init__(self, connection: dbapi.Connection, day: date, tables: dict[str, str]) -> None:
        super().__init__(connection)
        self._writing, self._day, self._tables = connection, day, tables

    def load(self, kind: str, rows: pa.RecordBatchReader) -> None:
        """Write rows of a kind, `ticks` or `standby_ticks`."""
        with closing(self._writing.cursor()) as cursor:
            cursor.adbc_ingest(self._tables[kind], rows, mode="append")

    def index(self) -> None:
        """Make ready what was loaded for being read."""
        self.rows("index_restored_day", day=self._day)

    def attach(self, keep_until: datetime) -> None:
        """Commit, and let nobody drop the day before a time unless by name.

        Raises:
            ArchiveError: late ticks of the day have come meanwhile.
        """
        values = {"day": self._day, "kept_until": keep_until}
        if not self.rows("attach_restored_day", **values).item():
            raise ArchiveError(
                f"ticks of {self._day} have come while it was restored: let the archive have them "
                f"with `archive write {self._day}` and `archive drop {self._day}`, then restore it"
            )
        self._writing.commit()


@contextmanager
def restoring(database: Database, day: date) -> Iterator[Restoration]:
    """Begin to bring the ticks of a day back; what is not attached by the end never was.

    Raises:
        ArchiveError: the day is there, or some of it.
        DatabaseError: see translated_errors.
    """
    with translated_errors(database.url), closing(connect_arrow(database.url)) as connection:
        reading = Snapshot(connection)
        if not reading.rows("begin_restored_day", day=day).item():
            raise ArchiveError(
                f"{day} is not restored: only a day all ticks of which are archived and none is "
                "stored can be; `archive list` tells"
            )
        kinds = reading.rows("restored_tables").row(0, named=True)
        yield Restoration(connection, day, kinds)
