"""Damage to an archive is found and named, and healed while the ticks are there."""

import errno
import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from market_pipeline.archive import verifying
from market_pipeline.archive.day import write_day
from market_pipeline.archive.store import FolderStore
from market_pipeline.archive.verifying import look, verify, verify_within
from market_pipeline.errors import ArchiveError, ArchiveUnavailable
from market_pipeline.storage import archives
from market_pipeline.storage.database import Database
from market_pipeline_tests.archive_cases import (
    DAY,
    add_instruments,
    archived,
    execute,
    paths,
    store,
    ticks,
)
from market_pipeline_tests.faults.disk import can_mount, small_disk

pytestmark = pytest.mark.needs_real_server  # of files; nothing in it depends on the server


@pytest.fixture(scope="module")
def one_day(shared_database: Database) -> Database:
    store(shared_database, ticks(add_instruments(shared_database, "NSE", 3), 100))
    return shared_database


@pytest.fixture
def folder(one_day: Database, tmp_path: Path) -> FolderStore:
    """An archive of that day."""
    made = FolderStore(tmp_path / "archive")
    write_day(one_day, made, DAY)
    return made


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(content)


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


@pytest.mark.parametrize("values", [True, False])
@pytest.mark.parametrize(
    ("harm", "said"),
    [(flip, "other bytes"), (truncate, "bytes instead of"), (Path.unlink, "is missing")],
)
def test_a_file_that_is_not_as_it_was_is_named(
    one_day: Database,
    folder: FolderStore,
    harm: Callable[[Path], None],
    said: str,
    values: bool,
) -> None:
    (path,) = paths(folder, "ticks")
    harm(path)
    damage = verify(one_day, folder, DAY, values)
    assert damage is not None and said in damage and path.name in damage
    certificate = archives.certificate(one_day, DAY)
    assert certificate is not None and certificate.damage == damage


class Failing(io.BytesIO):
    """A file on a disk that is broken, or on a server whose file is another by now."""

    def read(self, size: int | None = -1) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_a_file_that_fails_while_it_is_read_is_named_and_holds_up_no_other(
    one_day: Database, folder: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = FolderStore.open
    monkeypatch.setattr(
        FolderStore,
        "open",
        lambda self, path: Failing() if path.startswith("ticks") else opened(self, path),
    )
    (path,) = paths(folder, "ticks")
    damaged = verify_within(one_day, folder, 60.0).damaged
    assert f"{path.name} cannot be read: [Errno 5]" in damaged[DAY]


def test_bytes_that_are_as_certified_but_no_values_are_found(
    one_day: Database, folder: FolderStore
) -> None:
    execute(one_day, "UPDATE archive_files SET content_sha256 = 'another' WHERE kind = 'ticks'")
    damage = verify(one_day, folder, DAY)
    assert damage is not None and "other values" in damage


def test_damage_is_healed_while_there_are_ticks(one_day: Database, folder: FolderStore) -> None:
    (path,) = paths(folder, "ticks")
    flip(path)
    verify(one_day, folder, DAY)
    assert archives.due(one_day, folder.location, DAY.replace(day=21)) == [DAY]
    write_day(one_day, folder, DAY)
    assert verify(one_day, folder, DAY) is None
    assert not path.exists()
    assert archived(folder, "ticks").height == 300


def test_a_file_that_somebody_put_there_is_named_and_left(
    one_day: Database, folder: FolderStore
) -> None:
    (path,) = paths(folder, "ticks")
    foreign = path.with_name("mine.parquet")
    foreign.write_bytes(path.read_bytes())
    path.with_name("notes.txt").write_text("no reader takes it for ticks")
    said = look(one_day, folder, DAY).foreign
    assert said is not None and "mine.parquet: in the archive and in no certificate" in said
    assert "notes.txt" not in said and path.name not in said
    assert verify_within(one_day, folder, 60.0).foreign == {DAY: said}
    write_day(one_day, folder, DAY)
    assert foreign.exists() and path.exists()
    certificate = archives.certificate(one_day, DAY)
    assert certificate is not None and certificate.damage is None
    foreign.unlink()
    assert look(one_day, folder, DAY) == (None, None)


def test_a_day_that_is_not_archived_cannot_be_verified(
    one_day: Database, folder: FolderStore
) -> None:
    with pytest.raises(ArchiveError, match="not archived"):
        verify(one_day, folder, DAY.replace(day=1))


def test_the_newest_days_are_verified_and_of_others_what_there_is_time_for(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verifying, "_NEWEST", 1)
    folder, instruments = FolderStore(tmp_path), add_instruments(database, "NSE", 1)
    days = [DAY.replace(day=number) for number in (18, 19, 20)]
    for day in days:
        store(database, ticks(instruments, 5, day), day=day)
        write_day(database, folder, day)
    for path in paths(folder, "ticks"):
        flip(path)
    assert verify_within(database, folder, 0.0)[:2] == (3, 1)
    first = verify_within(database, folder, 0.0)
    assert list(first.damaged) == [days[2]]
    every = verify_within(database, folder, 60.0)
    assert (every.days, every.verified, list(every.damaged)) == (3, 3, days)


@pytest.mark.skipif(not can_mount(), reason="mounting a small disk takes root")
def test_a_full_disk_is_said_and_leaves_no_certificate(one_day: Database, tmp_path: Path) -> None:
    execute(one_day, "DELETE FROM archives")
    with small_disk(tmp_path / "small", 1) as disk:
        disk.fill()
        folder = FolderStore(tmp_path / "small" / "archive")
        with pytest.raises(ArchiveUnavailable, match="No space left"):
            write_day(one_day, folder, DAY)
        assert archives.certificate(one_day, DAY) is None
        disk.empty()
        write_day(one_day, folder, DAY)
        assert verify(one_day, folder, DAY) is None


def test_a_folder_that_cannot_be_written_is_said_and_leaves_no_certificate(
    one_day: Database, tmp_path: Path
) -> None:
    execute(one_day, "DELETE FROM archives")
    (tmp_path / "archive").write_text("a file, not a folder")
    with pytest.raises(ArchiveUnavailable, match="archive"):
        write_day(one_day, FolderStore(tmp_path / "archive"), DAY)
    assert archives.certificate(one_day, DAY) is None
