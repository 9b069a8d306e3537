"""Wherever archiving is killed, a certificate is right, and the next run tidies up."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from market_pipeline.archive.day import write_day
from market_pipeline.archive.store import FolderStore
from market_pipeline.archive.verifying import verify
from market_pipeline.storage import archives
from market_pipeline.storage.database import Database
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

pytestmark = [pytest.mark.slow, pytest.mark.needs_real_server]

STAGES = [
    "begun",
    "noted",
    "written ticks",
    "staged ticks",
    "compared",
    "published ticks",
    "published instruments",
    "certified",
]
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def one_day(shared_database: Database) -> Database:
    store(shared_database, ticks(add_instruments(shared_database, "NSE", 2), 20))
    return shared_database


def killed_at(stage: str, database: Database, folder: FolderStore) -> None:
    command = [sys.executable, "-m", "market_pipeline_tests.archive_killed"]
    arguments = [database.url, folder.location, str(DAY), stage]
    done = subprocess.run([*command, *arguments], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr


def add_late_tick(database: Database) -> int:
    """Store a tick of the day as a stream does, and return how many there are."""
    with database.transaction() as connection:
        row = connection.execute("SELECT min(instrument_id), count(*) FROM ticks").fetchone()
        assert row is not None
        copy_rows(connection, ticks([row[0]], 1, seed=row[1]), "ticks")
    execute(database, "SELECT reopen_archives(ARRAY[$1::date])", DAY)
    return int(row[1]) + 1


@pytest.mark.parametrize("stage", STAGES)
def test_a_killed_run_leaves_a_right_certificate_or_none(
    one_day: Database, tmp_path: Path, stage: str
) -> None:
    folder = FolderStore(tmp_path)
    execute(one_day, "DELETE FROM archives")
    killed_at(stage, one_day, folder)
    certificate = archives.certificate(one_day, DAY)
    assert (certificate is None) == (stage != "certified")
    if certificate is not None:
        assert verify(one_day, folder, DAY) is None
    write_day(one_day, folder, DAY)
    assert verify(one_day, folder, DAY) is None
    assert len(paths(folder)) == len(archives.files(one_day, DAY)) == 4
    assert list(folder.scratch.iterdir()) == []


@pytest.mark.parametrize("stage", ["published instruments", "certified"])
def test_a_killed_run_leaves_the_last_archive_as_it_was_until_it_is_certified(
    one_day: Database, tmp_path: Path, stage: str
) -> None:
    folder = FolderStore(tmp_path)
    write_day(one_day, folder, DAY)
    before = archives.files(one_day, DAY)
    count = add_late_tick(one_day)
    killed_at(stage, one_day, folder)
    is_before = archives.files(one_day, DAY) == before
    assert is_before == (stage != "certified")
    assert all(Path(folder.location, file.path).exists() for file in before)
    certificate = archives.certificate(one_day, DAY)
    assert certificate is not None
    assert (certificate.changed_at is not None) == is_before
    write_day(one_day, folder, DAY)
    assert archived(folder, "ticks").height == count
    assert len(paths(folder)) == 4
