"""Days are archived as they are in the database, and a certificate is of files that are so."""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest

from market_pipeline.archive.day import write_day
from market_pipeline.archive.store import FolderStore, Store, open_store
from market_pipeline.archive.verifying import verify
from market_pipeline.errors import ArchiveBusy, ArchiveError
from market_pipeline.sessions import bounds
from market_pipeline.storage import archives
from market_pipeline.storage.database import Database, run
from market_pipeline_tests.archive_cases import (
    DAY,
    add_instruments,
    archived,
    copy_rows,
    execute,
    paths,
    store,
    ticks,
)
from market_pipeline_tests.archive_s3 import s3_server as s3_server
from market_pipeline_tests.archive_s3 import s3_url as s3_url


@pytest.fixture
def folder(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "archive")


@pytest.fixture
def remote(s3_url: str, tmp_path: Path) -> Store:
    return open_store(s3_url, tmp_path)


def in_order(rows: list[Any]) -> list[Any]:
    return sorted(rows, key=lambda row: (row[1], row[0], row[2]))


def test_a_day_is_read_with_polars_as_it_is_in_the_database(
    database: Database, folder: FolderStore
) -> None:
    rows = ticks(add_instruments(database, "NSE", 3) + add_instruments(database, "NFO", 2), 200)
    store(database, rows)
    store(database, rows[:50], "standby_ticks")
    found = write_day(database, folder, DAY)
    assert archived(folder, "ticks").rows() == in_order(rows)
    assert archived(folder, "standby_ticks").rows() == in_order(rows[:50])
    assert (found.ticks, found.standby_ticks, found.damage) == (1000, 50, None)
    assert verify(database, folder, DAY) is None


def test_candles_are_kept_as_they_were_made_and_as_readers_get_them(
    database: Database, folder: FolderStore
) -> None:
    (instrument,) = add_instruments(database, "NSE", 1)
    store(database, [each for each in ticks([instrument], 300) if each[-2]])
    minute = bounds(DAY)[0] + timedelta(hours=10, minutes=1)
    execute(
        database,
        "INSERT INTO candle_repairs (instrument_id, time, broker, open, high, low, close, volume,"
        " fields, reason, repaired_by) VALUES ($1, $2, 'kite', 1, 1, 1, 1, 7, '{close}', '', '')",
        *(instrument, minute),
    )
    write_day(database, folder, DAY)
    made, repaired = archived(folder, "candles"), archived(folder, "repaired_candles")
    assert made.height == repaired.height == 3
    assert repaired.row(1)[:7] == (minute, instrument, 1, 1, 1, 1, 7)
    assert made.row(1)[2] != 1
    assert repaired["state"].to_list() == ["provisional", "repaired", "provisional"]


def test_a_file_explains_itself(database: Database, folder: FolderStore) -> None:
    instruments = add_instruments(database, "NSE", 2)
    store(database, ticks(instruments, 3))
    write_day(database, folder, DAY)
    (path,) = paths(folder, "ticks")
    about = pl.read_parquet_metadata(path)["market_pipeline"]
    assert '"exchange": "NSE"' in about and '"date": "2026-11-20"' in about
    assert f'"{instruments[1]}": "S1"' in about
    known = archived(folder, "instruments")
    assert known.select("instrument_id", "symbol", "kind").rows() == [
        (instruments[0], "S0", "EQ"),
        (instruments[1], "S1", "EQ"),
    ]


