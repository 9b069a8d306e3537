"""The data folder of the embedded PostgreSQL: how it is made, configured and freed."""

import hashlib
import os
import shutil
import signal
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import psutil

from market_pipeline.errors import EmbeddedServerError
from market_pipeline.storage import embedded_account, embedded_binaries
from market_pipeline.storage.embedded_account import Account
from market_pipeline.storage.embedded_binaries import Binaries

SUPERUSER = "market_pipeline"
_OUR_SETTINGS = "market_pipeline.conf"
_LOGIN_RULES = """\
host all         all 127.0.0.1/32 scram-sha-256
host replication all 127.0.0.1/32 scram-sha-256
"""
_SHUTDOWN_SECONDS = 60.0
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",  # The path of a socket is limited to 107 bytes.
    "timezone": "UTC",
    "log_timezone": "UTC",
    "max_connections": "100",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "jit": "off",
    # POSIX shared memory is 64 MB in docker, and logind's RemoveIPC deletes it at logout.
    "dynamic_shared_memory_type": "mmap",
    "logging_collector": "on",
    "log_filename": "postgres-%a.log",
    "log_rotation_age": "1d",
    "log_rotation_size": "0",
    "log_truncate_on_rotation": "on",
}


class Cluster(NamedTuple):
    folder: Path
    binaries: Binaries
    account: Account

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def log(self) -> Path:
        return self.folder / "log"

    @property
    def title(self) -> str:
        """How the server's processes name themselves: cluster_name."""
        return f"{SUPERUSER}-{hashlib.sha256(os.fsencode(self.data)).hexdigest()[:12]}"

    @property
    def command(self) -> list[str]:
        return [str(self.binaries.folder / "postgres"), "-D", str(self.data)]


def create(folder: Path) -> None:
    """Create a folder and its missing parents, open to the server's account if we are root.

    Raises:
        EmbeddedServerError: it cannot be written to.
    """
    missing = [path for path in [folder, *folder.parents] if not path.exists()]
    try:
        for path in reversed(missing):
            path.mkdir(exist_ok=True)
            if os.geteuid() == 0:
                path.chmod(0o755)  # Whatever root's umask is; only what we create ourselves.
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise EmbeddedServerError(
            f"{folder} is not writable ({error.strerror}): set MARKET_PIPELINE_HOME to a folder "
            "of your own"
        ) from error


def prepare(folder: Path) -> Cluster:
    """Find programs and account for the cluster in `folder`.

    Raises:
        EmbeddedServerError: says what is missing or closed.
    """
    account = embedded_account.choose(folder / "data")
    closed = account.first_closed(folder)
    if closed:
        raise EmbeddedServerError(
            f"{closed} is closed to the account {account.name} that PostgreSQL runs under: allow "
            f"it with `chmod o+x {closed}`, or set MARKET_PIPELINE_HOME to a folder such as "
            "/var/lib/market_pipeline"
        )
    for leftover in folder.glob("unfinished-*"):
        shutil.rmtree(leftover, ignore_errors=True)  # A dead supervisor's initdb may still write.
    binaries = embedded_binaries.find(_major_of(folder / "data"))
    return Cluster(folder, embedded_binaries.for_account(binaries, account, folder), account)


def initialise(cluster: Cluster) -> None:
    """Create the data folder, completely or not at all.

    It is filled under another name and renamed: an initdb that was killed half-way leaves only
    an unfinished folder, which the next start deletes.
    """
    new = Path(tempfile.mkdtemp(prefix="unfinished-", dir=cluster.folder))
    cluster.account.give(new)
    arguments = [f"--username={SUPERUSER}", "--encoding=UTF8", "--locale=C", "--data-checksums"]
    if cluster.binaries.major >= 17:  # Sorts alike whatever the system's libraries are.
        arguments += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    initdb = cluster.binaries.folder / "initdb"
    done = cluster.account.run(initdb, "-D", new, "--auth=reject", *arguments)
    if done.returncode:
        raise EmbeddedServerError(f"initdb failed: {done.stderr.strip() or done.stdout.strip()}")
    with (new / "postgresql.conf").open("a") as file:
        file.write(f"\ninclude_if_exists = '{_OUR_SETTINGS}'\n")
    (new / "pg_hba.conf").write_text(_LOGIN_RULES)
    os.rename(new, cluster.data)


