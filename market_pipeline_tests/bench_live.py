"""How long live ticks take to 200 clients, and what one that does not read costs the others.

    python -m market_pipeline_tests.bench_live

API and clients are processes of their own. Machines are noisy: the run with a stalled client is
measured in turns with one without.
"""

import argparse
import asyncio
import contextlib
import json
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson
import polars as pl
import psutil
import uvicorn
from pydantic import SecretStr
from rich.console import Console
from rich.table import Table
from websockets.asyncio.client import connect

from market_pipeline.api.app import create_app
from market_pipeline.config import Settings
from market_pipeline.market import INSTRUMENT_SCHEMA, Columns
from market_pipeline.storage import embedded, instruments, schema
from market_pipeline.storage.database import Database
from market_pipeline.storage.ticks import Batch, TickStore
from market_pipeline_tests.builders import Tick, eventually, fetch, tick_columns

INSTRUMENTS = 1_000
_WARM_UP_SECONDS = 3.0


class Load(NamedTuple):
    clients: int
    instruments: int  # of each client
    ticks: int  # a second
    flush: float  # seconds between commits


class Measured(NamedTuple):
    """Milliseconds of latency, from received and from commit; ticks; the API's CPU and memory."""

    received: tuple[float, float]
    committed: tuple[float, float]
    ticks: int
    lost: int
    cpu: float
    megabytes: float


def prepare(database: Database) -> list[int]:
    rows = [
        (n, f"S{n}", "NSE", "CM", str(n), f"S{n}", f"S{n}", "EQ", *(None,) * 3, 1, 0.05)
        for n in range(1, INSTRUMENTS + 1)
    ]
    master = pl.DataFrame(rows, schema=INSTRUMENT_SCHEMA, orient="row")
    instruments.sync(database, "simulator", master, date(2020, 1, 1))
    return [row[0] for row in fetch(database, "SELECT instrument_id FROM instruments")]


