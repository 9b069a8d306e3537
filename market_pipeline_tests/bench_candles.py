"""What candles cost: a day of 1,000 instruments at a tick a second, stored, refreshed and read.

On the embedded PostgreSQL, and on the server that MARKET_PIPELINE_TEST_DATABASE_URL names, as one
with TimescaleDB.
"""

import os
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit, urlunsplit

import numpy as np
import psycopg
from rich.console import Console
from rich.table import Table

from market_pipeline.market import MISSING, TICK_COLUMNS, Columns
from market_pipeline.storage import candles, dialect, embedded, schema, timescaledb
from market_pipeline.storage.database import Database
from market_pipeline.storage.tick_copy import TickCopy
from market_pipeline_tests.builders import OPEN

INSTRUMENTS = 1_000
DAY_SECONDS = 22_500
_PART_SECONDS = 100
_QUERIES = 15


class Costs(NamedTuple):
    """Seconds, milliseconds and megabytes of one server."""

    server: str
    store_s: float
    refresh_day_s: float
    refresh_minute_ms: float
    aggregate_ms: float
    raw_ms: float
    ticks_mb: float
    compressed_mb: float | None


def ticks(first: int, seconds: int) -> Columns:
    """Make a tick of each instrument for each second, sorted by instrument."""
    count = INSTRUMENTS * seconds
    at = OPEN + first + np.tile(np.arange(seconds, dtype=np.int64), INSTRUMENTS)
    instrument = np.repeat(np.arange(1, INSTRUMENTS + 1, dtype=np.int64), seconds)
    generator = np.random.default_rng(first)
    price = 100 + instrument % 900 + np.round(generator.normal(0, 2, count), 2)
    made: Columns = {
        name: np.full(count, MISSING if kind == "i8" else np.nan, kind)
        for name, kind in TICK_COLUMNS.items()
    }
    size = generator.integers(1, 500, count)
    made |= {"time": at * 1_000_000, "received_at": at * 1_000_000, "exchange_time": at * 1_000_000}
    made |= {"instrument_id": instrument, "seq": at << 32 | np.arange(count), "volume": size}
    made |= {"last_price": price, "high": price, "low": price, "average_price": price}
    made |= {"last_quantity": size, "day_volume": (at - OPEN) * 250 + size}
    for name in ("buy_quantity", "sell_quantity", "bid_quantity", "ask_quantity"):
        made[name] = generator.integers(1, 100_000, count)
    made |= {"bid_price": price - 0.05, "ask_price": price + 0.05}
    made["is_trade"] = np.ones(count, bool)
    return made


def measure(url: str, seconds: int) -> Costs:
    """Store the day, refresh it, and read one instrument of it."""
    database = Database(url)
    schema.prepare(url)
    started = time.perf_counter()
    for first in range(0, seconds, _PART_SECONDS):
        _store(database, first, _PART_SECONDS)
    stored = time.perf_counter() - started
    started = time.perf_counter()
    candles.refresh(database)
    refreshed = time.perf_counter() - started
    _store(database, seconds, 60)
    started = time.perf_counter()
    candles.refresh(database)
    minute = time.perf_counter() - started
    size = _size(database)
    return Costs(
        _name(database),
        stored,
        refreshed,
        minute * 1000,
        _median(database, "SELECT * FROM candles_1m WHERE instrument_id = 500"),
        _median(database, _from_ticks()),
        size,
        _compressed(database),
    )


def _store(database: Database, first: int, seconds: int) -> None:
    with database.transaction() as connection:
        connection.execute("SELECT ensure_tick_day(DATE '2026-11-20')")
        TickCopy.of(connection, ["bench"]).write(connection, "copy_ticks", ticks(first, seconds))
        connection.execute(
            "INSERT INTO journal_positions (stream, run_id, position, arrivals, is_stopped,"
            " checkpoint_position, checkpoint_arrivals, checkpoint_connection, last_event_at)"
            " VALUES ('bench', '', 0, 0, false, 0, 0, -1, to_timestamp($1))"
            " ON CONFLICT (stream) DO UPDATE SET last_event_at = excluded.last_event_at",
            [float(OPEN + first + seconds)],
        )


def _from_ticks() -> str:
    """Return the definition of a candle of a minute, of the ticks of one instrument."""
    (definition,) = (each for each in dialect.definitions() if each.source == "ticks")
    return definition.of_source("(SELECT * FROM ticks WHERE instrument_id = 500)")


def _median(database: Database, query: str) -> float:
    taken = []
    with psycopg.connect(database.url) as connection:
        for _ in range(_QUERIES):
            started = time.perf_counter()
            connection.execute(query.encode()).fetchall()
            taken.append(time.perf_counter() - started)
    return statistics.median(taken) * 1000


def _size(database: Database) -> float:
    name = "storage_status_timescaledb" if _is_timescaledb(database) else "storage_status"
    return float(database.query(name)["ticks_bytes"].item()) / 1e6


def _compressed(database: Database) -> float | None:
    if not _is_timescaledb(database):
        return None
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute("SELECT compress_chunk(c) FROM show_chunks('ticks') AS c")
    return _size(database)


def _is_timescaledb(database: Database) -> bool:
    with database.transaction() as connection:
        return timescaledb.is_used(connection)


def _name(database: Database) -> str:
    status = database.query("server_status")["server_version"].item().split()[0]
    with database.transaction() as connection:
        version = timescaledb.version(connection)
    return f"PostgreSQL {status}" + (f", TimescaleDB {version}" if version else ", plain")


@contextmanager
def _scratch_database(server: str) -> Iterator[str]:
    name = f"bench_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
        yield urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def run(seconds: int, console: Console) -> None:
    """Measure each server and print a column for each."""
    found = []
    with tempfile.TemporaryDirectory(dir="/tmp") as scratch:
        home = Path(scratch)
        home.chmod(0o755)  # PostgreSQL runs under another account when root benchmarks
        with embedded.running(home) as url, _scratch_database(url) as database:
            found.append(measure(database, seconds))
    if server := os.environ.get("MARKET_PIPELINE_TEST_DATABASE_URL"):
        with _scratch_database(server) as database:
            found.append(measure(database, seconds))
    _show(found, INSTRUMENTS * seconds, console)


def _show(found: list[Costs], rows: int, console: Console) -> None:
    table = Table(title=f"Candles of a day of {rows:,} ticks of {INSTRUMENTS:,} instruments")
    table.add_column("what")
    for costs in found:
        table.add_column(costs.server, justify="right")
    lines: dict[str, Callable[[Costs], str]] = {
        "storing the ticks, rows/s": lambda c: f"{rows / c.store_s:,.0f}",
        "refreshing the whole day, s": lambda c: f"{c.refresh_day_s:.1f}",
        "refreshing after one more minute, ms": lambda c: f"{c.refresh_minute_ms:.0f}",
        "one instrument's day of minutes: stored, ms": lambda c: f"{c.aggregate_ms:.1f}",
        "the same from ticks, ms": lambda c: f"{c.raw_ms:.1f} (x {c.raw_ms / c.aggregate_ms:.0f})",
        "ticks, MB": lambda c: f"{c.ticks_mb:,.0f}",
        "compressed, MB": lambda c: _ratio(c.ticks_mb, c.compressed_mb),
    }
    for label, show in lines.items():
        table.add_row(label, *(show(costs) for costs in found))
    console.print(table)


def _ratio(before: float, after: float | None) -> str:
    return "not available" if after is None else f"{after:,.0f} (1 : {before / after:.1f})"
