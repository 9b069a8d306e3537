"""The command that proves the pipeline on a file of candles: what goes in must come out."""

import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import polars as pl
import typer
from rich.console import Console

from market_pipeline import brokers, quality
from market_pipeline.commands.connected import configured
from market_pipeline.config import BrokerName, Settings
from market_pipeline.errors import ConfigurationError, MarketPipelineError
from market_pipeline.sessions import EXCHANGE_TZ, trading_date
from market_pipeline.simulator.kite_server import RunningSimulator, SimulatorOptions, running
from market_pipeline.simulator.replay import read_candles
from market_pipeline.storage import candles, embedded, instruments, schema
from market_pipeline.storage.database import Database
from market_pipeline.streaming.supervisor import StopReason, run_stream

_STREAM = "simulator-0"
_STORE_SECONDS = 60.0

Files = Annotated[
    list[Path],
    typer.Argument(exists=True, dir_okay=False, help="CSV or Parquet: symbol, time, OHLCV[, OI]."),
]


class Replay(NamedTuple):
    """What went in and what came out; times are in UTC."""

    expected: pl.DataFrame
    actual: pl.DataFrame
    packets: int
    ticks: int
    seconds: float

    @property
    def differences(self) -> pl.DataFrame:
        return quality.candle_differences(self.expected, self.actual)


def replay_check(
    files: Files,
    day: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="Which day; the first in the files otherwise."),
    ] = None,
    speed: Annotated[float, typer.Option(min=1, help="How many times as fast as real.")] = 20_000,
) -> None:
    """Replay one-minute candles through the whole pipeline and compare what it makes of them.

    A simulated exchange trades so that each minute gives exactly the candle in the file, and sends
    it through the broker's own WebSocket library; ticks and candles go into a scratch database.
    Exit code 1 when a candle differs.
    """
    console = Console()
    expected = one_day(files, day.date() if day else None)
    with console.status(f"Replaying {expected.height} candles"):
        result = replay(configured(), expected, speed)
    for symbol in expected["symbol"].unique().sort():
        mine = expected.filter(pl.col("symbol") == symbol)
        wrong = result.differences.filter(pl.col("symbol") == symbol).height
        console.print(
            f"{symbol}: {mine.height - wrong} of {mine.height} candles equal "
            f"({quality.idle_minutes(mine)} minutes without a trade)"
        )
    console.print(
        f"{result.packets} packets sent, {result.ticks} ticks stored in {result.seconds:.1f} s"
    )
    if not result.differences.is_empty():
        console.print(result.differences)
    if result.packets != result.ticks or not result.differences.is_empty():
        raise typer.Exit(1)


def one_day(files: list[Path], day: date | None) -> pl.DataFrame:
    """Read the candles of one day, with column `time` in UTC.

    Raises:
        ConfigurationError: a file cannot be read, or has nothing of that day.
    """
    times = pl.from_epoch(pl.col("minute") * 60, "s").dt.replace_time_zone("UTC")
    rows = pl.concat([read_candles(file) for file in files]).select(
        "symbol", times.alias("time"), *quality.FIELDS, "open_interest"
    )
    days = pl.col("time").dt.convert_time_zone(EXCHANGE_TZ.key).dt.date()
    chosen = day or rows.select(days.min()).item()
    rows = rows.filter(days == chosen)
    if rows.is_empty():
        raise ConfigurationError(f"the files have no candles of {chosen}: choose another --day")
    return rows.sort("symbol", "time")


def replay(settings: Settings, expected: pl.DataFrame, speed: float) -> Replay:
    """Send candles of one day through simulator, broker, stream and database."""
    started = time.monotonic()
    with _scratch(settings.market_pipeline_home) as home, embedded.running(home) as url:
        schema.prepare(url)
        database = Database(url)
        source = home / "candles.parquet"
        expected.write_parquet(source)
        options = SimulatorOptions(
            port=0,
            replay=source,
            speed=speed,
            start_when_subscribed=expected["symbol"].n_unique(),
            always_open=False,
        )
        with running(options) as simulator:
            update: dict[str, Any] = {
                "broker": BrokerName.SIMULATOR,
                "standby_broker": None,
                "simulator_url": simulator.url,
                "market_pipeline_home": home,
            }
            packets = _stream_all(settings.model_copy(update=update), database, simulator)
        candles.refresh(database)
        actual = database.query("replayed_candles")
        ticks = int(database.query("count_ticks").item())
    return Replay(expected, actual, packets, ticks, time.monotonic() - started)


@contextmanager
def _scratch(parent: Path) -> Iterator[Path]:
    home = parent / f"replay-{time.time_ns()}"
    home.mkdir(parents=True)
    try:
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _stream_all(settings: Settings, database: Database, simulator: RunningSimulator) -> int:
    """Stream until the day is over and everything is stored; return how many packets were sent."""
    brokers.log_in_to_simulator(settings)
    broker = brokers.open_broker(settings)
    master = broker.instruments()
    today = trading_date(datetime.now(UTC))
    instruments.sync(database, settings.broker.value, master, today)
    instruments.subscribe(database, settings.broker.value, master["symbol"].to_list())
    stop = threading.Event()

    def stream() -> StopReason:
        return run_stream(
            _STREAM, "replay", [broker], database, settings, stop, lambda _: None, lambda: False
        )

    with ThreadPoolExecutor(1) as pool:
        job = pool.submit(stream)
        try:
            return _wait_until_stored(database, simulator, job)
        finally:
            stop.set()


def _wait_until_stored(
    database: Database, simulator: RunningSimulator, job: Future[StopReason]
) -> int:
    deadline = float("inf")
    while time.monotonic() < deadline:
        if job.done():
            raise MarketPipelineError(f"the stream ended before the replay: {job.result()}")
        if simulator.server.clock.finished:
            deadline = min(deadline, time.monotonic() + _STORE_SECONDS)
            sent = simulator.server.ticker.packets_sent
            if database.query("count_ticks").item() >= sent:
                return sent
        time.sleep(0.2)
    raise MarketPipelineError(f"not everything was stored within {_STORE_SECONDS:.0f} s")
