"""A tick that is written into an archived day re-opens it, in the same transaction."""

from pathlib import Path
from typing import Any

import pytest

from market_pipeline.archive.day import write_day
from market_pipeline.archive.store import FolderStore
from market_pipeline.storage import archives
from market_pipeline.storage.database import Database
from market_pipeline.storage.ticks import Batch, TickStore
from market_pipeline_tests import rebuilds
from market_pipeline_tests.archive_cases import archived
from market_pipeline_tests.builders import TODAY, Tick, tick_columns
from market_pipeline_tests.journals import Line

NEXT_DAY = 86_400  # seconds


def commit(database: Database, *ticks: Tick, standby: tuple[Tick, ...] = ()) -> None:
    """Store ticks as a stream of two brokers does."""
    stream = TickStore(database.url, "simulator-0", "run", ["simulator", "fyers_simulator"])
    start = stream.open().position
    of_second = tick_columns(list(standby))
    count = len(ticks) + len(standby)
    stream.commit(Batch(start, start + 1, count, tick_columns(list(ticks)), of_second))
    stream.close()


def is_changed(database: Database, day: Any = TODAY) -> bool:
    certificate = archives.certificate(database, day)
    assert certificate is not None
    return certificate.changed_at is not None


@pytest.fixture
def folder(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "archive")


@pytest.fixture
def one_day(database: Database, folder: FolderStore) -> Database:
    """A database with a day that is archived."""
    commit(database, Tick(1), Tick(2), standby=(Tick(1),))
    write_day(database, folder, TODAY)
    return database


def test_a_late_tick_reopens_its_day(one_day: Database, folder: FolderStore) -> None:
    commit(one_day, Tick(3))
    assert is_changed(one_day)
    assert archives.due(one_day, folder.location, TODAY.replace(day=21)) == [TODAY]
    write_day(one_day, folder, TODAY)
    assert archived(folder, "ticks").height == 3
    assert not is_changed(one_day)


def test_a_late_tick_of_the_broker_that_stands_by_reopens_its_day(
    one_day: Database, folder: FolderStore
) -> None:
    commit(one_day, standby=(Tick(3),))
    assert is_changed(one_day)
    write_day(one_day, folder, TODAY)
    assert archived(folder, "standby_ticks").height == 2


def test_a_tick_that_makes_no_candle_reopens_its_day_as_well(one_day: Database) -> None:
    commit(one_day, Tick(3, is_trade=False, volume=None))
    assert is_changed(one_day)


def test_ticks_of_the_next_day_do_not(one_day: Database) -> None:
    commit(one_day, Tick(NEXT_DAY), standby=(Tick(NEXT_DAY),))
    assert not is_changed(one_day)


def test_a_tick_that_is_rolled_back_reopens_nothing(one_day: Database) -> None:
    with one_day.session() as connection, connection.transaction(force_rollback=True):
        connection.execute("INSERT INTO candle_invalidations SELECT 1, min(time) FROM ticks")
    assert not is_changed(one_day)


@pytest.mark.parametrize("decode", [rebuilds.doubling, rebuilds.without_indices])
def test_a_rebuild_reopens_the_days_that_it_changes(
    database: Database, folder: FolderStore, tmp_path: Path, decode: rebuilds.Decode
) -> None:
    line = Line(database, tmp_path / "journal")
    rebuilds.receive(line, seconds=20)
    rebuilds.store(line)
    write_day(database, folder, TODAY)
    rebuilds.rebuilt(line)
    assert not is_changed(database)
    rebuilds.rebuilt(line, decode=decode)
    assert is_changed(database)
    line.close()
