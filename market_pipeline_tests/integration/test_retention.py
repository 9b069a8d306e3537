"""Ticks are dropped only when the archive has them, and the reason is told when they stay."""

from contextlib import closing
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from market_pipeline.archive.day import write_day
from market_pipeline.archive.dropping import drop_day, drop_expired
from market_pipeline.archive.store import FolderStore
from market_pipeline.archive.verifying import verify
from market_pipeline.errors import ArchiveDamaged, ArchiveError
from market_pipeline.sessions import bounds
from market_pipeline.storage import archives, candles, retention
from market_pipeline.storage.database import Database, run
from market_pipeline_tests import retention_cases as cases
from market_pipeline_tests.archive_cases import DAY, add_instruments, store, ticks
from market_pipeline_tests.builders import Tick, fetch


@pytest.fixture
def folder(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "archive")


def run_sql(database: Database, statement: str) -> None:
    with psycopg.connect(database.url) as connection:
        connection.execute(statement.encode())


def test_an_archived_day_goes_with_what_stood_by_and_its_candles_stay(
    database: Database, folder: FolderStore
) -> None:
    cases.archived(database, folder)
    before = [fetch(database, query) for query in cases.CANDLES]
    drop_day(database, folder, DAY)
    assert fetch(database, cases.TICKS) == fetch(database, cases.STANDBY) == []
    assert before[0]
    assert [fetch(database, query) for query in cases.CANDLES] == before
    assert retention.expired(database, DAY + timedelta(days=1)) == []


def test_a_day_that_is_not_archived_stays(database: Database, folder: FolderStore) -> None:
    store(database, ticks(add_instruments(database, "NSE", 1), 10))
    with pytest.raises(ArchiveError, match="ticks of 2026-11-20 stay: they are not archived"):
        drop_day(database, folder, DAY)
    assert len(fetch(database, cases.TICKS)) == 10


def test_a_day_without_any_tick_needs_no_archive(database: Database, folder: FolderStore) -> None:
    database.execute("ensure_tick_day", day=DAY)
    drop_day(database, folder, DAY)
    assert retention.expired(database, DAY + timedelta(days=1)) == []


def test_a_day_without_any_tick_goes_though_its_archive_was_not_read_for_long(
    database: Database, folder: FolderStore
) -> None:
    cases.archived(database, folder)
    run_sql(database, "DELETE FROM ticks; DELETE FROM standby_ticks")
    run_sql(database, "UPDATE archives SET verified_at = now() - interval '1 day'")
    assert drop_expired(database, folder, DAY + timedelta(days=1)) == ([DAY], {}, False)


@pytest.mark.parametrize("standby", [False, True])
def test_a_late_tick_of_a_writer_that_knew_the_day_is_archived_and_dropped_again(
    database: Database, folder: FolderStore, standby: bool
) -> None:
    cases.archived(database, folder)
    before = DAY + timedelta(days=1)
    with closing(cases.Late(database)) as late:
        late.send(Tick(at=cases.at(5)))
        assert drop_expired(database, folder, before).dropped == [DAY]
        late.send(Tick(at=cases.at(6)), standby=standby)
    assert retention.expired(database, before) == [DAY]
    assert drop_expired(database, folder, before).dropped == [DAY]
    assert fetch(database, cases.TICKS) == fetch(database, cases.STANDBY) == []
    found = archives.certificate(database, DAY)
    assert found is not None and found.ticks + found.standby_ticks == 162


@pytest.mark.needs_real_server("a drop within a transaction")
def test_a_rebuild_makes_no_day_again_that_was_dropped(
    database: Database, folder: FolderStore
) -> None:
    cases.archived(database, folder)
    with database.session() as connection:
        connection.execute("CREATE TEMPORARY TABLE rebuild_standby AS SELECT * FROM standby_ticks")
        connection.execute("CREATE TEMPORARY TABLE rebuild_fresh (LIKE ticks)")
        drop_day(database, folder, DAY)
        run(connection, "ensure_rebuild_days")
    assert retention.expired(database, DAY + timedelta(days=1)) == []


@pytest.mark.parametrize("standby", [False, True])
def test_a_day_stays_when_a_tick_came_after_it_was_archived(
    database: Database, folder: FolderStore, standby: bool
) -> None:
    cases.archived(database, folder)
    cases.send_late(database, Tick(at=cases.at(5)), standby=standby)
    with pytest.raises(ArchiveError, match="came after they were archived"):
        drop_day(database, folder, DAY)
    write_day(database, folder, DAY)
    drop_day(database, folder, DAY)
    assert fetch(database, cases.TICKS) == fetch(database, cases.STANDBY) == []


def test_a_day_stays_whose_number_of_ticks_is_not_that_of_its_archive(
    database: Database, folder: FolderStore
) -> None:
    cases.archived(database, folder)
    run_sql(database, "INSERT INTO ticks SELECT * FROM ticks LIMIT 1")
    with pytest.raises(
        ArchiveError, match="121 and 40 on stand-by are stored, but 120 and 40 arch"
    ):
        drop_day(database, folder, DAY)


def test_the_database_itself_refuses_what_was_not_verified_just_now(
    database: Database, folder: FolderStore
) -> None:
    cases.archived(database, folder)
    run_sql(database, "UPDATE archives SET verified_at = now() - interval '2 hours'")
    with (
        pytest.raises(psycopg.errors.RaiseException, match="ticks of 2026-11-20 stay: .*verify it"),
        psycopg.connect(database.url) as connection,
    ):
        connection.execute("SELECT drop_archived_day('2026-11-20')")
    assert len(fetch(database, cases.TICKS)) == 120


