"""What `market-pipeline demo` and `up` run: the database, the simulator and Dagster, supervised.

Every process carries MARKET_PIPELINE_STACK and MARKET_PIPELINE_STACK_HOME in its environment, and
so does whatever it starts in turn: the workers of Dagster's runs live in sessions of their own and
are found by that alone. Stopping ends the workers first, which store what they hold, then the
services, and PostgreSQL last. What a supervisor that was killed with -9 left behind is ended by
the next one of the same home.
"""

import contextlib
import json
import logging
import os
import signal
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

import psutil

from market_pipeline import processes, services
from market_pipeline.config import Settings
from market_pipeline.errors import MarketPipelineError
from market_pipeline.processes import Child, Service
from market_pipeline.storage import embedded, schema
from market_pipeline.storage.embedded import EmbeddedServer
from market_pipeline.storage.embedded_lock import SupervisorLock, supervisor

log = logging.getLogger(__name__)

_STACK = "MARKET_PIPELINE_STACK"
_STACK_HOME = "MARKET_PIPELINE_STACK_HOME"
_START_SECONDS = 120.0
_MOST_DEATHS_AT_START = 3
_POLL_SECONDS = 0.2
# Together below the 15 seconds that `stop` promises.
_FLUSH_SECONDS = 8.0
_END_SECONDS = 3.0


class StackRunning(MarketPipelineError):
    """Another process runs the stack of this home already. Stop it first."""


class ServiceFailed(MarketPipelineError):
    """A service of the stack did not start. Its log is in MARKET_PIPELINE_HOME/logs."""


class Stack:
    """All processes of one home. Entering takes the home, leaving ends every process.

    Use it from the main thread: the kernel ends what is started when the starting thread ends.
    """

    def __init__(self, settings: Settings) -> None:
        self.home = settings.market_pipeline_home.expanduser().resolve()
        self.settings = settings.model_copy(update={"market_pipeline_home": self.home})
        self.id = uuid.uuid4().hex
        self._lock = SupervisorLock(self.home / "run" / "lock")
        self._server: EmbeddedServer | None = None
        self._children: dict[str, Child] = {}
        self._environment: dict[str, str] = {}

    @property
    def dagster_url(self) -> str:
        return f"http://{services.HOST}:{self.settings.dagster_port}"

    def __enter__(self) -> Self:
        for folder in ("run", "logs"):
            (self.home / folder).mkdir(parents=True, exist_ok=True)
        if not self._lock.acquire():
            holder = supervisor(self.home / "run" / "lock")
            raise StackRunning(
                f"The pipeline of {self.home} is already running (pid "
                f"{holder.pid if holder else 'unknown'}): stop it first, or choose another "
                "MARKET_PIPELINE_HOME"
            )
        try:
            processes.end(self._leftovers, _END_SECONDS)
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def start_database(self) -> list[str]:
        """Start the embedded PostgreSQL unless another is configured; bring its schema up to date.

        Returns the migrations that were applied.

        Raises:
            DatabaseError: it does not start, or cannot be brought up to date.
        """
        if self.settings.database_url is None:
            self._server = EmbeddedServer(self.home)
            self._server.start()
        applied = schema.prepare(database_url(self.settings), self.settings)
        self._environment = self._environment_of_children()
        return applied

    def start(self, *wanted: Service) -> None:
        """Start services; `wait_until_ready` tells when they serve."""
        for service in wanted:
            child = Child(service, self.home / "logs")
            processes.rotate(child.log)
            self._children[service.name] = child
            child.start(self._environment, time.monotonic())
        self._record()

    def wait_until_ready(self, name: str) -> None:
        """Return when a service serves; what dies meanwhile is started again, but not for ever.

        Raises:
            ServiceFailed: it keeps dying or does not answer; names its log.
        """
        child = self._children[name]
        deadline = time.monotonic() + _START_SECONDS
        while child.pid is None or not child.service.is_ready():
            if child.deaths >= _MOST_DEATHS_AT_START or time.monotonic() > deadline:
                problem = "keeps ending" if child.deaths else "does not answer"
                raise ServiceFailed(
                    f"{name} {problem}. Its log {child.log} ends with: {child.last_words()}"
                )
            self.watch()
            time.sleep(_POLL_SECONDS)

    def watch(self) -> list[str]:
        """Start again what died and return the names; call this about once a second.

        Raises:
            DatabaseError: the embedded PostgreSQL died and does not start again.
        """
        if self._server is not None and self._server.ensure_running():
            log.warning("PostgreSQL died and was started again")
            self._follow_database()
        now = time.monotonic()
        revived = [
            name for name, child in self._children.items() if child.revive(self._environment, now)
        ]
        if revived:
            log.warning("started again: %s", ", ".join(revived))
            self._record()
        return revived

    def stop(self) -> None:
        """End every process of the stack within 15 seconds; nothing interrupts it."""
        _ignore_signals()
        if self._children:
            processes.end(self._workers, _FLUSH_SECONDS)
            processes.end(self._members, _END_SECONDS)
            self._children.clear()
        if self._server is not None:
            self._server.stop()
            self._server = None
        self._lock.release()

    def _environment_of_children(self) -> dict[str, str]:
        services.prepare_dagster_home(self.home)
        marks = {_STACK: self.id, _STACK_HOME: str(self.home), "PYTHONUNBUFFERED": "1"}
        return {**os.environ, **variables(self.settings), **marks}

    def _follow_database(self) -> None:
        """End processes that know an address PostgreSQL no longer has; `watch` revives them."""
        environment = self._environment_of_children()
        if environment != self._environment:
            self._environment = environment
            processes.end(self._members, _END_SECONDS)

    def _record(self) -> None:
        """Write what runs, for `market-pipeline env` and for the next supervisor."""
        content = {
            "id": self.id,
            "dagster_url": self.dagster_url,
            "api_url": services.api_url(self.settings),
            "simulator_url": self.settings.simulator_url,
            "standby_simulator_url": self.settings.standby_simulator_url,
            "broker": self.settings.broker_names,
            "pids": {name: child.pid for name, child in self._children.items()},
        }
        new = self.home / "run" / "stack.json.new"
        new.write_text(json.dumps(content, indent=2), "utf-8")
        new.replace(record_file(self.home))

    def _members(self) -> list[psutil.Process]:
        for child in self._children.values():
            child.reap()
        return processes.marked(_STACK, self.id)

    def _workers(self) -> list[psutil.Process]:
        """Return the workers of runs, and the daemon, which would start others in their place."""
        staying = {c.pid for c in self._children.values() if c.service.name != services.DAEMON}
        return [
            each for each in self._members() if each.pid not in staying and not _is_tracker(each)
        ]

    def _leftovers(self) -> list[psutil.Process]:
        return processes.marked(_STACK_HOME, str(self.home))


