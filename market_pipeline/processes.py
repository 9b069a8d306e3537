"""Processes we start: in own sessions, revived when they die, found again and ended in time."""

import contextlib
import ctypes
import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import psutil

log = logging.getLogger(__name__)

_PR_SET_PDEATHSIG = 1
_LOG_BYTES = 10_000_000
_LONGEST_DELAY_SECONDS = 30.0
_HEALTHY_SECONDS = 60.0
_POLL_SECONDS = 0.05
_LAST_LINES = 200
_TOLD_WORDS = 4
_ERROR = re.compile(r"(error: |[\w.]*(Error|Exception|Exit)\b)")


class Service(NamedTuple):
    """What to run, and how to tell that it serves."""

    name: str
    command: Sequence[str]
    is_ready: Callable[[], bool]


class Child:
    """One service as a child process; told the time, so that its delays can be tested."""

    def __init__(self, service: Service, logs: Path) -> None:
        self.service = service
        self.log = logs / f"{service.name}.log"
        self.deaths = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._not_before = 0.0

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def start(self, environment: Mapping[str, str], now: float) -> None:
        self._started_at = now
        self._process = spawn(self.service.command, environment, self.log)

    def revive(self, environment: Mapping[str, str], now: float) -> bool:
        """Start it again if it died and its delay is over; True if a new process was started."""
        if self._process is not None:
            code = self._process.poll()
            if code is None:
                return False
            self._process = None
            self._plan_restart(code, now)
        if now < self._not_before:
            return False
        self.start(environment, now)
        return True

    def _plan_restart(self, code: int, now: float) -> None:
        if now - self._started_at > _HEALTHY_SECONDS:
            self.deaths = 0
        self.deaths += 1
        delay = min(2.0 ** (self.deaths - 1), _LONGEST_DELAY_SECONDS)
        self._not_before = now + delay
        log.warning(
            "%s ended with code %d, starts again in %.0f s; see %s",
            self.service.name,
            code,
            delay,
            self.log,
        )

    def reap(self) -> None:
        """Take note of its end, without which it would stay in the process table."""
        if self._process is not None:
            self._process.poll()

    def last_words(self) -> str:
        """Return the last line of its log that names an error, or else the last line."""
        with contextlib.suppress(OSError):
            lines = self.log.read_text("utf-8", "replace").strip().splitlines()[-_LAST_LINES:]
            return next(filter(_ERROR.match, reversed(lines)), lines[-1] if lines else "")
        return ""


def spawn(
    command: Sequence[str], environment: Mapping[str, str], log_file: Path
) -> subprocess.Popen[bytes]:
    """Start a process whose output goes to a file, which a Ctrl-C in our terminal does not reach.

    Call this from the main thread: on Linux the kernel sends SIGTERM to the process when the
    thread that started it ends.
    """
    with log_file.open("ab") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
            preexec_fn=_in_child(),
        )


def _in_child() -> Callable[[], None]:
    """Return what a child does before it becomes the program; prepared before the fork."""
    prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None
    parent = os.getpid()

    def prepare() -> None:
        # A shell that put us in the background has SIGINT ignored, which is inherited; Dagster
        # then copies that to SIGTERM and could not be stopped.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        if prctl is not None:
            prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != parent:  # Killed before the request was made.
                os._exit(1)

    return prepare


def rotate(log_file: Path) -> None:
    """Put a log that has grown large aside, in place of the one put aside before."""
    with contextlib.suppress(FileNotFoundError):
        if log_file.stat().st_size > _LOG_BYTES:
            log_file.replace(log_file.with_suffix(".log.1"))


def marked(variable: str, value: str) -> list[psutil.Process]:
    """Return all processes started with `variable=value`, without this one and its ancestors."""
    ours = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found = []
    for process in psutil.process_iter():
        # Gone meanwhile, or another user's: neither is ours to end.
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid not in ours and process.environ().get(variable) == value:
                found.append(process)
    return [process for process in found if is_alive(process)]


def is_alive(process: psutil.Process) -> bool:
    """Tell whether it still runs; one that ended and was not reaped does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def signal_all(processes: Iterable[psutil.Process], number: int) -> None:
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.send_signal(number)


def await_end(processes: Callable[[], Sequence[psutil.Process]], seconds: float) -> bool:
    """Ask for the processes again and again until there are none; False when time is up."""
    deadline = time.monotonic() + seconds
    while processes():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def end(processes: Callable[[], Sequence[psutil.Process]], seconds: float) -> None:
    """Ask processes to end and kill those that have not after some seconds.

    `processes` is asked repeatedly, so that what is started meanwhile ends as well.
    """
    asked: set[int] = set()

    def remaining() -> Sequence[psutil.Process]:
        alive = processes()
        signal_all((each for each in alive if each.pid not in asked), signal.SIGTERM)
        asked.update(each.pid for each in alive)
        return alive

    if not await_end(remaining, seconds):
        leftovers = processes()
        log.info("killing what did not stop in time: %s", ", ".join(map(_described, leftovers)))
        signal_all(leftovers, signal.SIGKILL)
        await_end(processes, 1.0)


def _described(process: psutil.Process) -> str:
    """Return a process as people know it: what it was asked with may be long, and secret."""
    with contextlib.suppress(psutil.Error, OSError):
        words = process.cmdline()[:_TOLD_WORDS]
        return f"{process.pid} ({' '.join(Path(word).name for word in words)})"
    return str(process.pid)