def test_one_instrument_is_in_few_groups_of_rows(
    database: Database, folder: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("market_pipeline.archive.parquet.ROWS_OF_GROUP", 100)
    store(database, ticks(add_instruments(database, "NSE", 5), 100))
    write_day(database, folder, DAY)
    (path,) = paths(folder, "ticks")
    file = pq.ParquetFile(path)
    groups = [file.metadata.row_group(index).column(1) for index in range(file.num_row_groups)]
    assert len(groups) >= 5
    assert all(each.statistics.max - each.statistics.min <= 1 for each in groups)


def test_a_day_without_ticks_is_archived_as_such(database: Database, folder: FolderStore) -> None:
    store(database, [])
    found = write_day(database, folder, DAY)
    assert (found.ticks, found.bytes) == (0, 0)
    assert verify(database, folder, DAY) is None


def test_any_value_that_the_table_can_hold_comes_back(
    database: Database, folder: FolderStore
) -> None:
    start, ends = bounds(DAY)
    (instrument,) = add_instruments(database, "BSE", 1)
    most, least = 2**63 - 1, -(2**63)
    rows = [
        (start, instrument, least, 1e308, most, 5e-324, *[least] * 5, -1e308, 0, 1e308, most)
        + (1e308, -1e308, start, ends, True, 32767),
        (ends - timedelta(microseconds=1), instrument, most, 0.0, *[None] * 11)
        + (-0.0, 0.0, None, start, False, None),
        (start, instrument, 0, float("inf"), *[None] * 11)
        + (float("inf"), float("-inf"), None, start, False, None),
        (start, instrument, 0, float("inf"), *[None] * 11)
        + (float("inf"), 1.0, None, start, False, None),
        (start, 10**15, 0, 1.5, *[None] * 11, 1.5, 1.5, None, start, False, None),
    ]
    store(database, rows)
    found = write_day(database, folder, DAY)
    assert found.ticks == 5
    assert exactly(archived(folder, "ticks").rows()) == exactly(rows)
    assert any("exchange=UNKNOWN" in str(path) for path in paths(folder, "ticks"))


def exactly(rows: list[Any]) -> list[str]:
    """Say in words what is in rows, in which 0.0 is not -0.0."""
    return sorted(
        repr([each.timestamp() if isinstance(each, datetime) else each for each in row])
        for row in rows
    )


def test_a_day_that_is_archived_as_it_is_stays(database: Database, folder: FolderStore) -> None:
    store(database, ticks(add_instruments(database, "NSE", 1), 10))
    first = write_day(database, folder, DAY)
    before = paths(folder)
    assert write_day(database, folder, DAY) == first
    assert paths(folder) == before


def test_another_location_is_another_archive(
    database: Database, folder: FolderStore, tmp_path: Path
) -> None:
    store(database, ticks(add_instruments(database, "NSE", 1), 10))
    write_day(database, folder, DAY)
    other = FolderStore(tmp_path / "other")
    with pytest.raises(ArchiveError, match="archived at"):
        verify(database, other, DAY)
    assert write_day(database, other, DAY).location == other.location
    assert archived(other, "ticks").height == 10


def test_a_day_whose_ticks_were_dropped_is_not_archived_as_empty(
    database: Database, folder: FolderStore
) -> None:
    store(database, [])
    execute(database, "SELECT drop_tick_day($1)", DAY)
    with pytest.raises(ArchiveError, match="were dropped"):
        write_day(database, folder, DAY)
    assert archives.certificate(database, DAY) is None


@pytest.mark.needs_real_server
def test_two_programs_do_not_archive_the_same_day(database: Database, folder: FolderStore) -> None:
    with archives.holding(database, DAY), pytest.raises(ArchiveBusy, match="another program"):
        write_day(database, folder, DAY)


def stage_of_change(
    database: Database, stage: str, rows: list[Any], times: int
) -> Callable[[str], None]:
    """Store late ticks, as a stream does, at a stage of archiving."""
    left = [times]

    def reached(name: str) -> None:
        if name == stage and left[0]:
            left[0] -= 1
            with database.transaction() as connection:
                run(connection, "lock_candles_shared")
                run(connection, "reopen_archives", days=[DAY])
                copy_rows(connection, rows, "ticks")

    return reached


_WHILE_READING = pytest.param("staged ticks", marks=pytest.mark.needs_real_server)


@pytest.mark.parametrize("stage", ["begun", _WHILE_READING, "read back", "published ticks"])
def test_a_tick_that_comes_while_a_day_is_archived_is_in_the_archive(
    database: Database, folder: FolderStore, stage: str
) -> None:
    instruments = add_instruments(database, "NSE", 2)
    store(database, ticks(instruments[:1], 10))
    late = ticks(instruments[1:], 1)
    write_day(database, folder, DAY, stage_of_change(database, stage, late, 1))
    assert archived(folder, "ticks").height == 11
    assert len(paths(folder, "ticks")) == 1
    certificate = archives.certificate(database, DAY)
    assert certificate and (certificate.ticks, certificate.changed_at) == (11, None)


def test_a_day_that_keeps_changing_is_left_without_a_certificate(
    database: Database, folder: FolderStore
) -> None:
    late = ticks(add_instruments(database, "NSE", 1), 1)
    store(database, late)
    with pytest.raises(ArchiveError, match="archive it again"):
        write_day(database, folder, DAY, stage_of_change(database, "read back", late, 9))
    assert archives.certificate(database, DAY) is None
    assert paths(folder) == []


def test_an_archive_in_an_object_store_is_like_one_in_a_folder(
    database: Database, folder: FolderStore, remote: Store
) -> None:
    store(database, ticks(add_instruments(database, "NSE", 2), 100))
    here, there = write_day(database, folder, DAY), write_day(database, remote, DAY)
    assert (there.sha256, there.ticks) == (here.sha256, 200)
    assert verify(database, remote, DAY) is None
    assert list(remote.scratch.iterdir()) == []