def database_url(settings: Settings) -> str:
    """Return where the market database is, password included.

    Raises:
        EmbeddedServerError: it is embedded and not running.
    """
    if settings.database_url is not None:
        return settings.database_url.get_secret_value()
    return embedded.url(settings.market_pipeline_home)


def variables(settings: Settings) -> dict[str, str]:
    """Return the environment with which a program works on the running stack of a home."""
    home = settings.market_pipeline_home.expanduser().resolve()
    configured = settings.database_url
    # With an embedded market database Dagster's is embedded too: the demo uses no other.
    chosen = os.environ.get("DAGSTER_DATABASE_URL") if configured else None
    return {
        "MARKET_PIPELINE_HOME": str(home),
        "BROKER": settings.broker_names,
        "SIMULATOR_URL": settings.simulator_url,
        "STANDBY_SIMULATOR_URL": settings.standby_simulator_url,
        "SIMULATOR_ALWAYS_OPEN": str(settings.simulator_always_open).lower(),
        # Empty also hides what a .env file says: the demo never writes to that database.
        "DATABASE_URL": configured.get_secret_value() if configured else "",
        "ARCHIVE_URL": settings.archive_url,
        "DAGSTER_URL": f"http://{services.HOST}:{settings.dagster_port}",
        "DAGSTER_HOME": str(services.dagster_home(home)),
        "DAGSTER_DATABASE_URL": services.dagster_url(settings, chosen),
    }


def record_file(home: Path) -> Path:
    return home.expanduser().resolve() / "run" / "stack.json"


def running(home: Path) -> dict[str, Any]:
    """Return what the supervisor of a home has written about its stack.

    Raises:
        MarketPipelineError: nothing runs there.
    """
    path = record_file(home)
    if supervisor(path.parent / "lock") is None or not path.is_file():
        raise MarketPipelineError(
            f"Nothing runs in {path.parents[1]}: `market-pipeline up` or `market-pipeline demo` "
            "starts it"
        )
    content: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return content


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Turn the first Ctrl-C, SIGTERM or hang-up into KeyboardInterrupt; ignore those that follow.

    What follows the first would only break the stopping.
    """
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup wants us to stay
        numbers.append(signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}

    def interrupt(number: int, frame: FrameType | None) -> None:
        _ignore_signals()
        raise KeyboardInterrupt

    for number in numbers:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ignore_signals() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)


def _is_tracker(process: psutil.Process) -> bool:
    """Tell a helper of multiprocessing, which ends with the code server and ignores SIGTERM."""
    try:
        return any("resource_tracker" in word for word in process.cmdline())
    except psutil.Error:
        return True  # gone