def test_a_flipped_byte_keeps_the_day_and_the_file_is_named(
    database: Database, folder: FolderStore
) -> None:
    cases.archived(database, folder)
    path = cases.flip_a_byte(folder)
    with pytest.raises(ArchiveDamaged, match=f"ticks of 2026-11-20 stay.*{path}"):
        drop_day(database, folder, DAY)
    assert path in (retention.why_kept(database, DAY) or "")
    assert len(fetch(database, cases.TICKS)) == 120


def test_a_day_that_must_stay_holds_up_no_other(database: Database, folder: FolderStore) -> None:
    cases.archived(database, folder)
    path = cases.flip_a_byte(folder)
    later = DAY + timedelta(days=1)
    ids = [row[0] for row in fetch(database, "SELECT instrument_id FROM instruments")]
    store(database, ticks(ids, 10, later), day=later)
    found = drop_expired(database, folder, later + timedelta(days=1))
    assert found.dropped == [later]
    assert path in found.kept[DAY]
    assert len(fetch(database, cases.TICKS)) == 120
    assert len(fetch(database, cases.STANDBY)) == 40


def test_a_damaged_archive_is_written_anew_as_long_as_the_ticks_are_there(
    database: Database, folder: FolderStore
) -> None:
    cases.archived(database, folder)
    cases.flip_a_byte(folder)
    before = DAY + timedelta(days=1)
    assert list(drop_expired(database, folder, before).kept) == [DAY]
    assert drop_expired(database, folder, before).dropped == [DAY]
    assert verify(database, folder, DAY) is None


def test_ticks_of_the_hours_after_midnight_stay_with_their_own_day(
    database: Database, folder: FolderStore
) -> None:
    later = DAY + timedelta(days=1)
    ids = add_instruments(database, "NSE", 1)
    night = [(row[0] - timedelta(hours=7), *row[1:]) for row in ticks(ids, 6, later)]
    store(database, ticks(ids, 10))
    store(database, night, day=later)
    write_day(database, folder, DAY)
    drop_day(database, folder, DAY)
    assert len(fetch(database, cases.TICKS)) == 6
    write_day(database, folder, later)
    drop_day(database, folder, later)
    assert fetch(database, cases.TICKS) == []


def test_a_day_with_a_tick_that_no_candle_knows_is_not_dropped(
    database: Database, folder: FolderStore
) -> None:
    cases.archived(database, folder)
    run_sql(
        database,
        "INSERT INTO candle_invalidations"
        " SELECT instrument_id, min(time) FROM ticks GROUP BY instrument_id",
    )
    assert not retention.drop_if_stored(database, DAY)
    assert len(fetch(database, cases.TICKS)) == 120


def test_a_day_that_is_not_yet_in_the_candles_is_not_dropped(database: Database) -> None:
    store(database, ticks(add_instruments(database, "NSE", 1), 10))
    assert not retention.drop_if_stored(database, DAY)


def test_late_ticks_of_a_dropped_day_are_added_to_its_archive(
    database: Database, folder: FolderStore
) -> None:
    cases.dropped(database, folder)
    first = archives.files(database, DAY)
    for number in (1, 2):
        cases.send_late(database, Tick(at=cases.at(5), price=float(number)))
        found = write_day(database, folder, DAY)
        assert (found.ticks, found.changed_at) == (120 + number, None)
        assert set(first) < set(archives.files(database, DAY))
        assert verify(database, folder, DAY) is None
    drop_day(database, folder, DAY)
    assert fetch(database, cases.TICKS) == []
    assert write_day(database, folder, DAY).ticks == 122


def test_late_ticks_of_a_dropped_day_leave_its_candles_as_they_are(
    database: Database, folder: FolderStore
) -> None:
    cases.dropped(database, folder)
    before = [fetch(database, query) for query in cases.CANDLES]
    (instrument, *_) = fetch(database, "SELECT min(instrument_id) FROM instruments")[0]
    cases.send_late(database, Tick(at=cases.at(5), price=7.0, instrument=instrument))
    cases.send_late(database, Tick(at=cases.at(9000), price=7.0, instrument=instrument))
    candles.refresh(database, at_least=bounds(DAY + timedelta(days=2))[0])
    assert len(fetch(database, cases.TICKS)) == 2
    assert [fetch(database, query) for query in cases.CANDLES] == before


def test_damage_to_the_only_copy_is_not_mended_by_late_ticks(
    database: Database, folder: FolderStore
) -> None:
    cases.dropped(database, folder)
    path = cases.flip_a_byte(folder)
    assert path in (verify(database, folder, DAY) or "")
    cases.send_late(database, Tick(at=cases.at(5)))
    assert path in (write_day(database, folder, DAY).damage or "")
    with pytest.raises(ArchiveDamaged):
        drop_day(database, folder, DAY)


def test_late_ticks_of_a_dropped_day_stay_out_of_another_archive(
    database: Database, folder: FolderStore, tmp_path: Path
) -> None:
    cases.dropped(database, folder)
    cases.send_late(database, Tick(at=cases.at(5)))
    with pytest.raises(ArchiveError, match="with the ARCHIVE_URL it was archived with"):
        write_day(database, FolderStore(tmp_path / "other"), DAY)