def set_password(cluster: Cluster, password: str) -> None:
    """Give the superuser a password while no server runs."""
    statement = f"ALTER ROLE {SUPERUSER} PASSWORD '{password}'\n"
    postgres, *rest = cluster.command
    done = cluster.account.run(postgres, "--single", *rest, "postgres", text=statement)
    # A statement that fails in this mode does not fail the program.
    if done.returncode or "ERROR:" in done.stderr:
        raise EmbeddedServerError(f"The password cannot be set: {done.stderr.strip()}")


def configure(cluster: Cluster, port: int) -> None:
    """Write our settings; `ALTER SYSTEM` overrides them and survives."""
    cluster.log.mkdir(mode=0o700, exist_ok=True)
    cluster.account.give(cluster.log)
    settings = _SETTINGS | {
        "port": str(port),
        "cluster_name": cluster.title,
        "log_directory": str(cluster.log),
    }
    file = cluster.data / _OUR_SETTINGS
    file.write_text("".join(f"{name} = {_quoted(value)}\n" for name, value in settings.items()))
    cluster.account.give(file)


def stop_leftovers(cluster: Cluster) -> None:
    """Wait until no process of an earlier supervisor uses the data folder.

    The caller holds the supervisor's lock, so whatever runs here has lost its supervisor.
    Only processes that are verified to be PostgreSQL on this very folder are signalled.

    Raises:
        EmbeddedServerError: one of them does not go away.
    """
    pid_file = cluster.data / "postmaster.pid"
    if not pid_file.exists():
        return
    _signal(_postmasters(cluster), signal.SIGINT)
    if not _are_gone(cluster, _SHUTDOWN_SECONDS):
        _signal(_postmasters(cluster), signal.SIGQUIT)
        if not _are_gone(cluster, _SHUTDOWN_SECONDS):
            pids = ", ".join(str(process.pid) for process in _processes(cluster))
            raise EmbeddedServerError(f"An earlier PostgreSQL on {cluster.data} hangs: pid {pids}")
    # The pid may by now be a zombie, or another program's: PostgreSQL would refuse to start for
    # ever. If it is free we leave the file: PostgreSQL then does its own check of shared memory.
    recorded = _recorded_pid(pid_file)
    if recorded is not None and psutil.pid_exists(recorded):
        pid_file.unlink(missing_ok=True)


def is_ready(cluster: Cluster, pid: int) -> bool:
    """Tell whether the postmaster `pid` takes connections."""
    try:
        lines = (cluster.data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return False
    return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"


def last_words(cluster: Cluster) -> str:
    """Return the end of what the server logged last."""
    logs = sorted(cluster.log.glob("*.log"), key=lambda path: path.stat().st_mtime)
    lines = logs[-1].read_text(errors="replace").splitlines() if logs else []
    return " / ".join(line for line in lines[-5:] if line) or "nothing was logged"


def _major_of(data: Path) -> int | None:
    try:
        return int((data / "PG_VERSION").read_text())
    except FileNotFoundError:
        return None


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'"


def _recorded_pid(pid_file: Path) -> int | None:
    try:
        return abs(int(pid_file.read_text().split()[0]))
    except (FileNotFoundError, IndexError, ValueError):
        return None


def _processes(cluster: Cluster) -> list[psutil.Process]:
    return [
        process
        for process in psutil.process_iter()
        if _is_postmaster(cluster, process) or _command(process)[0].startswith(_title(cluster))
    ]


def _postmasters(cluster: Cluster) -> list[psutil.Process]:
    return [process for process in psutil.process_iter() if _is_postmaster(cluster, process)]


def _is_postmaster(cluster: Cluster, process: psutil.Process) -> bool:
    program, *arguments = _command(process)
    return Path(program).name == "postgres" and str(cluster.data) in arguments


def _title(cluster: Cluster) -> str:
    return f"postgres: {cluster.title}: "


def _command(process: psutil.Process) -> list[str]:
    """Return how a process was started or names itself now; a zombie has no command."""
    try:
        # Not exe() or cwd(): in a container not even root may read them of another account.
        return process.cmdline() or [""]
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return [""]


def _signal(processes: list[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            continue


def _are_gone(cluster: Cluster, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while _processes(cluster):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
