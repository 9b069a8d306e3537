"""What a journal refuses, what it forgets, and what a full disk does to it."""

import os
import resource
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from market_pipeline.errors import JournalError, JournalFull, JournalLocked
from market_pipeline.streaming import journal
from market_pipeline.streaming.journal import Journal
from market_pipeline.streaming.records import RecordKind
from market_pipeline_tests.journals import GIGABYTE, payloads, segment, write


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "kite-0"


def test_a_second_journal_on_the_same_folder_is_refused(folder: Path) -> None:
    with Journal(folder, GIGABYTE):
        with pytest.raises(JournalLocked, match=str(folder)):
            Journal(folder, GIGABYTE)
    Journal(folder, GIGABYTE).close()


def test_a_full_journal_names_the_setting_and_writes_nothing(folder: Path) -> None:
    with Journal(folder, max_bytes=110) as opened:
        end = opened.append(RecordKind.FRAME, bytes(50))
        with pytest.raises(JournalFull, match="JOURNAL_MAX_GIGABYTES"):
            opened.append(RecordKind.FRAME, bytes(50))
        assert opened.end == end == segment(folder).stat().st_size
        opened.append(RecordKind.FRAME, b"fits")
    assert payloads(folder) == [bytes(50), b"fits"]


def test_what_earlier_processes_wrote_counts_towards_the_limit(folder: Path) -> None:
    write(folder, bytes(30), bytes(30), segment_bytes=50)
    with Journal(folder, max_bytes=120) as opened, pytest.raises(JournalFull):
        opened.append(RecordKind.FRAME, bytes(30))


def test_a_journal_is_nearly_full_from_nine_tenths_on(folder: Path) -> None:
    with Journal(folder, max_bytes=1000) as opened:
        opened.append(RecordKind.FRAME, bytes(900 - 25))
        assert not opened.is_nearly_full
        opened.append(RecordKind.FRAME, b"")
        assert opened.is_nearly_full


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let the system refuse to grow a file past a size, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_fills_up_leaves_nothing_half_written(folder: Path) -> None:
    with Journal(folder, GIGABYTE) as opened:
        end = opened.append(RecordKind.FRAME, b"kept")
        with largest_file(end + 10), pytest.raises(JournalFull, match="free disk space"):
            opened.append(RecordKind.FRAME, b"does not fit")
        assert segment(folder).stat().st_size == opened.end == end
        opened.append(RecordKind.FRAME, b"after")
    assert payloads(folder) == [b"kept", b"after"]


def write_at_most(monkeypatch: pytest.MonkeyPatch, size: int, total: int) -> None:
    """Let the system take a few bytes at a time, and no more than a total."""
    write, left = os.write, total

    def write_some(file: int, data: bytes) -> int:
        nonlocal left
        if not left:
            raise OSError(28, "No space left on device")
        written = write(file, data[: min(size, left)])
        left -= written
        return written

    monkeypatch.setattr(os, "write", write_some)


