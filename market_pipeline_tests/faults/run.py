"""How the programs of this project are started in tests of faults."""

import os
import signal
import sys
from pathlib import Path

import psutil

from market_pipeline import processes
from market_pipeline_tests.acceptance.demo import ROOT

_OURS = (
    *("MARKET_PIPELINE", "DAGSTER", "DATABASE_URL", "BROKER", "KITE", "SIMULATOR", "STANDBY"),
    "LD_PRELOAD",
)


def command(*arguments: str) -> list[str]:
    """Return the command line of market-pipeline in this environment."""
    return [sys.executable, "-m", "market_pipeline", *arguments]


def environment(**variables: str) -> dict[str, str]:
    """Return this process's environment without any setting of ours but these."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    return kept | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"} | variables


def kill(victims: list[psutil.Process]) -> None:
    """Send SIGKILL to all of them at once, and return when none runs any more."""
    processes.signal_all(victims, signal.SIGSTOP)  # so that none sees the end of another
    processes.signal_all(victims, signal.SIGKILL)
    gone = processes.await_end(lambda: [each for each in victims if processes.is_alive(each)], 10)
    assert gone, f"still alive after SIGKILL: {victims}"


def writers_of(journal: Path) -> list[psutil.Process]:
    """Return the processes that have a journal open for writing: the stream, wherever it runs."""
    found = []
    for process in psutil.process_iter():
        try:
            if any(str(journal) in each.path for each in process.open_files()):
                found.append(process)
        except psutil.Error:
            continue
    return found