class Writing(threading.Thread):
    """Commits ticks at a steady rate, as a stream does: each waits for the next flush."""

    def __init__(self, url: str, ids: list[int], load: Load) -> None:
        super().__init__()
        self._store = TickStore(url, "simulator-0", "bench")
        self._ids, self._load = ids, load
        self._each = round(load.ticks * load.flush)
        self._numbers = random.Random(1)
        self.stop = threading.Event()

    def run(self) -> None:
        found = self._store.open()
        position, arrivals = found.position, found.arrivals
        due = time.time() + self._load.flush
        while not self.stop.wait(max(due - time.time(), 0)):
            ticks = self._ticks(arrivals, due)
            arrivals += self._each
            self._store.commit(Batch(position, position + 1, arrivals, ticks))
            position += 1
            due += self._load.flush
        self._store.close()

    def _ticks(self, arrivals: int, due: float) -> Columns:
        made = tick_columns(
            [
                Tick(instrument=self._numbers.choice(self._ids), price=self._numbers.random())
                for _ in range(self._each)
            ],
            arrivals,
        )
        received = (due - self._load.flush) * 1e6 + np.arange(self._each) / self._each * (
            self._load.flush * 1e6
        )
        made["received_at"] = received.astype(np.int64)
        made["time"] = made["received_at"] // 1_000_000 * 1_000_000
        made["seq"] = (made["time"] // 1_000_000 << 32) | (arrivals + np.arange(self._each))
        made["exchange_time"] = np.full(self._each, time.time_ns() // 1000)  # begin of the commit
        for name in ("bid_quantity", "ask_quantity", "day_volume", "last_quantity"):
            made[name][:] = 100
        for name in ("bid_price", "ask_price", "average_price"):
            made[name][:] = made["last_price"]
        return made


def serve(url: str, port: int) -> None:
    """Be the API process."""
    settings = Settings(
        database_url=SecretStr(url), broker="simulator", api_rate_limit=1e6, _env_file=None
    )
    uvicorn.run(create_app(settings), port=port, log_config=None, ws_per_message_deflate=False)


async def follow(address: str, names: list[str], until: float, seen: dict[str, Any]) -> None:
    """Be one client: note how old each tick is when it has come."""
    async with connect(address, compression=None, max_size=None) as connection:
        asked = {"action": "subscribe", "instruments": names, "mode": "full"}
        await connection.send(json.dumps(asked))
        begins = time.time() + _WARM_UP_SECONDS
        while (now := time.time()) < until:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1):
                    message = orjson.loads(await connection.recv())
                    now = time.time()
                    if message["type"] == "ticks" and now > begins:
                        _note(message, now, seen)


def _note(message: dict[str, Any], now: float, seen: dict[str, Any]) -> None:
    seen["lost"] += message["lost"]
    for tick in message["ticks"]:
        for name, field in (("received", "received_at"), ("committed", "exchange_time")):
            at = datetime.fromisoformat(tick[field]).timestamp()
            seen[name].append((now - at) * 1000)


async def listen(address: str, load: Load, seconds: float) -> None:
    """Be all clients; print what they have seen."""
    numbers, until = random.Random(2), time.time() + seconds
    seen: dict[str, Any] = {"received": [], "committed": [], "lost": 0}
    names = [f"NSE:S{n}" for n in range(1, INSTRUMENTS + 1)]
    await asyncio.gather(
        *(
            follow(address, numbers.sample(names, load.instruments), until, seen)
            for _ in range(load.clients)
        )
    )
    quantiles = {
        name: [float(value) for value in np.quantile(seen[name], [0.5, 0.99])]
        for name in ("received", "committed")
    }
    told = quantiles | {"ticks": len(seen["received"]), "lost": seen["lost"]}
    sys.stdout.write(json.dumps(told))


@contextlib.contextmanager
def api_process(url: str) -> Iterator[tuple[str, psutil.Process]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", __spec__.name if __spec__ else __name__, "--serve"]
    with subprocess.Popen([*command, url, str(port)]) as process:
        try:
            eventually(lambda: _answers(port), "the API does not answer")
            yield f"ws://127.0.0.1:{port}/api/ws/ticks", psutil.Process(process.pid)
        finally:
            process.terminate()


def _answers(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def stalled(address: str) -> Iterator[None]:
    """A client that wants everything and reads nothing."""
    from websockets.sync.client import connect as connect_now

    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    host, _, port = address.split("/")[2].partition(":")
    raw.connect((host, int(port)))
    names = [f"NSE:S{n}" for n in range(1, INSTRUMENTS + 1)]
    with connect_now(
        address, sock=raw, max_queue=1, compression=None, close_timeout=0
    ) as connection:
        asked = {"action": "subscribe", "instruments": names, "mode": "full"}
        connection.send(json.dumps(asked))
        yield


def measure(url: str, load: Load, seconds: float, is_stalled: bool) -> Measured:
    """Run a fresh API process under load."""
    with api_process(url) as (address, process), contextlib.ExitStack() as more:
        if is_stalled:
            more.enter_context(stalled(address))
        command = [sys.executable, "-m", __spec__.name if __spec__ else __name__, "--listen"]
        arguments = [address, *map(str, load), str(seconds)]
        cpu, began = sum(process.cpu_times()[:2]), time.monotonic()
        done = subprocess.run([*command, *arguments], stdout=subprocess.PIPE, check=True)
        used = (sum(process.cpu_times()[:2]) - cpu) / (time.monotonic() - began)
        told = json.loads(done.stdout)
        memory = process.memory_info().rss / 1e6
    return Measured(**told, cpu=used * 100, megabytes=memory)


def show(console: Console, title: str, results: dict[str, list[Measured]]) -> None:
    table = Table(title=title)
    for heading in ("", "received p50", "p99", "committed p50", "p99 ms", "ticks", "lost"):
        table.add_column(heading, justify="right")
    table.add_column("API CPU %", justify="right")
    table.add_column("API MB", justify="right")
    for name, rounds in results.items():
        for each in rounds:
            latency = (f"{value:.0f}" for value in (*each.received, *each.committed))
            counts = (f"{each.ticks:,}", f"{each.lost:,}")
            table.add_row(name, *latency, *counts, f"{each.cpu:.0f}", f"{each.megabytes:.0f}")
    console.print(table)


def bench(load: Load, seconds: float, rounds: int) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as scratch:
        home = Path(scratch)
        home.chmod(0o755)  # PostgreSQL runs under another account when root benchmarks
        with embedded.running(home) as url:
            schema.prepare(url)
            database = Database(url)
            ids = prepare(database)
            database.execute("ensure_tick_day", day=datetime.now(UTC).date())
            writing = Writing(url, ids, load)
            writing.start()
            try:
                results: dict[str, list[Measured]] = {"all read": [], "one stalled": []}
                for _ in range(rounds):
                    for name, measured in results.items():
                        measured.append(measure(url, load, seconds, name == "one stalled"))
            finally:
                writing.stop.set()
                writing.join()
    title = (
        f"{load.clients} clients x {load.instruments} instruments, {load.ticks:,} ticks/s in, "
        f"a commit each {load.flush:g} s: milliseconds"
    )
    show(Console(width=120), title, results)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--instruments", type=int, default=100)
    parser.add_argument("--ticks", type=int, default=1_000)
    parser.add_argument("--flush", type=float, default=0.25)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--serve", nargs=2, metavar=("URL", "PORT"), help=argparse.SUPPRESS)
    parser.add_argument("--listen", nargs=6, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve[0], int(options.serve[1]))
    elif options.listen:
        address, clients, each, ticks, flush, seconds = options.listen
        load = Load(int(clients), int(each), int(ticks), float(flush))
        asyncio.run(listen(address, load, float(seconds)))
    else:
        load = Load(options.clients, options.instruments, options.ticks, options.flush)
        bench(load, options.seconds, options.rounds)


if __name__ == "__main__":
    main()
