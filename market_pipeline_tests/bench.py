"""How fast the tick path is, as ratios measured side by side: `make bench`.

Each round runs every method once, in a shuffled order, on the same rows and an empty table; the
medians of the rounds are compared. Machines are noisy: trust the ratios, not the rates.
"""

import argparse
import random
import statistics
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psycopg
from rich.console import Console
from rich.table import Table

from market_pipeline.brokers import kite_wire
from market_pipeline.brokers.decoding import Stateless
from market_pipeline.market import TICK_COLUMNS, Columns
from market_pipeline.storage import embedded, embedded_binaries, schema, tick_batches
from market_pipeline.storage.tick_copy import tick_encoder
from market_pipeline.storage.ticks import TickStore
from market_pipeline.streaming.arrivals import Arrivals
from market_pipeline.streaming.journal import Journal
from market_pipeline.streaming.meaning import Source
from market_pipeline.streaming.observations import Observer
from market_pipeline.streaming.records import HEADER_BYTES, RecordKind
from market_pipeline.streaming.writer import Writer
from market_pipeline_tests import bench_candles, bench_fyers, bench_history
from market_pipeline_tests.bench_frames import (
    INSTRUMENTS,
    PACKETS_PER_FRAME,
    BenchTokens,
    frames,
)

Rates = dict[str, list[float]]


def decode_rates(rounds: int) -> Rates:
    """Packets a second: our decoder against kiteconnect's, frames of 500 full packets."""
    from kiteconnect import KiteTicker

    ticker = KiteTicker("key", "token")
    made = [frame for _, frame in frames(20 * INSTRUMENTS)]

    def theirs() -> int:
        for frame in made[:2]:
            ticker._parse_binary(frame)
        return 2 * PACKETS_PER_FRAME

    def one_by_one() -> int:
        for frame in made:
            kite_wire.decode([frame])
        return len(made) * PACKETS_PER_FRAME

    def joined() -> int:
        kite_wire.decode(made)
        return len(made) * PACKETS_PER_FRAME

    return _interleave(
        {"kiteconnect": theirs, "ours, frame by frame": one_by_one, "ours, joined": joined}, rounds
    )


def write_rates(url: str, batch: int, rows: int, rounds: int) -> Rates:
    """Rows a second: journal to committed, psql's copy of the same bytes, and executemany."""
    made = frames(rows)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        files = _copy_files(made, batch, folder)
        methods: dict[str, Callable[[], int]] = {
            "psql COPY BINARY": lambda: _psql(url, files),
            "journal to committed": lambda: _journal_to_committed(url, made, batch, folder),
            "and put out for the API": lambda: _listened_to(url, made, batch, folder),
            "executemany": lambda: _executemany(url, made, batch),
        }
        return _interleave(methods, rounds, before=lambda: _empty(url))


