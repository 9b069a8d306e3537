"""Ending processes: they are asked first, and killed by name when they do not heed it."""

import logging
import subprocess
import sys

import psutil
import pytest

from market_pipeline import processes

STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True)"


def started(program: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", f"{program}; import time; time.sleep(60)"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    return process


def end(process: subprocess.Popen[bytes], seconds: float) -> int:
    member = psutil.Process(process.pid)
    with process:
        processes.end(lambda: [member] if processes.is_alive(member) else [], seconds)
        return process.wait(10)


def test_a_process_that_heeds_sigterm_is_not_killed(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert end(started("print('up', flush=True)"), 30) == -15
    assert caplog.text == ""


def test_a_process_that_does_not_end_is_killed_and_named(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    process = started(STUBBORN)
    assert end(process, 0.3) == -9
    assert f"killing what did not stop in time: {process.pid} (python" in caplog.text
