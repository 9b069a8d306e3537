"""Killed at any moment of dropping or restoring, a day is in the database or in a whole archive."""

import multiprocessing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from market_pipeline.archive.dropping import drop_day
from market_pipeline.archive.restoring import restore_day
from market_pipeline.archive.store import FolderStore
from market_pipeline.archive.verifying import verify
from market_pipeline.errors import ArchiveBusy
from market_pipeline.storage.database import Database
from market_pipeline_tests import retention_cases as cases
from market_pipeline_tests import retention_process
from market_pipeline_tests.archive_cases import DAY
from market_pipeline_tests.builders import eventually, fetch

Rows = tuple[list[Any], list[Any]]

_PROCESSES = multiprocessing.get_context("forkserver")
_SECONDS = 120


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> FolderStore:
    return FolderStore(tmp_path_factory.mktemp("home") / "archive")


@pytest.fixture(scope="module")
def before(shared_database: Database, folder: FolderStore) -> Iterator[Rows]:
    """What the day's ticks are, which are dropped."""
    _PROCESSES.set_forkserver_preload(["market_pipeline_tests.retention_process"])
    yield cases.dropped(shared_database, folder)


def kill_at(point: str, verb: str, database: Database, folder: FolderStore) -> None:
    ours, theirs = _PROCESSES.Pipe()
    words = (verb, database.url, Path(folder.location), point, theirs)
    victim = _PROCESSES.Process(target=retention_process.run, args=words)
    victim.start()
    theirs.close()
    assert ours.poll(_SECONDS), f"{verb} did not come to {point}"
    assert ours.recv() == point
    victim.kill()
    victim.join(_SECONDS)
    assert victim.exitcode == -9
    eventually(lambda: is_free(database, folder), "the server did not notice", _SECONDS)


def is_free(database: Database, folder: FolderStore) -> bool:
    """Tell whether the server has ended what the process held; verify the archive."""
    try:
        assert verify(database, folder, DAY) is None
    except ArchiveBusy:
        return False
    return True


def stored(database: Database) -> Rows:
    return fetch(database, cases.TICKS), fetch(database, cases.STANDBY)


@pytest.mark.parametrize("point", retention_process.DROPPING)
def test_a_drop_that_is_killed_has_dropped_all_or_nothing(
    shared_database: Database, folder: FolderStore, before: Rows, point: str
) -> None:
    if stored(shared_database) != before:
        restore_day(shared_database, folder, DAY, 7)
    kill_at(point, "drop", shared_database, folder)
    assert stored(shared_database) == (([], []) if point == "dropped" else before)


@pytest.mark.parametrize("point", retention_process.RESTORING)
def test_a_restoration_that_is_killed_has_restored_all_or_nothing(
    shared_database: Database, folder: FolderStore, before: Rows, point: str
) -> None:
    if stored(shared_database) != ([], []):
        drop_day(shared_database, folder, DAY)
    kill_at(point, "restore", shared_database, folder)
    assert stored(shared_database) == (before if point == "attached" else ([], []))