def _ticks(made: list[tuple[int, bytes]], batch: int) -> Iterator[Columns]:
    observer, per_batch = Observer(), max(batch // PACKETS_PER_FRAME, 1)
    for start in range(0, len(made), per_batch):
        part = made[start : start + per_batch]
        decoded = kite_wire.decode([frame for _, frame in part])
        received = np.array([stamp for stamp, _ in part]) // 1000
        count = len(decoded.frame)
        yield observer.observe(
            Arrivals(
                packets=decoded.packets,
                instrument_id=decoded.packets["token"] >> 8,
                is_index=np.zeros(count, bool),
                received_at=received[decoded.frame],
                connection=np.zeros(count, np.int64),
                feed=np.zeros(count, np.int16),
            )
        )


def _copy_files(made: list[tuple[int, bytes]], batch: int, folder: Path) -> list[Path]:
    encoder, files = tick_encoder(), []
    for number, ticks in enumerate(_ticks(made, batch)):
        file = folder / f"{number}.bin"
        file.write_bytes(encoder.encode(ticks))
        files.append(file)
    return files


class _Timer:
    """The part of a method that counts; see _interleave."""

    seconds = 0.0


@contextmanager
def _timed() -> Iterator[None]:
    start = time.perf_counter()
    yield
    _Timer.seconds = time.perf_counter() - start


def _psql(url: str, files: list[Path]) -> int:
    program = embedded_binaries.find().folder / "psql"
    command = [str(program), url, "-q", "-v", "ON_ERROR_STOP=1"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as psql:
        assert psql.stdin is not None and psql.stdout is not None
        _ask(psql, "\\echo ready\n")  # connected
        with _timed():
            copies = "".join(f"\\copy ticks from '{file}' (format binary)\n" for file in files)
            _ask(psql, copies + "\\echo done\n")
        psql.stdin.close()
    return _count(url)


def _ask(psql: subprocess.Popen[str], text: str) -> None:
    assert psql.stdin is not None and psql.stdout is not None
    psql.stdin.write(text)
    psql.stdin.flush()
    psql.stdout.readline()


def _journal_to_committed(url: str, made: list[tuple[int, bytes]], batch: int, folder: Path) -> int:
    stream = f"bench-{time.time_ns()}"
    with Journal(folder / stream, max_bytes=1 << 40) as journal:
        for stamp, frame in made:
            journal.append(RecordKind.FRAME, frame, stamp)
        record = HEADER_BYTES + len(made[0][1])
        store = TickStore(url, stream, "bench")
        writer = Writer(
            store,
            journal.folder,
            [Source(Stateless(kite_wire.decode), BenchTokens())],
            batch_bytes=max(batch // PACKETS_PER_FRAME, 1) * record,
        )
        writer.open()
        with _timed():
            while writer.step():
                pass
        writer.close()
        store.close()
    return writer.progress.ticks


def _listened_to(url: str, made: list[tuple[int, bytes]], batch: int, folder: Path) -> int:
    tick_batches._ASSUMED_SECONDS = 60.0  # as while an API process listens
    try:
        return _journal_to_committed(url, made, batch, folder)
    finally:
        tick_batches._ASSUMED_SECONDS = 0.0


def _executemany(url: str, made: list[tuple[int, bytes]], batch: int) -> int:
    names = list(TICK_COLUMNS)
    values = ", ".join(
        "to_timestamp(%s / 1e6)" if name in ("time", "exchange_time", "received_at") else "%s"
        for name in names
    )
    statement = f"INSERT INTO ticks ({', '.join(names)}) VALUES ({values})"  # noqa: S608
    batches = list(_ticks(made, batch))
    with psycopg.connect(url) as connection, _timed():
        for ticks in batches:
            rows = zip(*(ticks[name].tolist() for name in names), strict=True)
            connection.cursor().executemany(statement, list(rows))
            connection.commit()
    return _count(url)


def _count(url: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT count(*) FROM ticks").fetchone()
    return int(row[0]) if row else 0


def _empty(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("TRUNCATE ticks, tick_batches")
        connection.execute("SELECT ensure_tick_day(DATE '2026-11-20')")
        connection.execute("CHECKPOINT")


def _interleave(
    methods: dict[str, Callable[[], int]], rounds: int, before: Callable[[], None] | None = None
) -> Rates:
    rates: Rates = {name: [] for name in methods}
    shuffled = random.Random(1)
    for _ in range(rounds):
        for name in shuffled.sample(list(methods), len(methods)):
            if before is not None:
                before()
            _Timer.seconds = 0.0
            start = time.perf_counter()
            done = methods[name]()
            rates[name].append(done / (_Timer.seconds or time.perf_counter() - start))
    return rates


def show(console: Console, title: str, rates: Rates, against: Mapping[str, float | None]) -> None:
    """Print medians, and the median ratio of each round to each method named in `against`."""
    table = Table(title=title)
    for heading in ("method", "rows/s", *(f"x {name} (target)" for name in against)):
        table.add_column(heading, justify="left" if heading == "method" else "right")
    for name, values in rates.items():
        cells = [name, f"{statistics.median(values):,.0f}"]
        for other, target in against.items():
            ratio = statistics.median(
                mine / theirs for mine, theirs in zip(values, rates[other], strict=True)
            )
            wanted = f" ({target:g})" if target and name not in against else ""
            cells.append(f"{ratio:.2f}{wanted}")
        table.add_row(*cells)
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000, help="rows a run")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--day-seconds", type=int, default=bench_candles.DAY_SECONDS)
    options = parser.parse_args()
    tick_batches._ASSUMED_SECONDS = 0.0  # nobody listens
    console = Console()
    frame_bytes = struct.calcsize(">H") + PACKETS_PER_FRAME * 186
    show(
        console,
        f"Decoding frames of {PACKETS_PER_FRAME} full packets ({frame_bytes:,} bytes)",
        decode_rates(options.rounds),
        {"kiteconnect": 50.0},
    )
    bench_fyers.run(console)
    with tempfile.TemporaryDirectory(dir="/tmp") as scratch:
        home = Path(scratch)
        home.chmod(0o755)  # PostgreSQL runs under another account when root benchmarks
        with embedded.running(home) as url:
            schema.prepare(url)
            for batch, target in ((1_000, 0.6), (10_000, 0.9)):
                rates = write_rates(url, batch, options.rows, options.rounds)
                against = {"psql COPY BINARY": target, "executemany": 5.0}
                show(console, f"Storing ticks, {batch:,} rows a batch", rates, against)
    bench_candles.run(options.day_seconds, console)
    bench_history.run(console)


if __name__ == "__main__":
    main()
