"""What tests are built from: packets, frames, arrivals and ticks; a server to kill; a database to
look into. Times are seconds after the opening of one session, prices rupees.
"""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, LiteralString

import numpy as np
import polars as pl
import psutil
import psycopg

from market_pipeline.brokers import kite_wire
from market_pipeline.market import MISSING, TICK_COLUMNS, Columns, Mode, empty_packets
from market_pipeline.storage import embedded, schema
from market_pipeline.storage.database import Database
from market_pipeline.storage.embedded import EmbeddedServer
from market_pipeline.streaming.arrivals import Arrivals

TODAY = date(2026, 11, 20)
OPEN = int(datetime(2026, 11, 20, 3, 45, tzinfo=UTC).timestamp())  # 09:15 in Kolkata
DAY = 86_400
INFY, TCS, NIFTY = 408065, 2953217, 256265
INSTRUMENTS = {NIFTY: 9, INFY: 1, TCS: 2}


@dataclass(frozen=True)
class Packet:
    """A packet as it arrives; `at` is its exchange_time, and its last_trade_time unless given."""

    price: float = 100.0
    volume: int = 0
    at: int = 0
    traded_at: int | None = None
    quantity: int = 1
    high: float | None = None
    low: float | None = None
    open_interest: int = 0
    token: int = INFY
    mode: Mode = Mode.FULL
    connection: int = 1
    received_at: int | None = None

    @property
    def is_index(self) -> bool:
        return self.token & 0xFF == kite_wire.INDICES

    def values(self) -> dict[str, float]:
        """Return what this packet says, by the names of PACKET_COLUMNS."""
        values: dict[str, float] = {"token": self.token, "last_price": self.price}
        if self.mode is Mode.LTP:
            return values
        values["day_high"] = self.price if self.high is None else self.high
        values["day_low"] = self.price if self.low is None else self.low
        if not self.is_index:
            values |= {"day_volume": self.volume, "last_quantity": self.quantity}
        if self.mode is Mode.QUOTE:
            return values
        values["exchange_time"] = OPEN + self.at
        if not self.is_index:
            traded_at = self.at if self.traded_at is None else self.traded_at
            values |= {"last_trade_time": OPEN + traded_at, "open_interest": self.open_interest}
        return values


def columns(*packets: Packet) -> Columns:
    made = empty_packets(len(packets))
    for row, packet in enumerate(packets):
        for name, value in packet.values().items():
            made[name][row] = value
    return made


def frame(*packets: Packet) -> bytes:
    """Write packets of one mode as Kite's bytes."""
    made = {
        name: np.where(column == MISSING, 0, np.nan_to_num(column))
        for name, column in columns(*packets).items()
    }
    return kite_wire.encode(made, packets[0].mode)


def arrivals(*packets: Packet) -> Arrivals:
    received = [p.at if p.received_at is None else p.received_at for p in packets]
    return Arrivals(
        packets=columns(*packets),
        instrument_id=np.array([INSTRUMENTS[p.token] for p in packets], np.int64),
        is_index=np.array([p.is_index for p in packets], bool),
        received_at=(np.array(received, np.int64) + OPEN) * 1_000_000,
        connection=np.array([p.connection for p in packets], np.int64),
        feed=np.zeros(len(packets), np.int16),
    )


class Known:
    """The tokens of INSTRUMENTS, on every day."""

    def on(self, day: date) -> pl.DataFrame:
        tokens = sorted(INSTRUMENTS)
        return pl.DataFrame(
            {
                "token": tokens,
                "instrument_id": [INSTRUMENTS[token] for token in tokens],
                "is_index": [token == NIFTY for token in tokens],
            }
        )


@dataclass(frozen=True)
class Tick:
    """A row of table `ticks`; None is NULL."""

    at: int = 0
    price: float = 100.0
    volume: int | None = 1
    instrument: int = 1
    is_trade: bool = True
    open_interest: int | None = None
    high: float | None = None
    low: float | None = None


def tick_columns(ticks: list[Tick], first_arrival: int = 0) -> Columns:
    """Lay ticks out as the writer does, in the order of their arrival."""
    made: Columns = {
        name: np.full(len(ticks), np.nan if kind == "f8" else MISSING, kind)
        for name, kind in TICK_COLUMNS.items()
    }
    for row, tick in enumerate(ticks):
        values: dict[str, Any] = {
            "time": (OPEN + tick.at) * 1_000_000,
            "received_at": (OPEN + tick.at) * 1_000_000,
            "seq": (OPEN + tick.at) << 32 | first_arrival + row,
            "instrument_id": tick.instrument,
            "last_price": tick.price,
            "volume": MISSING if tick.volume is None else tick.volume,
            "open_interest": MISSING if tick.open_interest is None else tick.open_interest,
            "high": tick.price if tick.high is None else tick.high,
            "low": tick.price if tick.low is None else tick.low,
            "is_trade": tick.is_trade,
            "feed": 0,
        }
        for name, value in values.items():
            made[name][row] = value
    return made


def fetch(database: Database, query: LiteralString, *values: Any) -> list[tuple[Any, ...]]:
    with psycopg.connect(database.url) as connection:
        cursor = connection.execute(query, values or None)
        return cursor.fetchall() if cursor.description else []


def eventually(condition: Callable[[], object], message: str, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, message
        time.sleep(0.02)


class Outage:
    """A PostgreSQL server of one's own, to kill and to bring back."""

    def __init__(self, home: Path, server: EmbeddedServer) -> None:
        self._home, self._server = home, server
        self.database = Database(embedded.url(home))

    def processes(self) -> list[psutil.Process]:
        """Return the postmaster and everything it has started."""
        pid = (self._home / "postgres/data/postmaster.pid").read_text().split()[0]
        postmaster = psutil.Process(int(pid))
        return [postmaster, *postmaster.children(recursive=True)]

    def begin(self) -> None:
        victim = self.processes()[0]
        victim.kill()
        eventually(lambda: victim.status() == psutil.STATUS_ZOMBIE, "the postmaster did not die")

    def end(self) -> None:
        assert self._server.ensure_running()


@contextmanager
def outage() -> Iterator[Outage]:
    """Start a server with the schema in its database."""
    home = Path(tempfile.mkdtemp(prefix="market_pipeline_outage_", dir="/tmp"))
    home.chmod(0o755)  # for PostgreSQL's account, where root runs the tests
    try:
        with EmbeddedServer(home) as server:
            schema.prepare(embedded.url(home))
            yield Outage(home, server)
    finally:
        shutil.rmtree(home, ignore_errors=True)
