"""What it costs to drop a day of ticks and to bring it back, and whether it is the same then.

A tick a second of 1,000 instruments on the embedded PostgreSQL. Restoring is done in a process of
its own, for the most memory that it takes at once.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg
from rich.console import Console
from rich.table import Table

from market_pipeline.archive.day import write_day
from market_pipeline.archive.dropping import drop_day
from market_pipeline.archive.restoring import restore_day
from market_pipeline.archive.store import FolderStore
from market_pipeline.storage import candles, schema
from market_pipeline.storage.database import Database
from market_pipeline_tests import bench_archive, bench_candles

ROWS = 500_000
_CHECKSUM = "SELECT count(*), sum(hashtextextended(t::text, 0)) FROM ticks AS t"


def restore(url: str, folder: Path) -> dict[str, float]:
    """Restore the day; return seconds by what was reached, and the most memory of this process."""
    reached, started = dict[str, float](), time.perf_counter()
    restore_day(
        Database(url),
        FolderStore(folder),
        bench_archive._DAY,
        7,
        lambda name: reached.update({name: time.perf_counter() - started}),
    )
    return reached | {"peak": float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)}


def checksum(url: str) -> tuple[object, ...]:
    with psycopg.connect(url) as connection:
        row = connection.execute(_CHECKSUM).fetchone()
    assert row is not None
    return row


def measure(url: str, rows: int, folder: Path) -> dict[str, float]:
    """Archive, drop and restore a day; return what that cost."""
    schema.prepare(url)
    with psycopg.connect(url) as connection:
        connection.execute(bench_archive._INSTRUMENTS)
    database, seconds = Database(url), rows // bench_candles.INSTRUMENTS
    for first in range(0, seconds, 100):
        bench_candles._store(database, first, min(100, seconds - first))
    candles.refresh(database)
    before, costs = checksum(url), bench_archive.table_bytes(url)
    costs["bytes"] = write_day(database, FolderStore(folder), bench_archive._DAY).bytes
    started = time.perf_counter()
    drop_day(database, FolderStore(folder), bench_archive._DAY)
    costs["drop"] = time.perf_counter() - started
    if checksum(url) != (0, None):
        raise RuntimeError("ticks are left")
    command = [sys.executable, "-m", __spec__.name, "--url", url, "--folder", str(folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    costs |= json.loads(done.stdout)
    if checksum(url) != before:
        raise RuntimeError(f"{checksum(url)} came back instead of {before}")
    return costs


def show(console: Console, rows: int, costs: dict[str, float]) -> None:
    table = Table(title=f"Dropping and restoring a day of {rows:,} ticks")
    for heading in ("", "measured"):
        table.add_column(heading, justify="left" if not heading else "right")
    lines = {
        "files": f"{costs['bytes'] / 1e6:,.1f} MB",
        "the table with its indexes": f"{costs['table'] / 1e6:,.1f} MB",
        "verified and dropped": f"{costs['drop']:.1f} s",
        "verified, restored, compared": f"{costs['attached']:.1f} s",
        "of that loaded after": f"{costs['loaded']:.1f} s",
        "of that indexed after": f"{costs['indexed']:.1f} s",
        "ticks a second": f"{rows / costs['attached']:,.0f}",
        "most memory": f"{costs['peak'] / 1e6:,.0f} MB",
        "checksum of all rows": "the same as before",
    }
    for name, value in lines.items():
        table.add_row(name, value)
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.url:
        print(json.dumps(restore(options.url, options.folder)))  # noqa: T201
        return
    with bench_archive.serving() as url, tempfile.TemporaryDirectory() as folder:
        show(Console(), options.rows, measure(url, options.rows, Path(folder)))


if __name__ == "__main__":
    main()
