"""The same world with all of `market-pipeline up` in it: Dagster starts the stream again."""

import signal
import subprocess
import threading
from pathlib import Path

import psutil
import psycopg

from market_pipeline import processes
from market_pipeline.proof import Verdict
from market_pipeline.storage import embedded
from market_pipeline.storage.database import Database
from market_pipeline_tests.acceptance.demo import READY, START_SECONDS, STOP_SECONDS, free_port
from market_pipeline_tests.faults import run
from market_pipeline_tests.faults.exchange import Exchange
from market_pipeline_tests.faults.world import World, poll

LIVE_SECONDS = 150.0


class StackWorld(World):
    """Everything that `up` starts, and an exchange that it did not start."""

    def __init__(self, home: Path, exchange: Exchange, full: bool) -> None:
        super().__init__(home, exchange, Database(""), "", full)
        self.log = home / "up.log"
        self._up: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start `up` and a thread that watches memory; return when ticks are stored."""
        self.start_stack()
        self.subscribe_all()
        self._threads.append(threading.Thread(target=self._watch_memory))
        self._threads[-1].start()
        poll(LIVE_SECONDS, self._has_ticks, self.say)

    def start_stack(self) -> None:
        environment = run.environment(
            MARKET_PIPELINE_HOME=str(self.home),
            BROKER=self.broker.value,
            SIMULATOR_URL=self.exchange.url,
            DAGSTER_PORT=str(free_port()),
            DATABASE_URL="",
        )
        if self._up is not None:
            self._up.wait(STOP_SECONDS)
        said = len(self._said())
        with self.log.open("ab") as log:
            self._up = subprocess.Popen(
                run.command("up"),
                env=environment,
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        poll(START_SECONDS, lambda: self._is_ready(said), self.say)
        self.database = Database(embedded.url(self.home))

    def _is_ready(self, said: int) -> bool:
        assert self._up is None or self._up.poll() is None, f"up ended: {self.say()}"
        return READY in self._said()[said:]

    def _said(self) -> str:
        return self.log.read_text("utf-8", "replace") if self.log.exists() else ""

    def _has_ticks(self) -> bool:
        try:
            return bool(self.value("SELECT EXISTS (SELECT FROM ticks)"))
        except psycopg.Error:
            return False

    def _watch_memory(self) -> None:
        while not self._ending.wait(1.0):
            for process in run.writers_of(self.journal):
                try:
                    self.peak_rss = max(self.peak_rss, process.memory_info().rss / 1e6)
                except psutil.Error:
                    continue

    @property
    def stream(self) -> psutil.Process:
        poll(LIVE_SECONDS, lambda: bool(run.writers_of(self.journal)), self.say)
        return run.writers_of(self.journal)[0]

    def members(self) -> list[psutil.Process]:
        """Return all processes of the stack, PostgreSQL's and the supervisor's included."""
        marked = processes.marked("MARKET_PIPELINE_STACK_HOME", str(self.home.resolve()))
        found = {each.pid: each for each in marked}
        assert self._up is not None
        if self._up.poll() is None:
            supervisor = psutil.Process(self._up.pid)
            found |= {each.pid: each for each in supervisor.children(recursive=True)}
            found[supervisor.pid] = supervisor
        return list(found.values())

    def service(self, program: str, *words: str) -> psutil.Process:
        """Return the process of the stack with these words in its command line."""

        def matching() -> list[psutil.Process]:
            found = []
            for each in self.members():
                try:
                    line = each.cmdline()
                except psutil.Error:
                    continue
                if any(part.endswith(program) for part in line) and set(words) <= set(line):
                    found.append(each)
            return found

        poll(60, lambda: bool(matching()), self.say)
        return matching()[0]

    def stop(self) -> None:
        """End the stack in order, as Ctrl-C does."""
        self._ending.set()
        for thread in self._threads:
            thread.join()
        assert self._up is not None
        self._up.send_signal(signal.SIGTERM)
        assert self._up.wait(2 * STOP_SECONDS) == 0, self.say()

    def kill(self) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join()
        if self._up is not None:
            processes.signal_all(self.members(), signal.SIGKILL)
            self._up.wait(10)

    def count(self) -> Verdict:
        """Compare what was sent with what is stored; the database is started again for it."""
        with embedded.running(self.home) as url:
            self.database = Database(url)
            return super().count()

    def await_revival(self, ended: psutil.Process, program: str, *words: str) -> None:
        """Return when another process does what the ended one did."""
        poll(60, lambda: self.service(program, *words).pid != ended.pid, self.say)
