"""An append-only file of everything that arrived, written before anything else can fail.

Positions count bytes since the stream's first record and never restart; a segment file is named
after the position of its first byte. See records.py for what is in it, segments.py for reading it.

Guarantee: `append` returns once the operating system has the record, so the death of any process
loses none; a power cut loses at most `sync_seconds`.
"""

import fcntl
import logging
import os
import shutil
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from market_pipeline.errors import JournalError, JournalFull, JournalLocked
from market_pipeline.streaming import checkpoints
from market_pipeline.streaming.clock import ReceiveClock
from market_pipeline.streaming.records import MAX_PAYLOAD_BYTES, RecordKind, encode
from market_pipeline.streaming.segments import SUFFIX, last_of
from market_pipeline.streaming.segments import read as read
from market_pipeline.streaming.segments import segments as segments

log = logging.getLogger(__name__)

_TORN_BYTES = 1024 * 1024
_SEGMENT_BYTES = 64 * 1024 * 1024
_ROOM_BYTES = 16 * 1024 * 1024
_WORTH_ENDING_BYTES = 1024 * 1024


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
        self.end, received_at = last_of(path) if found else (0, 0)
        if self.end == base and len(found) > 1:  # it has just been begun
            received_at = last_of(found[-2][1])[1]
        self._clock = ReceiveClock(received_at)
        self._base = base
        if self.end == base and path.exists() and path.stat().st_size > _TORN_BYTES:
            self._set_aside(path)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        os.ftruncate(self._file, self.end - base)  # what a crash left half written
        self._total = sum(file.stat().st_size for _, file in segments(self.folder))

    def _set_aside(self, path: Path) -> None:
        """Keep a segment without one readable record: more than a crash leaves half written."""
        aside = path.with_suffix(".unreadable")
        path.replace(aside)
        log.error("%s holds nothing that can be read: it is kept as %s", path, aside.name)

    def _segment_path(self, base: int) -> Path:
        return self.folder / f"{base:020d}{SUFFIX}"

    def append(
        self, kind: RecordKind, payload: bytes, received_at: int | None = None, feed: int = 0
    ) -> int:
        """Write a record and return the position after it.

        Raises:
            JournalFull: the limit on its size, or the disk, is reached; nothing was written.
            JournalError: the disk failed.
        """
        if len(payload) > MAX_PAYLOAD_BYTES:
            raise JournalError(f"a payload of {len(payload)} bytes is over {MAX_PAYLOAD_BYTES}")
        with self._lock:
            stamp = self._clock.now() if received_at is None else received_at
            record = encode(kind, stamp, payload, self.end, feed)
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
        written = 0
        try:
            while written < len(record):  # a disk that fills up takes only a part at first
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
    def has_room(self) -> bool:
        """Whether it can take more than a moment's frames: a full one does not flicker."""
        return self._disk_has(1) and self._total <= 0.95 * self._max_bytes

    @property
    def is_nearly_full(self) -> bool:
        """Whether nine tenths of its size limit are used, or little of the disk is free."""
        return self._total > 0.9 * self._max_bytes or not self._disk_has(2)

    @property
    def could_shrink(self) -> bool:
        """Whether it is nearly full and the segment being written is worth ending early."""
        return self.end - self._base >= _WORTH_ENDING_BYTES and self.is_nearly_full

    def _disk_has(self, times: int) -> bool:
        disk = shutil.disk_usage(self.folder)
        return disk.free >= times * min(_ROOM_BYTES, disk.total // 4)

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

    def make_room(self, before: int) -> None:
        """Delete all that lies before a position, also what was just written.

        For a journal that is full: a segment is deleted only whole, so the one that is being
        written ends here if all of it may go.
        """
        with self._lock:
            if self._base < self.end <= before:
                self._start_segment(self.end)
        self.forget(before, float("inf"))

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
            for oldest, _ in segments(self.folder)[:1]:
                checkpoints.forget(self.folder, oldest)

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
