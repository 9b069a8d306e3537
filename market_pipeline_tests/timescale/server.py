"""Runs TimescaleDB for the tests: PGlite in Node.js, and bridge.mjs between it and TCP."""

import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

FOLDER = Path(__file__).parent
_OLDEST_NODE = 18
_START_SECONDS = 120
_INSTALL_SECONDS = 300
_STOP_SECONDS = 10


def missing() -> str | None:
    """Say what must be installed first, if anything."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        return f"Node.js {_OLDEST_NODE} or newer, with npm, is not installed"
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True)
    if int(version.stdout.lstrip("v").split(".")[0]) < _OLDEST_NODE:
        return f"Node.js is {version.stdout.strip()}: {_OLDEST_NODE} or newer is needed"
    return None


@contextmanager
def running() -> Iterator[str]:
    """Start the server and yield its URL; it ends with this process at the latest.

    Raises:
        RuntimeError: it cannot be installed or started, or it broke down; what it said is told.
    """
    _install()
    with tempfile.TemporaryFile("w+") as errors:
        with subprocess.Popen(
            ["node", "bridge.mjs"],
            cwd=FOLDER,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process:
            try:
                yield f"postgresql://postgres@127.0.0.1:{_port(process, errors)}/postgres"
            finally:
                status = _stop(process)
        if status:
            raise RuntimeError(f"TimescaleDB ended with status {status}: {_said(errors)}")


def _install() -> None:
    """Install what package-lock.json names, unless that is done."""
    installed, lock = FOLDER / "node_modules/.package-lock.json", FOLDER / "package-lock.json"
    if installed.exists() and installed.stat().st_mtime >= lock.stat().st_mtime:
        return
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    done = subprocess.run(
        command, cwd=FOLDER, capture_output=True, text=True, timeout=_INSTALL_SECONDS
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed in {FOLDER}:\n{done.stdout}{done.stderr}")


def _port(process: subprocess.Popen[str], errors: IO[str]) -> int:
    """Wait until the server listens."""
    assert process.stdout is not None
    with _killed_after(process, _START_SECONDS):
        line = process.stdout.readline()
    if not line.startswith("listening on "):
        raise RuntimeError(
            f"TimescaleDB did not start within {_START_SECONDS} seconds, or broke down: "
            f"{line}{_said(errors)}"
        )
    return int(line.split()[-1])


@contextmanager
def _killed_after(process: subprocess.Popen[str], seconds: float) -> Iterator[None]:
    timer = threading.Timer(seconds, process.kill)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _stop(process: subprocess.Popen[str]) -> int:
    assert process.stdin is not None
    process.stdin.close()  # which it takes for its end
    try:
        return process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def _said(errors: IO[str]) -> str:
    errors.seek(0)
    return errors.read().strip() or "it said nothing"
