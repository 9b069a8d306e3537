"""Days come back from the archive bit by bit as they were, and change no candle."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from market_pipeline.archive import additions
from market_pipeline.archive.day import write_day
from market_pipeline.archive.dropping import drop_day, drop_expired
from market_pipeline.archive.restoring import restore_day
from market_pipeline.archive.store import FolderStore
from market_pipeline.errors import ArchiveDamaged, ArchiveError
from market_pipeline.storage import archives, candles, retention
from market_pipeline.storage.database import Database
from market_pipeline_tests import retention_cases as cases
from market_pipeline_tests.archive_cases import DAY
from market_pipeline_tests.builders import Tick, eventually, fetch

IS_THERE = "SELECT dropped_at IS NULL FROM tick_days WHERE day = %s"


@pytest.fixture
def folder(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "archive")


def test_a_day_comes_back_equal_with_what_stood_by(database: Database, folder: FolderStore) -> None:
    before = cases.dropped(database, folder)
    assert len(before[0]) == 120
    told: list[tuple[int, int]] = []
    restore_day(database, folder, DAY, 7, loaded=lambda rows, of: told.append((rows, of)))
    assert (fetch(database, cases.TICKS), fetch(database, cases.STANDBY)) == before
    assert told[-1] == (160, 160)


def test_candles_stay_as_they_are_when_a_day_comes_back(
    database: Database, folder: FolderStore
) -> None:
    cases.dropped(database, folder)
    before = [fetch(database, query) for query in cases.CANDLES]
    restore_day(database, folder, DAY, 7)
    with psycopg.connect(database.url) as connection:  # which a refresh would take over
        connection.execute("DELETE FROM ticks WHERE seq %% 2 = 0", [])
    candles.refresh(database, at_least=datetime.now(UTC))
    assert [fetch(database, query) for query in cases.CANDLES] == before


def test_a_restored_day_stays_for_the_days_that_were_asked_for(
    database: Database, folder: FolderStore
) -> None:
    cases.dropped(database, folder)
    restore_day(database, folder, DAY, keep_days=3)
    later = DAY + timedelta(days=30)
    assert retention.expired(database, later) == []
    with psycopg.connect(database.url) as connection:
        connection.execute("UPDATE archives SET keep_until = keep_until - interval '3 days'")
    assert drop_expired(database, folder, later).dropped == [DAY]
    assert fetch(database, cases.TICKS) == []


def test_a_restored_day_is_dropped_by_name_and_comes_back_again(
    database: Database, folder: FolderStore
) -> None:
    before = cases.dropped(database, folder)
    for _ in range(2):
        restore_day(database, folder, DAY, 7)
        assert (fetch(database, cases.TICKS), fetch(database, cases.STANDBY)) == before
        drop_day(database, folder, DAY)
        assert fetch(database, cases.TICKS) == []


def test_a_restored_day_is_archived_whole_when_a_late_tick_comes(
    database: Database, folder: FolderStore
) -> None:
    cases.dropped(database, folder)
    first = {file.path for file in archives.files(database, DAY)}
    restore_day(database, folder, DAY, 7)
    cases.send_late(database, Tick(at=cases.at(5)))
    assert write_day(database, folder, DAY).ticks == 121
    assert not first & {file.path for file in archives.files(database, DAY)}
    drop_day(database, folder, DAY)
    restore_day(database, folder, DAY, 7)
    assert len(fetch(database, cases.TICKS)) == 121


def test_what_was_added_to_an_archive_comes_back_with_the_rest(
    database: Database, folder: FolderStore
) -> None:
    cases.dropped(database, folder)
    ((instrument,),) = fetch(database, "SELECT min(instrument_id) FROM instruments")
    late = [Tick(at=cases.at(second), instrument=instrument) for second in (3, 9, 4000)]
    cases.send_late(database, *late)
    write_day(database, folder, DAY)
    drop_day(database, folder, DAY)
    restore_day(database, folder, DAY, 7)
    assert len(fetch(database, cases.TICKS)) == 123


def test_a_file_that_is_in_no_certificate_hinders_neither_the_drop_nor_the_return_of_a_day(
    database: Database, folder: FolderStore
) -> None:
    cases.archived(database, folder)
    foreign = cases.leave_a_file(folder)
    before = fetch(database, cases.TICKS)
    drop_day(database, folder, DAY)
    restore_day(database, folder, DAY, 7)
    assert fetch(database, cases.TICKS) == before
    assert Path(folder.location, foreign).exists()


def test_files_are_compared_together_an_instrument_at_a_time(
    database: Database, folder: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases.dropped(database, folder)
    instruments = [row[0] for row in fetch(database, "SELECT instrument_id FROM instruments")]
    cases.send_late(database, *[Tick(at=cases.at(3), instrument=each) for each in instruments])
    write_day(database, folder, DAY)
    drop_day(database, folder, DAY)
    sorted_at_once = []

    def in_order(rows: Sequence[pa.RecordBatch]) -> list[pa.RecordBatch]:
        sorted_at_once.append(sum(batch.num_rows for batch in rows))
        return ordered(rows)

    ordered = additions.in_order
    monkeypatch.setattr(additions, "in_order", in_order)
    restore_day(database, folder, DAY, 7)
    assert sorted_at_once == [41] * len(instruments)


def test_a_day_that_is_there_is_not_restored(database: Database, folder: FolderStore) -> None:
    cases.archived(database, folder)
    with pytest.raises(ArchiveError, match="2026-11-20 is not restored: only a day all ticks of"):
        restore_day(database, folder, DAY, 7)
    assert len(fetch(database, cases.TICKS)) == 120


def test_a_day_of_which_late_ticks_are_stored_is_not_restored(
    database: Database, folder: FolderStore
) -> None:
    cases.dropped(database, folder)
    cases.send_late(database, Tick(at=cases.at(5)))
    with pytest.raises(ArchiveError, match="not restored"):
        restore_day(database, folder, DAY, 7)
    assert len(fetch(database, cases.TICKS)) == 1


@pytest.mark.needs_real_server("another connection within a transaction")
def test_a_late_tick_that_comes_meanwhile_is_kept_and_nothing_is_restored(
    database: Database, folder: FolderStore
) -> None:
    cases.dropped(database, folder)
    with ThreadPoolExecutor(1) as pool:
        sent = []

        def come(stage: str) -> None:
            if stage == "loaded":
                sent.append(pool.submit(cases.send_late, database, Tick(at=cases.at(5))))
                # The tick itself waits on TimescaleDB for the chunk that is being restored.
                eventually(
                    lambda: fetch(database, IS_THERE, DAY) == [(True,)], "the tick did not come"
                )

        with pytest.raises(ArchiveError, match="have come while it was restored"):
            restore_day(database, folder, DAY, 7, reached=come)
        sent[0].result(60)
    assert len(fetch(database, cases.TICKS)) == 1
    assert write_day(database, folder, DAY).ticks == 121


def test_a_damaged_archive_is_not_restored_and_the_file_is_named(
    database: Database, folder: FolderStore
) -> None:
    cases.dropped(database, folder)
    path = cases.flip_a_byte(folder, "standby_ticks")
    with pytest.raises(ArchiveDamaged, match=path):
        restore_day(database, folder, DAY, 7)
    assert fetch(database, cases.TICKS) == []


def test_what_the_database_took_otherwise_is_not_restored(
    database: Database, folder: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases.dropped(database, folder)
    load = retention.Restoration.load

    def spoil(self: retention.Restoration, kind: str, rows: pa.RecordBatchReader) -> None:
        table = rows.read_all()
        place = table.schema.get_field_index("volume")
        spoilt = table.set_column(place, "volume", pc.add(table["volume"], 1))
        load(self, kind, spoilt.to_reader())

    monkeypatch.setattr(retention.Restoration, "load", spoil)
    with pytest.raises(ArchiveDamaged, match="the database has other standby_ticks of NSE than"):
        restore_day(database, folder, DAY, 7)
    assert fetch(database, cases.TICKS) == []
