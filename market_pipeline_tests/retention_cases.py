"""Days that are archived, dropped and restored, and what is left of them."""

from contextlib import closing
from datetime import timedelta
from pathlib import Path

from market_pipeline.archive.day import write_day
from market_pipeline.archive.dropping import drop_day
from market_pipeline.archive.store import FolderStore
from market_pipeline.sessions import bounds
from market_pipeline.storage.database import Database
from market_pipeline.storage.ticks import Batch, TickStore
from market_pipeline_tests.archive_cases import DAY, Row, add_instruments, store, ticks
from market_pipeline_tests.builders import OPEN, Tick, fetch, tick_columns

TICKS = "SELECT * FROM ticks ORDER BY instrument_id, time, seq"
CANDLES = (
    "SELECT * FROM candles_1m ORDER BY instrument_id, time",
    "SELECT * FROM candles_5m ORDER BY instrument_id, time",
    "SELECT * FROM candles_15m ORDER BY instrument_id, time",
    "SELECT * FROM candles_1d ORDER BY instrument_id, time",
)
STANDBY = "SELECT * FROM standby_ticks ORDER BY instrument_id, time, seq"


def archived(database: Database, folder: FolderStore, each: int = 40) -> list[Row]:
    """Store and archive ticks of a day on two exchanges, some on stand-by; return the others."""
    ids = add_instruments(database, "NSE", 2) + add_instruments(database, "NFO", 1)
    rows = ticks(ids, each)
    store(database, rows)
    store(database, ticks(ids[:1], each, seed=2), "standby_ticks")
    write_day(database, folder, DAY)
    return rows


def dropped(database: Database, folder: FolderStore, each: int = 40) -> tuple[list[Row], list[Row]]:
    """Archive and drop a day; return what its ticks and those on stand-by were."""
    archived(database, folder, each)
    before = fetch(database, TICKS), fetch(database, STANDBY)
    drop_day(database, folder, DAY)
    return before


class Late:
    """A stream that commits ticks of the day that is archived."""

    def __init__(self, database: Database) -> None:
        self._writer = TickStore(database.url, "test-0", "run")
        self._start = self._writer.open().position

    def send(self, *late: Tick, standby: bool = False) -> None:
        columns, start = tick_columns(list(late), 10**6), self._start
        batch = Batch(start, start + 1, 10**6 + start, columns)
        if standby:
            batch = Batch(start, start + 1, start, tick_columns([], 0), columns)
        self._writer.commit(batch)
        self._start += 1

    def close(self) -> None:
        self._writer.close()


def send_late(database: Database, *late: Tick, standby: bool = False) -> None:
    """Commit ticks as a stream does; they are of the day that is archived."""
    with closing(Late(database)) as stream:
        stream.send(*late, standby=standby)


def flip_a_byte(folder: FolderStore, kind: str = "ticks") -> str:
    """Change one byte in the middle of a file; return its path in the archive."""
    file = sorted(Path(folder.location, kind).rglob("*.parquet"))[0]
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    return str(file.relative_to(folder.location))


def leave_a_file(folder: FolderStore) -> str:
    """Have a copy of a file of ticks in the archive that is in no certificate; return its path."""
    file = sorted(Path(folder.location, "ticks").rglob("*.parquet"))[0]
    foreign = file.with_name("part-0.parquet")
    foreign.write_bytes(file.read_bytes())
    return str(foreign.relative_to(folder.location))


def at(seconds: float) -> int:
    """Return when a second after 10:00 of the day is, as `Tick.at` counts."""
    return int((bounds(DAY)[0] + timedelta(hours=10, seconds=seconds)).timestamp()) - OPEN