def test_a_record_that_is_taken_in_many_parts_is_written_whole(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Journal(folder, GIGABYTE) as opened, monkeypatch.context() as patch:
        write_at_most(patch, size=7, total=GIGABYTE)
        opened.append(RecordKind.FRAME, bytes(100))
        opened.append(RecordKind.FRAME, b"next")
    assert payloads(folder) == [bytes(100), b"next"]


def test_a_record_that_is_refused_after_many_parts_leaves_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Journal(folder, GIGABYTE) as opened:
        with monkeypatch.context() as patch:
            write_at_most(patch, size=7, total=50)
            with pytest.raises(JournalFull, match="No space left on device"):
                opened.append(RecordKind.FRAME, bytes(100))
        assert segment(folder).stat().st_size == opened.end == 0
        opened.append(RecordKind.FRAME, b"after")
    assert payloads(folder) == [b"after"]


def test_a_disk_that_cannot_sync_is_reported_by_the_next_append(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = threading.Event()

    def fail(_: int) -> None:
        synced.set()
        raise OSError(5, "Input/output error")

    with Journal(folder, GIGABYTE, sync_seconds=0.01) as opened:
        with monkeypatch.context() as patch:
            patch.setattr(os, "fdatasync", fail)
            opened.append(RecordKind.FRAME, b"a")
            assert synced.wait(10), "nothing was synced"
            with pytest.raises(JournalError, match="Input/output error"):
                append_until_it_fails(opened)


def append_until_it_fails(opened: Journal) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        opened.append(RecordKind.FRAME, b"b")


def test_a_segment_that_cannot_be_started_stops_only_while_it_cannot(folder: Path) -> None:
    in_the_way = folder / f"{2 * 26:020d}.journal"
    with Journal(folder, GIGABYTE, segment_bytes=50) as opened:
        opened.append(RecordKind.FRAME, b"a")
        in_the_way.mkdir()
        with pytest.raises(JournalError, match="Is a directory"):
            opened.append(RecordKind.FRAME, b"b")
        in_the_way.rmdir()
        opened.append(RecordKind.FRAME, b"c")
    assert payloads(folder) == [b"a", b"b", b"c"]


def test_an_oversized_payload_is_refused(folder: Path) -> None:
    with Journal(folder, GIGABYTE) as opened, pytest.raises(JournalError, match="67108865 bytes"):
        opened.append(RecordKind.FRAME, bytes(64 * 1024 * 1024 + 1))


def test_forget_removes_only_old_segments_before_the_position(folder: Path) -> None:
    ends = write(folder, *[b"%d" % n for n in range(6)], segment_bytes=50)  # two records each
    with Journal(folder, GIGABYTE, segment_bytes=50) as opened:
        opened.forget(before=ends[2], older_than=time.time() + 60)
        assert [base for base, _ in journal.segments(folder)] == [ends[1], ends[3], ends[5]]
        assert payloads(folder, ends[2]) == [b"3", b"4", b"5"]


def test_forget_keeps_what_was_written_lately(folder: Path) -> None:
    ends = write(folder, *[b"%d" % n for n in range(6)], segment_bytes=50)
    with Journal(folder, GIGABYTE, segment_bytes=50) as opened:
        opened.forget(before=ends[5], older_than=time.time() - 3600)
    assert len(payloads(folder)) == 6


def test_forget_keeps_the_segment_in_use(folder: Path) -> None:
    with Journal(folder, GIGABYTE) as opened:
        end = opened.append(RecordKind.FRAME, b"a")
        opened.forget(before=end, older_than=time.time() + 60)
    assert payloads(folder) == [b"a"]


def test_forgetting_makes_room(folder: Path) -> None:
    with Journal(folder, max_bytes=120, segment_bytes=50) as opened:
        end = opened.append(RecordKind.FRAME, bytes(75))
        opened.forget(before=end, older_than=time.time() + 60)
        opened.append(RecordKind.FRAME, bytes(75))


def test_a_full_journal_makes_room_of_what_was_just_written(folder: Path) -> None:
    with Journal(folder, max_bytes=300) as opened:
        end = opened.append(RecordKind.FRAME, bytes(200))
        with pytest.raises(JournalFull):
            opened.append(RecordKind.FRAME, bytes(200))
        opened.make_room(before=end)
        opened.append(RecordKind.FRAME, b"fits")
    assert payloads(folder, end) == [b"fits"]


def test_room_is_never_made_of_what_is_not_stored(folder: Path) -> None:
    with Journal(folder, GIGABYTE) as opened:
        first = opened.append(RecordKind.FRAME, b"stored")
        opened.append(RecordKind.FRAME, b"not stored")
        opened.make_room(before=first)
    assert payloads(folder) == [b"stored", b"not stored"]


def test_a_disk_with_little_left_counts_as_nearly_full(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = SimpleNamespace(total=10**12, free=30 * 1024 * 1024)
    with Journal(folder, GIGABYTE) as opened:
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
        assert opened.is_nearly_full
        assert opened.has_room
        usage.free = 10 * 1024 * 1024
        assert not opened.has_room


def test_a_large_segment_that_cannot_be_read_is_set_aside_and_not_cut(folder: Path) -> None:
    write(folder, bytes(2 * 1024 * 1024))
    content = b"?" + segment(folder).read_bytes()[1:]
    segment(folder).write_bytes(content)
    write(folder, b"goes on")
    assert payloads(folder) == [b"goes on"]
    assert segment(folder).with_suffix(".unreadable").read_bytes() == content


def test_a_folder_that_cannot_be_written_names_the_setting(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(JournalError, match="MARKET_PIPELINE_HOME"):
        Journal(tmp_path / "file" / "kite-0", GIGABYTE)
