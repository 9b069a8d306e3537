"""How long the API takes to answer: `python -m market_pipeline_tests.bench_api`.

A server in a process of its own, first over a day of candles of a simulated share, then while a
stream of 1,000 instruments that trade every second is stored; one client that asks again and again
on one connection, and then several at once.
"""

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import httpx

from market_pipeline.storage import embedded, schema
from market_pipeline.storage.database import Database
from market_pipeline_tests.builders import eventually
from market_pipeline_tests.faults.exchange import Exchange
from market_pipeline_tests.faults.matrix import home_folder
from market_pipeline_tests.faults.world import World
from market_pipeline_tests.history_days import simulated_day

DAY = "instrument=NSE:RELIANCE&from=2026-11-20&to=2026-11-20"
PATHS = (
    f"/api/historical/candles?{DAY}",
    f"/api/historical/candles?{DAY}&interval=7m",
    f"/api/historical/candles?{DAY}&interval=1d",
    f"/api/historical/ticks?{DAY}",
    "/api/instruments/NSE:RELIANCE",
    "/api/instruments/search?q=nifty+dec+fut",
    "/health",
)
STREAMED = (
    "/api/historical/candles?instrument={name}",
    "/api/historical/candles?instrument={name}&interval=5m",
    "/api/historical/ticks?instrument={name}",
    "/api/instruments/search?q=nifty+dec+fut",
    "/api/watchlist",
    "/api/ws/status",
)
_INSTRUMENTS = 1_000
_STREAMING_SECONDS = 90.0
_REQUESTS = 300
_CLIENTS = 4


def main() -> None:
    """Measure and print."""
    home = Path(tempfile.mkdtemp(prefix="market_pipeline_bench_", dir="/tmp"))
    home.chmod(0o755)
    with embedded.running(home) as url:
        database = Database(url)
        schema.prepare(url)
        with simulated_day(database, home) as day:
            schema.prepare(url, day.settings)
            day.store_ticks()
            environment = os.environ | {
                "DATABASE_URL": day.database.url,
                "BROKER": "simulator",
                "SIMULATOR_ALWAYS_OPEN": "false",
                "MARKET_PIPELINE_HOME": str(day.settings.market_pipeline_home),
            }
            _measure(environment, PATHS)
    _while_streaming()


def _while_streaming() -> None:
    """Measure over ticks that come in meanwhile."""
    with home_folder() as home, ExitStack() as around:
        database = Database(around.enter_context(embedded.running(home)))
        schema.prepare(database.url)
        exchange = Exchange(home, _INSTRUMENTS, "--every-second")
        around.callback(exchange.stop)
        world = World(home, exchange, database, database.url)
        around.callback(world.kill)
        world.subscribe_all()
        world.start()
        time.sleep(_STREAMING_SECONDS)
        share = next(name for name in world.names if name.startswith("NSE:") and " " not in name)
        paths = [path.format(name=share) for path in STREAMED]
        before, begun = world.packets(), time.monotonic()
        _measure(world.environment(), paths)
        rate = (world.packets() - before) / (time.monotonic() - begun)
        print(f"{rate:,.0f} packets/s came in meanwhile")  # noqa: T201 - for people


def _measure(environment: Mapping[str, str], paths: Sequence[str]) -> None:
    port = _free_port()
    command = [sys.executable, "-m", "market_pipeline", "api", "--port", str(port)]
    server = subprocess.Popen(command, env={**environment, "LOG_LEVEL": "WARNING"})
    base = f"http://127.0.0.1:{port}"
    try:
        eventually(lambda: _answers(base), "the API did not start")
        for path in paths:
            _print(path, _times(base, path, _REQUESTS))
        _print(f"{_CLIENTS} clients: {paths[0]}", _at_once(base, paths[0]))
    finally:
        server.terminate()
        server.wait(20)


def _at_once(base: str, path: str) -> list[float]:
    found: list[float] = []
    each = _REQUESTS // _CLIENTS
    threads = [
        threading.Thread(target=lambda: found.extend(_times(base, path, each)))
        for _ in range(_CLIENTS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def _times(base: str, path: str, count: int) -> list[float]:
    """Return the milliseconds of so many requests, one after the other, after some to warm up."""
    found: list[float] = []
    with httpx.Client(base_url=base, trust_env=False) as client:
        for number in range(count + 20):
            began = time.perf_counter()
            client.get(path).raise_for_status()
            if number >= 20:
                found.append((time.perf_counter() - began) * 1000)
    return found


def _print(what: str, times: list[float]) -> None:
    cuts = statistics.quantiles(times, n=100)
    print(f"p50 {cuts[49]:6.1f} ms  p99 {cuts[98]:6.1f} ms  {what}")  # noqa: T201 - for people


def _answers(base: str) -> bool:
    try:
        return httpx.get(f"{base}/health", trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def _free_port() -> int:
    with socket.socket() as candidate:
        candidate.bind(("127.0.0.1", 0))
        return int(candidate.getsockname()[1])


if __name__ == "__main__":
    main()
