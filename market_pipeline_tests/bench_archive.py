"""What archiving a day costs, in a process of its own: time, the most memory at once, and size.

A tick a second of 1,000 instruments. On the embedded PostgreSQL, or with --timescale on TimescaleDB
in WebAssembly, for the size of what it compresses; its rate says nothing of another server.
MARKET_PIPELINE_TEST_DATABASE_URL names an empty database of another server instead.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path

import psycopg
from rich.console import Console
from rich.table import Table

from market_pipeline.archive.day import write_day
from market_pipeline.archive.store import FolderStore
from market_pipeline.archive.verifying import verify
from market_pipeline.sessions import trading_date
from market_pipeline.storage import candles, embedded, schema
from market_pipeline.storage.database import Database
from market_pipeline_tests import bench_candles
from market_pipeline_tests.builders import OPEN
from market_pipeline_tests.timescale import server

ROWS = 1_000_000
_PART_SECONDS = 100
_DAY = trading_date(datetime.fromtimestamp(OPEN, UTC))
_INSTRUMENTS = """
INSERT INTO instruments (exchange, segment, exchange_token, symbol, name, kind)
SELECT 'NSE', 'CM', n, 'S' || n, 'S' || n, 'EQ' FROM generate_series(1, 1000) AS n
"""
_TABLE_BYTES = "SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class AS c WHERE c.oid IN ({})"
_PLAIN = "SELECT relation FROM tick_days WHERE relation IS NOT NULL"
_COMPRESS = "SELECT compress_chunk(c) FROM show_chunks('ticks') AS c"
_COMPRESSED = "SELECT sum(total_bytes) FROM chunks_detailed_size('ticks')"


def archive(url: str, folder: Path, day: date) -> dict[str, float]:
    """Archive and verify a day; return seconds, bytes and the most memory of this process."""
    database, store, stages = Database(url), FolderStore(folder), dict[str, float]()
    started = time.perf_counter()
    found = write_day(
        database, store, day, lambda name: stages.update({name: time.perf_counter() - started})
    )
    written = time.perf_counter()
    used = resource.getrusage(resource.RUSAGE_SELF)
    if damage := verify(database, store, day):
        raise RuntimeError(damage)
    verified = time.perf_counter() - written
    return {
        "seconds": written - started,
        "verify_seconds": verified,
        "bytes": found.bytes,
        "ticks": found.ticks,
        "peak": used.ru_maxrss * 1024,
        "cpu": used.ru_utime + used.ru_stime,
        **{f"at {name}": each for name, each in stages.items()},
    }


def measure(url: str, rows: int) -> dict[str, float]:
    """Store a day, archive it in another process and return what that cost."""
    schema.prepare(url)
    with psycopg.connect(url) as connection:
        connection.execute(_INSTRUMENTS)
    database, seconds = Database(url), rows // bench_candles.INSTRUMENTS
    for first in range(0, seconds, _PART_SECONDS):
        bench_candles._store(database, first, min(_PART_SECONDS, seconds - first))
    candles.refresh(database)
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", __spec__.name, "--url", url, "--folder", folder]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        costs: dict[str, float] = json.loads(done.stdout)
        files = [file for file in Path(folder).rglob("ticks/**/*.parquet")]
        costs["file_bytes"] = sum(file.stat().st_size for file in files)
    return costs | table_bytes(url)


def table_bytes(url: str) -> dict[str, float]:
    """Return the size of the day with its indexes and, on TimescaleDB, once it is compressed."""
    with psycopg.connect(url, autocommit=True) as connection:
        used = connection.execute("SELECT FROM pg_extension WHERE extname = 'timescaledb'")
        if used.fetchone() is None:
            row = connection.execute(_TABLE_BYTES.format(_PLAIN).encode()).fetchone()
            return {"table": float(row[0] if row else 0)}
        before = connection.execute(_COMPRESSED.encode()).fetchone()
        connection.execute(_COMPRESS)
        after = connection.execute(_COMPRESSED.encode()).fetchone()
        return {"table": float((before or [0])[0]), "compressed": float((after or [0])[0])}


def show(console: Console, costs: dict[str, float]) -> None:
    table = Table(title=f"Archiving a day of {costs['ticks']:,.0f} ticks")
    for heading in ("", "measured"):
        table.add_column(heading, justify="left" if not heading else "right")
    mega = 1_000_000
    lines = {
        "written, read back, compared, certified": f"{costs['seconds']:.1f} s",
        "of which this program was at work": f"{costs['cpu']:.1f} s",
        "ticks a second": f"{costs['ticks'] / costs['seconds']:,.0f}",
        "of the table a second": f"{costs['table'] / mega / costs['seconds']:.1f} MB",
        "verified": f"{costs['verify_seconds']:.1f} s",
        "most memory": f"{costs['peak'] / mega:,.0f} MB",
        "files of ticks": f"{costs['file_bytes'] / mega:,.1f} MB",
        "the table with its indexes": f"{costs['table'] / mega:,.1f} MB, "
        f"{costs['table'] / costs['file_bytes']:.1f} times as much",
    }
    if "compressed" in costs:
        lines["the table, compressed"] = (
            f"{costs['compressed'] / mega:,.1f} MB, "
            f"{costs['compressed'] / costs['file_bytes']:.1f} times as much"
        )
    for name, value in lines.items():
        table.add_row(name, value)
    console.print(table)


@contextmanager
def serving(is_timescale: bool = False) -> Iterator[str]:
    """Yield the address of an empty database to measure in."""
    if given := os.environ.get("MARKET_PIPELINE_TEST_DATABASE_URL"):
        yield given
        return
    if is_timescale:
        with server.running() as url:
            yield url
        return
    with tempfile.TemporaryDirectory(dir="/tmp") as scratch:
        home = Path(scratch)
        home.chmod(0o755)  # PostgreSQL runs under another account when root benchmarks
        with embedded.running(home) as url:
            yield url


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--timescale", action="store_true")
    parser.add_argument("--stages", action="store_true", help="print when each was reached")
    parser.add_argument("--url", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.url:
        print(json.dumps(archive(options.url, options.folder, _DAY)))  # noqa: T201
        return
    with serving(options.timescale) as url:
        costs = measure(url, options.rows)
    console = Console()
    show(console, costs)
    if options.stages:
        console.print({name: value for name, value in costs.items() if name.startswith("at ")})


if __name__ == "__main__":
    main()
