"""Which process a stream is, so that others on its machine can tell whether it still runs."""

import os
import socket
from pathlib import Path

import psutil


def of_this_process() -> str:
    """Return what no other process has, now or later: its machine, its number and its beginning."""
    pid = os.getpid()
    return f"{_place()} {pid} {_begun(pid)}"


def is_gone(identity: str) -> bool:
    """Tell whether that process has surely ended; never true of one on another machine."""
    place, pid, begun = identity.rsplit(" ", 2)
    return place == _place() and _begun(int(pid)) != begun


def _place() -> str:
    """Name the machine, or the container: whatever has process numbers of its own."""
    namespace, machine = Path("/proc/self/ns/pid"), Path("/etc/machine-id")
    parts = [socket.gethostname()]
    parts += [str(namespace.stat().st_ino)] if namespace.exists() else []
    parts += [machine.read_text().strip()] if machine.is_file() else []
    return "/".join(parts)


def _begun(pid: int) -> str:
    """Return when a process began by a clock that nobody can set, "" if there is none.

    psutil counts from the machine's clock, so its answer would change when that is corrected.
    """
    stat = Path(f"/proc/{pid}/stat")
    try:
        if Path("/proc/self/stat").exists():
            state, *fields = stat.read_text().rpartition(")")[2].split()
            return "" if state == "Z" else fields[18]  # starttime, see proc(5)
        return str(psutil.Process(pid).create_time())
    except (OSError, psutil.Error):
        return ""
