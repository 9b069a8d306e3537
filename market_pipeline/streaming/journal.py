"""An append-only file of everything that arrived, written before anything else can fail.

Positions count bytes since the stream's first record and never restart; a segment file is named
after the position of its first byte. See records.py for what is in it.

Guarantee: `append` returns once the operating system has the record, so the death of any process
loses none; a power cut loses at most `sync_seconds`.
"""

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from market_pipeline.errors import JournalError, JournalFull, JournalLocked
from market_pipeline.streaming.records import (
    MAX_PAYLOAD_BYTES,
    Damage,
    Record,
    RecordKind,
    encode,
    scan,
)

_SEGMENT_BYTES = 64 * 1024 * 1024
_SUFFIX = ".journal"


def segments(folder: Path) -> list[tuple[int, Path]]:
    """Return the segment files of a stream's journal with their first positions, in order."""
    return sorted((int(file.stem), file) for file in folder.glob(f"*{_SUFFIX}"))


class Journal:
    """Appends to one stream's journal; at most one process at a time may hold it.

    Raises:
        JournalLocked: another process holds it.
        JournalError: the folder cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        max_bytes: int,
        sync_seconds: float = 0.05,
        segment_bytes: int = _SEGMENT_BYTES,
    ) -> None:
        self.folder = folder
        self._max_bytes = max_bytes
        self._segment_bytes = segment_bytes
        self._sync_seconds = sync_seconds
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._grown = threading.Condition()
        self._dirty = False
        self._sync_error: OSError | None = None
        self._lock_file = self._take_lock()
        self._open_last_segment()
        self._syncer = threading.Thread(target=self._sync_often, name="journal-sync", daemon=True)
        self._syncer.start()

    def _take_lock(self) -> int:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            file = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise JournalError(
                f"the journal folder {self.folder} cannot be written ({error.strerror}): "
                "make it writable or set MARKET_PIPELINE_HOME"
            ) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            raise JournalLocked(f"another process writes the journal in {self.folder}") from None
        return file

    def _open_last_segment(self) -> None:
        found = segments(self.folder)
        base, path = found[-1] if found else (0, self._segment_path(0))
        end = 0
        if path.exists():
            for record in scan(path.read_bytes()):
                end = record.end
        self._base = base
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        os.ftruncate(self._file, end)  # what a crash left half written
        self.end = base + end
        self._total = sum(file.stat().st_size for _, file in segments(self.folder))

    def _segment_path(self, base: int) -> Path:
        return self.folder / f"{base:020d}{_SUFFIX}"

    def append(self, kind: RecordKind, payload: bytes, received_at: int | None = None) -> int:
        """Write a record and return the position after it.

        Raises:
            JournalFull: the limit on its size, or the disk, is reached; nothing was written.
            JournalError: the disk failed.
        """
        if len(payload) > MAX_PAYLOAD_BYTES:
            raise JournalError(f"a payload of {len(payload)} bytes is over {MAX_PAYLOAD_BYTES}")
        stamp = time.time_ns() if received_at is None else received_at
        record = encode(kind, stamp, payload)
        with self._lock:
            if self._sync_error is not None:
                raise JournalError(f"{self.folder}: {self._sync_error.strerror}")
            if self._total + len(record) > self._max_bytes:
                raise JournalFull(
                    f"the journal {self.folder} has reached {self._max_bytes / 1e9:.1f} GB: bring "
                    "the database back so that it can be stored, or raise JOURNAL_MAX_GIGABYTES"
                )
            self._write(record)
            self.end += len(record)
            self._total += len(record)
            self._dirty = True
            if self.end - self._base >= self._segment_bytes:
                self._start_segment(self.end)
        with self._grown:
            self._grown.notify_all()
        return self.end

    def _write(self, record: bytes) -> None:
        try:
            written = os.write(self._file, record)
            if written < len(record):  # the disk filled up in the middle
                written += os.write(self._file, record[written:])
        except OSError as error:
            os.ftruncate(self._file, self.end - self._base)
            raise JournalFull(
                f"the journal {self.folder} cannot grow ({error.strerror}): free disk space"
            ) from error

    def _start_segment(self, base: int) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        try:
            os.fdatasync(self._file)
            file = os.open(self._segment_path(base), flags, 0o600)
        except OSError as error:
            raise JournalError(f"{self.folder}: no new segment ({error.strerror})") from error
        os.close(self._file)
        self._file, self._base, self.end = file, base, base

    def skip_to(self, position: int) -> None:
        """Go on at a position that the journal has not reached; records never take its place.

        A journal ends before what is stored of it when its folder was deleted or is another one,
        or when a power cut took its end. Readers find the stretch that is missing as damage.
        """
        with self._lock:
            if position > self.end:
                self._start_segment(position)

    @property
    def is_nearly_full(self) -> bool:
        """Whether nine tenths of its size limit are used."""
        return self._total > 0.9 * self._max_bytes

    def wait_for_more(self, position: int, seconds: float) -> None:
        """Return once there is something after `position`, or after `seconds`."""
        with self._grown:
            self._grown.wait_for(lambda: self.end > position or self._closing.is_set(), seconds)

    def _sync_often(self) -> None:
        while not self._closing.wait(self._sync_seconds):
            with self._lock:
                dirty, self._dirty = self._dirty, False
                file = os.dup(self._file) if dirty else -1
            if dirty:
                try:
                    os.fdatasync(file)  # outside the lock: appending goes on meanwhile
                except OSError as error:
                    self._sync_error = error
                finally:
                    os.close(file)

    def forget(self, before: int, older_than: float) -> None:
        """Delete segments that lie wholly before a position and were last written before a time.

        `older_than` is in seconds since 1970.
        """
        with self._lock:
            found = segments(self.folder)
            for (_, path), (next_base, _) in zip(found, found[1:], strict=False):
                size, written_at = path.stat().st_size, path.stat().st_mtime
                if next_base <= before and written_at < older_than:
                    path.unlink()
                    self._total -= size

    def close(self) -> None:
        """Sync and let go. Safe to call twice."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._syncer.join()
        os.fdatasync(self._file)
        os.close(self._file)
        os.close(self._lock_file)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def read(folder: Path, position: int, max_bytes: int) -> Iterator[Record | Damage]:
    """Yield what follows a position, about `max_bytes` of it at the most.

    A record that is not whole yet ends the reading; a damaged one in the middle is passed over
    and reported. A position older than the oldest segment starts at that segment, with the
    missing stretch reported as damage.
    """
    remaining = max_bytes
    for base, path, following in _segments_from(folder, position):
        if position < base:
            yield Damage(position, base, b"")
            position = base
        end, at_end = position, False
        for item in _scan_file(path, position, base, remaining):
            end = item.end
            yield item
        at_end = path.stat().st_size <= end - base or (following is not None and end == position)
        if following is not None and at_end and end < following:
            yield Damage(end, following, _bytes_between(path, end - base, following - base))
            end = following
        remaining -= end - position
        position = end
        if remaining <= 0 or not at_end:
            return


def _scan_file(path: Path, position: int, base: int, max_bytes: int) -> Iterator[Record | Damage]:
    """Scan a part of a segment, more than asked for where one record is larger than that."""
    size = path.stat().st_size
    while True:
        data = _bytes_between(path, position - base, min(size, position - base + max_bytes))
        found = False
        for item in scan(data, position):
            found = True
            yield item
        if found or position - base + max_bytes >= size:
            return
        max_bytes *= 4


def _bytes_between(path: Path, start: int, end: int) -> bytes:
    with path.open("rb") as file:
        file.seek(start)
        return file.read(max(end - start, 0))


def _segments_from(folder: Path, position: int) -> Iterator[tuple[int, Path, int | None]]:
    """Yield the first position, the file and the following first position of each segment."""
    found = segments(folder)
    bases: list[int | None] = [base for base, _ in found]
    for (base, path), following in zip(found, [*bases[1:], None], strict=False):
        if following is None or position < following:
            yield base, path, following
