"""A backfill by the real command against a simulator that keeps Kite's limits, killed on its way.

What is counted is what the simulator was asked for and what the database holds afterwards.
"""

import contextlib
import random
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import psutil
import psycopg

from market_pipeline import brokers, processes
from market_pipeline.config import Settings
from market_pipeline.sessions import Calendar, Session, trading_date
from market_pipeline.simulator.kite_server import SimulatorOptions, build_exchange
from market_pipeline.storage import embedded, instruments, schema
from market_pipeline.storage.database import Database
from market_pipeline.storage.embedded import EmbeddedServer
from market_pipeline_tests.acceptance.demo import clean_environment, free_port, within
from market_pipeline_tests.builders import fetch
from market_pipeline_tests.faults import run

LAST = date(2026, 11, 24)
STARTS_AT = "2026-11-25 20:00:00"
"""What the exchange's clock shows first: its calendar ends with the year."""

_LONGEST_SECONDS = 900.0


@dataclass(frozen=True)
class Drill:
    """What a backfill has come to."""

    least: int
    """How few requests could have fetched it."""
    asked: int
    refused: int
    repeated: int
    stored: int
    """Answers; one that is stored need not be asked for again."""
    candles: int
    expected: int
    differing: int
    rate: float
    """Requests a second from the first to the last, without the pauses after kills."""
    rows_per_second: float
    most_megabytes: float
    kills: int


class World:
    """An exchange in its hours, a database, and `count` shares that are subscribed."""

    def __init__(self, home: Path, count: int) -> None:
        self.home = home
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._log = home / "exchange.log"
        command = run.command("simulator", "--port", str(port), "--exchange-hours")
        command += ["--instruments", "200", "--starts-at", STARTS_AT]
        self.exchange = processes.spawn(command, run.environment(), self._log)
        self._client = httpx.Client(base_url=self.url, timeout=30, trust_env=False)
        within(30, self._answers, self.log)
        self.settings = Settings(
            _env_file=None,
            simulator_url=self.url,
            simulator_always_open=False,
            market_pipeline_home=home,
        )
        brokers.log_in_to_simulator(self.settings)
        self.database = Database(embedded.url(home))
        schema.prepare(self.database.url, self.settings)
        master = brokers.open_broker(self.settings).instruments()
        instruments.sync(self.database, "simulator", master, trading_date(datetime.now(UTC)))
        options = SimulatorOptions(
            instruments=200, always_open=False, starts_at=datetime.fromisoformat(STARTS_AT)
        )
        self.truth, _ = build_exchange(options)
        names = master.filter(exchange="NSE", kind="EQ").head(count)["symbol"].to_list()
        instruments.subscribe(self.database, "simulator", names)

    def log(self) -> str:
        return self._log.read_text("utf-8", "replace")

    def _answers(self) -> bool:
        assert self.exchange.poll() is None, self.log()
        try:
            return self._client.get("/simulator/requests").status_code == 200
        except httpx.HTTPError:
            return False

    def requests(self) -> dict[str, Any]:
        """Return what the exchange was asked for, as it counts."""
        content: dict[str, Any] = self._client.get("/simulator/requests").json()
        return content

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a command of the pipeline in a process of its own."""
        environment = clean_environment(self.home) | {
            "SIMULATOR_URL": self.url,
            "SIMULATOR_ALWAYS_OPEN": "false",
            "DATABASE_URL": "",
        }
        return processes.spawn(run.command(*arguments), environment, self.home / "command.log")

    def scalar(self, statement: str) -> Any:
        with psycopg.connect(self.database.url) as connection:
            row = connection.execute(statement.encode()).fetchone()
        return row[0] if row else None

    def stop(self) -> None:
        self._client.close()
        self.exchange.terminate()
        self.exchange.wait(10)


@contextmanager
def world(home: Path, count: int) -> Iterator[World]:
    """Run an exchange and a database for a drill."""
    with EmbeddedServer(home):
        made = World(home, count)
        try:
            yield made
        finally:
            made.stop()


def drill(there: World, days: int, kills: int, seed: int = 1) -> Drill:
    """Fetch `days` calendar days of what is subscribed; kill -9 the command at random moments."""
    chance = random.Random(seed)
    first = LAST - timedelta(days=days - 1)
    sessions = [each for day in Calendar().days(first, LAST, "NSE") if (each := session_of(day))]
    ids = [row[0] for row in fetch(there.database, "SELECT instrument_id FROM subscriptions")]
    least = len(ids) * fewest([session.day for session in sessions], 60)
    most = 0.0
    for moment in [*sorted(chance.sample(range(1, least), kills)), None]:
        process = there.start("backfill", "--from", str(first), "--to", str(LAST))
        most = max(most, watch(there, process, moment, chance))
        log = (there.home / "command.log").read_text("utf-8", "replace")
        assert process.returncode == (0 if moment is None else -9), log
    asked = there.requests()
    return Drill(
        least=least,
        asked=asked["accepted"]["historical"],
        refused=sum(asked["refused"].values()),
        repeated=sum(each["count"] - 1 for each in asked["history"]),
        stored=there.scalar("SELECT count(*) FROM backfills"),
        candles=there.scalar("SELECT count(*) FROM broker_candles"),
        expected=len(ids) * sum(minutes(session) for session in sessions),
        differing=sum(differing(there, each, sessions) for each in chance.sample(ids, 3)),
        rate=there.scalar(_RATE),
        rows_per_second=there.scalar(_ROWS),
        most_megabytes=most,
        kills=kills,
    )


_ANSWERS = """
    SELECT candles, extract(epoch FROM answered_at - lag(answered_at) OVER by_time) AS took
    FROM backfills WINDOW by_time AS (ORDER BY answered_at)
