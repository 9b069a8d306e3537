"""A PostgreSQL server of our own, shared by every process of one MARKET_PIPELINE_HOME.

One process supervises it (`EmbeddedServer`); all others ask `url` where it is. What can be
killed with -9, and what then holds: a backend or a client, PostgreSQL recovers by itself; the
postmaster, `ensure_running` starts it again; the supervisor, on Linux the kernel asks
PostgreSQL to shut down, elsewhere the next `start` does. Acknowledged commits survive them all.
"""

import contextlib
import ctypes
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg
from psycopg import sql

from market_pipeline.errors import EmbeddedServerError
from market_pipeline.storage import embedded_cluster, embedded_connection
from market_pipeline.storage.embedded_account import ENVIRONMENT
from market_pipeline.storage.embedded_cluster import Cluster
from market_pipeline.storage.embedded_connection import Connection
from market_pipeline.storage.embedded_lock import SupervisorLock, supervisor

DATABASES = ("market", "dagster")
_RETRY_SECONDS = 10.0
_RECOVERY_SECONDS = 300.0
_SHUTDOWN_SECONDS = 60.0
_PR_SET_PDEATHSIG = 1


class AlreadyRunning(EmbeddedServerError):
    """Another process runs the embedded PostgreSQL of this home already."""


class EmbeddedServer:
    """The supervisor of the PostgreSQL server of one home."""

    def __init__(self, home: Path) -> None:
        self._folder = _folder(home)
        self._lock = SupervisorLock(self._folder / "lock")
        self._cluster: Cluster | None = None
        self._connection: Connection | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server and return when the databases `market` and `dagster` are usable.

        Password and port stay what they were; the port changes only if it is taken.

        Raises:
            EmbeddedServerError: another process runs it, this is not the main thread, or
                PostgreSQL cannot run here.
        """
        embedded_cluster.create(self._folder)
        if not self._lock.acquire():
            holder = supervisor(self._folder / "lock")
            raise AlreadyRunning(
                f"The embedded PostgreSQL of {self._folder} is already running, supervised by "
                f"pid {holder.pid if holder else 'unknown'}"
            )
        with contextlib.ExitStack() as undo:
            undo.callback(self.stop)
            _require_main_thread()
            self._cluster = embedded_cluster.prepare(self._folder)
            embedded_cluster.stop_leftovers(self._cluster)
            self._connection = self._launch(self._cluster, _connection(self._cluster))
            _create_databases(self._connection)
            self._lock.declare_ready()
            undo.pop_all()

    def ensure_running(self) -> bool:
        """Start a server that died again; True if it had to. Call this about once a second.

        Raises:
            EmbeddedServerError: it does not start, was never started, or this is not the main
                thread.
        """
        if self._process is None or self._cluster is None or self._connection is None:
            raise EmbeddedServerError("The embedded PostgreSQL has not been started")
        if self._process.poll() is None:
            return False
        _require_main_thread()
        embedded_cluster.stop_leftovers(self._cluster)
        self._connection = self._launch(self._cluster, self._connection)
        return True

    def stop(self) -> None:
        """Shut the server down: running transactions are rolled back. Harmless when stopped."""
        if self._process is not None:
            _shut_down(self._process)
            self._process = None
        self._lock.release()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _launch(self, cluster: Cluster, connection: Connection) -> Connection:
        """Start the postmaster, and write where it is before anybody is told to look."""
        deadline = time.monotonic() + _RETRY_SECONDS
        while True:
            connection = embedded_connection.on_free_port(connection)
            embedded_cluster.configure(cluster, connection.port)
            embedded_connection.write(self._folder, connection)
            self._process = _spawn(cluster)
            if _becomes_ready(cluster, self._process):
                return connection
            # Tried again because a port, or the memory of a server just killed, may be freed.
            if time.monotonic() > deadline:
                raise EmbeddedServerError(
                    f"PostgreSQL does not start. Its log in {cluster.log} ends with: "
                    f"{embedded_cluster.last_words(cluster)}"
                )
            time.sleep(0.25)


def url(home: Path, database: str = "market") -> str:
    """Return where the running server of a home is, password included.

    Raises:
        EmbeddedServerError: no live process supervises a server that takes connections. What a
            killed one left behind in server.json is never returned.
    """
    folder = _folder(home)
    try:
        holder = supervisor(folder / "lock")
        connection = embedded_connection.read(folder)
    except PermissionError as error:
        raise EmbeddedServerError(
            f"{error.filename} belongs to another user: run as the user who started the pipeline"
        ) from error
    if holder is None:
        raise EmbeddedServerError(
            f"The embedded database of {home} is not running: `market-pipeline up` or "
            "`market-pipeline demo` starts it"
        )
    if connection is None or not holder.is_ready:
        raise EmbeddedServerError(
            f"The embedded database of {home} is still starting (pid {holder.pid})"
        )
    return connection.url(database)


@contextlib.contextmanager
def running(home: Path) -> Iterator[str]:
    """Yield the URL of the database `market`, starting a server only if none runs.

    A server that another process runs ends with that process, not with this context.

    Raises:
        EmbeddedServerError: as `EmbeddedServer.start`.
    """
    with contextlib.ExitStack() as stack:
        while True:
            try:
                stack.enter_context(EmbeddedServer(home))
                break
            except AlreadyRunning:
                if _becomes_usable(home):
                    break
        yield url(home)


def _folder(home: Path) -> Path:
    return home.expanduser().resolve() / "postgres"


def _becomes_usable(home: Path) -> bool:
    """Wait for the server that another process is starting; False if that process is gone."""
    deadline = time.monotonic() + _RECOVERY_SECONDS
    while holder := supervisor(_folder(home) / "lock"):
        if holder.is_ready:
            return True
        if time.monotonic() > deadline:
            raise EmbeddedServerError(
                f"The embedded database of {home} is still starting (pid {holder.pid})"
            )
        time.sleep(0.05)
    return False


def _require_main_thread() -> None:
    if threading.current_thread() is not threading.main_thread():
        raise EmbeddedServerError(
            "The embedded PostgreSQL must be started from the main thread: the kernel stops it "
            "when the thread that started it ends"
        )


def _connection(cluster: Cluster) -> Connection:
    """Return what server.json holds; create the cluster or a new password if it is lost."""
    remembered = embedded_connection.read(cluster.folder)
    if not cluster.data.exists():
        # Its password is not that of the cluster to be made, should we be killed before the end.
        embedded_connection.forget(cluster.folder)
        embedded_cluster.initialise(cluster)
    elif remembered is not None:
        return remembered
    password = secrets.token_urlsafe(24)
    embedded_cluster.set_password(cluster, password)
    port = remembered.port if remembered else embedded_connection.FIRST_PORT
    return Connection(embedded_connection.HOST, port, embedded_cluster.SUPERUSER, password)


def _spawn(cluster: Cluster) -> subprocess.Popen[bytes]:
    # A child in the foreground, not pg_ctl: only its parent can reap it, and a dead postmaster
    # that nobody reaps keeps the data folder locked. In its own session, so that Ctrl-C in the
    # terminal reaches us alone.
    with (cluster.log / "start.log").open("wb") as log:
        return subprocess.Popen(
            cluster.command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            env=ENVIRONMENT,
            user=cluster.account.uid,
            group=cluster.account.gid,
            extra_groups=cluster.account.groups,
            start_new_session=True,
            preexec_fn=_end_with_parent(),
        )


def _end_with_parent() -> Callable[[], None] | None:
    """Return what a child must call so that the kernel shuts it down when we are killed."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl
    parent = os.getpid()

    def ask_kernel() -> None:
        # Python runs this after it changed the account; changing it would cancel the request.
        prctl(_PR_SET_PDEATHSIG, signal.SIGINT)
        if os.getppid() != parent:  # Killed before the request was made.
            os._exit(1)

    return ask_kernel


def _becomes_ready(cluster: Cluster, process: subprocess.Popen[bytes]) -> bool:
    """Wait for the server, which may have to recover from a crash; False if it gave up."""
    deadline = time.monotonic() + _RECOVERY_SECONDS
    while process.poll() is None:
        if embedded_cluster.is_ready(cluster, process.pid):
            return True
        if time.monotonic() > deadline:
            _shut_down(process)
            return False
        time.sleep(0.02)
    return False


def _shut_down(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)
    try:
        process.wait(_SHUTDOWN_SECONDS)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGQUIT)
        process.wait(_SHUTDOWN_SECONDS)


def _create_databases(connection: Connection) -> None:
    try:
        with psycopg.connect(
            connection.url("postgres"), autocommit=True, sslmode="disable"
        ) as database:
            present = {row[0] for row in database.execute("SELECT datname FROM pg_database")}
            for name in DATABASES:
                if name not in present:
                    database.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    except psycopg.Error as error:
        raise EmbeddedServerError(f"The embedded PostgreSQL cannot be used: {error}") from error
