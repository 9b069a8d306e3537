"""One exchange, one database and one stream between them, to be broken; then every packet counted.

The stream is a process of its own, started again a second after it ended, as the sensor does.
"""

import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import psycopg

from market_pipeline import brokers, processes, proof
from market_pipeline.commands.verify import verify
from market_pipeline.config import Settings
from market_pipeline.proof import Verdict
from market_pipeline.sessions import trading_date
from market_pipeline.storage import instruments
from market_pipeline.storage.database import Database
from market_pipeline_tests.acceptance.demo import within
from market_pipeline_tests.builders import fetch
from market_pipeline_tests.faults import run
from market_pipeline_tests.faults.exchange import Exchange

LIVE_SECONDS = 150.0
_STORE_SECONDS = 30.0
_RESTART_SECONDS = 1.0
_SAMPLE_SECONDS = 0.1


@dataclass
class World:
    """What a fault can reach. `recovered_in` and `causes` are for the fault to fill in."""

    home: Path
    exchange: Exchange
    database: Database
    url: str
    """Where the stream finds the database; perhaps through something that can be cut."""
    full: bool = False
    variables: Mapping[str, str] = field(default_factory=dict)
    standby: Exchange | None = None
    """A second broker in front of the same trades, if the stream listens to two."""
    names: list[str] = field(default_factory=list)
    recovered_in: float = 0.0
    peak_rss: float = 0.0
    gaps: int = 0

    def __post_init__(self) -> None:
        self.broker = self.exchange.broker
        self.exchanges = [self.exchange, *([self.standby] if self.standby else [])]
        names = ",".join(each.broker.value for each in self.exchanges)
        self.stream_name = f"{self.broker.value}-0"
        self.journal = self.home / "journal" / self.stream_name
        self.log = self.home / "stream.log"
        self.settings = Settings(
            market_pipeline_home=self.home,
            broker=names,  # as a user writes it
            simulator_url=self.exchange.url,
            standby_simulator_url=self.exchanges[-1].url,
            _env_file=None,
        )
        self.clock_file = self.home / "clock"
        self._ending = threading.Event()
        self._processes: list[subprocess.Popen[bytes]] = []
        self._threads: list[threading.Thread] = []

    def log_in(self) -> None:
        for settings in self.settings.each_broker:
            brokers.log_in_to_simulator(settings)

    def subscribe_all(self) -> None:
        """Log in, take the exchange's master over and subscribe all of it."""
        self.log_in()
        today = trading_date(datetime.now(UTC))
        for settings in reversed(self.settings.each_broker):
            master = brokers.open_broker(settings).instruments()
            name, yields_to = settings.broker, settings.broker.yields_to
            instruments.sync(self.database, name.value, master, today, yields_to)
        self.names = [f"{row[0]}:{row[1]}" for row in master.select("exchange", "symbol").rows()]
        instruments.subscribe(self.database, self.broker.value, self.names)

    def start(self) -> None:
        """Start the stream, keep it running, and return when ticks are stored."""
        for target in (self._keep_running, self._watch_memory):
            self._threads.append(threading.Thread(target=target))
            self._threads[-1].start()
        self.await_live()

    def stream_command(self) -> subprocess.Popen[bytes]:
        """Start one stream process, whatever else runs."""
        with self.log.open("ab") as log:
            return subprocess.Popen(
                run.command("stream", self.stream_name),
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def environment(self) -> dict[str, str]:
        """Return the environment in which commands meet this world."""
        return run.environment(
            MARKET_PIPELINE_HOME=str(self.home),
            DATABASE_URL=self.url,
            BROKER=self.settings.broker_names,
            SIMULATOR_URL=self.settings.simulator_url,
            STANDBY_SIMULATOR_URL=self.settings.standby_simulator_url,
            **self.variables,
        )

    def _keep_running(self) -> None:
        while not self._ending.is_set():
            if not self._processes or self._processes[-1].poll() is not None:
                if self._processes and self._ending.wait(_RESTART_SECONDS):
                    return
                self._processes.append(self.stream_command())
            self._ending.wait(0.05)

    def _watch_memory(self) -> None:
        while not self._ending.wait(_SAMPLE_SECONDS):
            for process in self._processes[-1:]:
                try:
                    rss = psutil.Process(process.pid).memory_info().rss / 1e6
                except psutil.Error:
                    continue
                self.peak_rss = max(self.peak_rss, rss)

    @property
    def stream(self) -> psutil.Process:
        """The stream's process, as soon as one runs."""
        within(20, lambda: bool(self._processes) and self._processes[-1].poll() is None, self.say)
        return psutil.Process(self._processes[-1].pid)

    @property
    def starts(self) -> int:
        """How many processes the stream has had."""
        return len(self._processes)

    def say(self) -> str:
        """Return the end of what the stream said."""
        return self.log.read_text("utf-8", "replace")[-3000:] if self.log.exists() else ""

    def await_live(self, since: datetime | None = None) -> float:
        """Wait until something received after `since` is stored; return how long that took."""
        begun = time.monotonic()
        since = since or datetime.now(UTC)
        query = "SELECT count(*) FROM journal_positions WHERE last_received_at > %s"
        tick = "SELECT EXISTS (SELECT FROM ticks WHERE received_at > %s)"

        def is_live() -> bool:
            try:
                moved = fetch(self.database, query, since)[0][0]
                return bool(moved and fetch(self.database, tick, since)[0][0])
            except psycopg.OperationalError:
                return False

        poll(LIVE_SECONDS, is_live, self.say)
        return time.monotonic() - begun

    def recover(self) -> None:
        """Measure from now how long it takes until ticks that arrive from now on are stored."""
        self.recovered_in = max(self.recovered_in, self.await_live())

    def await_state(self, state: str, seconds: float = 30) -> None:
        query = "SELECT state FROM streams"

        def is_so() -> bool:
            try:
                return (state,) in fetch(self.database, query)
            except psycopg.OperationalError:
                return False

        poll(seconds, is_so, self.say)

    def packets(self) -> int:
        """Return how many packets the exchange has sent."""
        return int(self.exchange.status()["packets_sent"])

    def let_pass(self, packets: int) -> None:
        """Return when so many more packets have been sent."""
        target = self.packets() + packets
        poll(60, lambda: self.packets() >= target, self.say)

    def stop(self) -> None:
        """End the stream in order: what it has received is stored then."""
        self._ending.set()
        for thread in self._threads:
            thread.join()
        for process in self._processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            process.wait(_STORE_SECONDS)

    def kill(self) -> None:
        """End everything at once; for the end of a test that failed."""
        self._ending.set()
        for thread in self._threads:
            thread.join()
        alive = [psutil.Process(each.pid) for each in self._processes if each.poll() is None]
        processes.signal_all(alive, signal.SIGKILL)
        for process in self._processes:
            process.wait(10)

    def count(self) -> Verdict:
        """Compare what was sent, by each broker, with what is stored."""
        self.gaps = int(self.value("SELECT count(*) FROM gaps"))
        return proof.joined(
            [verify(self.database, each.broker.value, each.ledger) for each in self.exchanges]
        )

    def value(self, query: Any, *values: Any) -> Any:
        rows = fetch(self.database, query, *values)
        return rows[0][0] if rows else None

    def causes(self) -> list[str]:
        """Return the causes of all gaps, in order."""
        return [str(row[0]) for row in fetch(self.database, "SELECT cause FROM gaps ORDER BY 1")]


def poll(seconds: float, ask: Callable[[], bool], explain: Callable[[], object]) -> None:
    """Ask often until the answer is yes; fail when time is up."""
    deadline = time.monotonic() + seconds
    while not ask():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {explain()}"
        time.sleep(0.03)