"""
# Without the pauses after kills.
_RATE = f"SELECT (count(*) / sum(took))::float8 FROM ({_ANSWERS}) AS answers WHERE took < 2"  # noqa: S608
_ROWS = f"SELECT (sum(candles) / sum(took))::float8 FROM ({_ANSWERS}) AS answers WHERE took < 2"  # noqa: S608


def watch(
    there: World, process: subprocess.Popen[bytes], moment: int | None, chance: random.Random
) -> float:
    """Wait for a command's end, or kill it after a number of answers; return its most megabytes."""
    watched, most = psutil.Process(process.pid), 0.0
    deadline = time.monotonic() + _LONGEST_SECONDS
    while process.poll() is None:
        with contextlib.suppress(psutil.Error):
            most = max(most, watched.memory_info().rss / 1e6)
        if moment is not None and there.scalar("SELECT count(*) FROM backfills") >= moment:
            time.sleep(chance.random() / 3)  # anywhere between two requests
            process.kill()
            break
        assert time.monotonic() < deadline, there.log()
        time.sleep(0.05)
    process.wait(10)
    return most


def session_of(day: date) -> Session | None:
    return Calendar().session("NSE", day)


def minutes(session: Session) -> int:
    return (session.closes_at - session.opens_at) // timedelta(minutes=1)


def fewest(days: list[date], most_days: int) -> int:
    """Return how few requests cover rising days, found by trying all ways to cut them."""
    best = [0]
    for end in range(1, len(days) + 1):
        last = days[end - 1]
        starts = (begin for begin in range(end) if (last - days[begin]).days < most_days)
        best.append(1 + min(best[begin] for begin in starts))
    return best[-1]


def differing(there: World, instrument_id: int, sessions: list[Session]) -> int:
    """Count the candles of an instrument that are not what the exchange's trades make."""
    token = there.scalar(
        f"SELECT token FROM broker_instruments WHERE instrument_id = {instrument_id}"  # noqa: S608
    )
    ends = [int(edge.timestamp()) for edge in (sessions[0].opens_at, sessions[-1].closes_at)]
    truth = pl.DataFrame(there.truth.candles(token, 1, ends[0], ends[1], ends[1] + 60))
    stored = there.database.query(
        "broker_minutes",
        instrument_ids=[instrument_id],
        broker="simulator",
        starts_at=sessions[0].opens_at,
        ends_at=sessions[-1].closes_at,
    )
    fields = ["open", "high", "low", "close", "volume"]
    ours = stored.sort("time").select(pl.col("time").dt.epoch("s"), *fields)
    return abs(ours.height - truth.height) or int(
        (ours != truth.select("time", *fields)).sum_horizontal().sum()
    )
