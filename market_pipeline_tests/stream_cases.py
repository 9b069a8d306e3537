"""A whole stream with its threads, and a broker that does what it is told."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import date, datetime
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event
from typing import Any

import polars as pl
import pytest

from market_pipeline.brokers import kite_wire
from market_pipeline.brokers.base import FRAME_SECONDS, Broker, Sink
from market_pipeline.brokers.decoding import Decoder, Stateless
from market_pipeline.config import Settings
from market_pipeline.market import INSTRUMENT_SCHEMA, Interval, Mode
from market_pipeline.storage import instruments
from market_pipeline.storage.database import Database
from market_pipeline.streaming import listener, supervisor
from market_pipeline.streaming.heartbeat import StreamReport
from market_pipeline.streaming.supervisor import StopReason
from market_pipeline_tests.builders import (
    INFY,
    OPEN,
    TCS,
    Packet,
    eventually,
    fetch,
    frame,
)

STREAM = "simulator-0"


class Obedient(Broker):
    """Delivers the frames it is given; an exception among them ends the listening."""

    max_tokens_per_stream = 3000

    def __init__(self) -> None:
        self.queue: SimpleQueue[bytes | Exception] = SimpleQueue()
        self.fingerprint = "first"
        self.asked: Mapping[int, Mode] = {}
        self.listened = 0

    def instruments(self) -> pl.DataFrame:
        raise NotImplementedError

    def candles(
        self, token: int, interval: Interval, start: datetime, end: datetime
    ) -> pl.DataFrame:
        raise NotImplementedError

    def quotes(self, tokens: Sequence[int]) -> pl.DataFrame:
        raise NotImplementedError

    def profile(self) -> str:
        return "obedient"

    def listen(
        self,
        wanted: Callable[[], Mapping[int, Mode]],
        sink: Sink,
        stop: Event,
        patience: Callable[[], float] = lambda: FRAME_SECONDS,
    ) -> None:
        self.listened += 1
        sink.connected()
        try:
            while not stop.is_set():
                self.asked = wanted()
                self._deliver(sink)
        finally:
            sink.disconnected("listening ended")

    def _deliver(self, sink: Sink) -> None:
        try:
            event = self.queue.get(timeout=0.02)
        except Empty:
            return
        if isinstance(event, Exception):
            raise event
        sink.frame(event)

    def token_fingerprint(self) -> str:
        return self.fingerprint

    def decoder(self) -> Decoder:
        return Stateless(kite_wire.decode)


class Stream:
    """Runs the stream in a thread, as Dagster does in a process."""

    def __init__(self, database: Database, home: Path) -> None:
        self.database, self.broker = database, Obedient()
        self.stopping, self.fence = Event(), Event()
        self.reports: list[StreamReport] = []
        self.settings = Settings(
            market_pipeline_home=home, flush_interval_seconds=0.02, _env_file=None
        )
        self._pool = ThreadPoolExecutor(2)
        self._runs: list[Future[StopReason]] = []

    def start(self, run_id: str = "run") -> Future[StopReason]:
        self._runs.append(
            self._pool.submit(
                supervisor.run_stream,
                STREAM,
                run_id,
                [self.broker],
                self.database,
                self.settings,
                self.stopping,
                self.reports.append,
                self.fence.is_set,
            )
        )
        return self._runs[-1]

    def stop(self, run: Future[StopReason]) -> StopReason:
        self.stopping.set()
        reason = run.result(30)
        self.stopping.clear()
        return reason

    def send(self, *volumes: int) -> None:
        now = int(time.time()) - OPEN  # this stream goes by the clock
        for volume in volumes:
            self.broker.queue.put(frame(Packet(volume=volume, at=now)))

    def row(self, column: str) -> Any:
        rows = self.database.query("live_streams").rows(named=True)
        return rows[0][column] if rows else None

    def close(self) -> None:
        self.stopping.set()
        self._pool.shutdown()


def prepare(database: Database) -> None:
    rows = [
        (token, symbol, "NSE", "CM", str(token >> 8), symbol, symbol, "EQ", *(None,) * 3, 1, 0.05)
        for token, symbol in ((INFY, "INFY"), (TCS, "TCS"))
    ]
    master = pl.DataFrame(rows, schema=INSTRUMENT_SCHEMA, orient="row")
    instruments.sync(database, "simulator", master, date(2020, 1, 1))
    instruments.subscribe(database, "simulator", ["INFY"])


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait less for everything."""
    for name in ("_BEAT", "_FENCE", "_RETRY", "_FIRST_REPORT"):
        monkeypatch.setattr(supervisor, f"{name}_SECONDS", 0.1)
    for name in ("_TOKEN_POLL", "_ROOM_POLL"):
        monkeypatch.setattr(listener, f"{name}_SECONDS", 0.1)


@pytest.fixture
def stream(database: Database, tmp_path: Path, hurried: None) -> Iterator[Stream]:
    prepare(database)
    opened = Stream(database, tmp_path)
    yield opened
    opened.close()


def ticks(database: Database) -> list[int]:
    return [row[0] for row in fetch(database, "SELECT day_volume FROM ticks ORDER BY day_volume")]


def wait_for_ticks(stream: Stream, number: int) -> None:
    eventually(lambda: len(ticks(stream.database)) == number, f"there are not {number} ticks")


def wait_for_state(stream: Stream, state: str) -> None:
    eventually(lambda: stream.row("state") == state, f"the stream is not {state}")
