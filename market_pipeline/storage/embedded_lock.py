"""One supervisor for each home: a lock that the kernel frees when its holder dies."""

import fcntl
import os
import time
from io import FileIO
from pathlib import Path
from typing import NamedTuple

import psutil

_PATIENCE_SECONDS = 1.0


class Supervisor(NamedTuple):
    pid: int
    is_ready: bool
    """Whether its server takes connections."""


class SupervisorLock:
    """The right to run the server of one home."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: FileIO | None = None

    def acquire(self) -> bool:
        """Take the lock; False when another supervisor has it."""
        file = FileIO(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600), "r+")
        deadline = time.monotonic() + _PATIENCE_SECONDS
        # `supervisor` below holds the lock for an instant when it looks: that must not refuse us.
        while not _flock(file, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                file.close()
                return False
            time.sleep(0.02)
        self._file = file
        # A forked child (multiprocessing) would share the lock and keep it after our death.
        os.register_at_fork(after_in_child=file.close)
        self._write("starting")
        return True

    def declare_ready(self) -> None:
        """Tell other processes that the server takes connections."""
        self._write("ready")

    def release(self) -> None:
        if self._file is not None:
            self._file.truncate(0)
            self._file.close()
            self._file = None

    def _write(self, state: str) -> None:
        if self._file is not None:
            self._file.seek(0)
            self._file.write(f"{os.getpid()} {state}\n".encode())
            self._file.truncate()


def supervisor(path: Path) -> Supervisor | None:
    """Tell who holds the lock; None when nobody does, whatever the file still says.

    Raises:
        PermissionError: the file belongs to another user.
    """
    try:
        file = FileIO(os.open(path, os.O_RDONLY), "r")
    except (FileNotFoundError, NotADirectoryError):
        return None
    with file:
        if _flock(file, fcntl.LOCK_SH):
            return None
        words = file.read(64).decode().split()
    pid = int(words[0]) if words else 0
    # The holder may not have written yet; what is there is then a dead supervisor's.
    return Supervisor(pid, is_ready=words[1:] == ["ready"] and psutil.pid_exists(pid))


def _flock(file: FileIO, kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
