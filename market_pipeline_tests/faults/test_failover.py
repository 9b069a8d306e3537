"""One of two brokers fails under load: how long nothing comes, and what it does to the candles."""

import os
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from market_pipeline.config import BrokerName
from market_pipeline.simulator.kite_server import SimulatorOptions, build_exchange
from market_pipeline.storage import candles
from market_pipeline.storage.database import Database
from market_pipeline_tests.builders import fetch
from market_pipeline_tests.faults import failover
from market_pipeline_tests.faults.exchange import Exchange
from market_pipeline_tests.faults.matrix import home_folder
from market_pipeline_tests.faults.test_history import await_time, next_minute
from market_pipeline_tests.faults.world import World

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(900)]

_PRICES = ["open", "high", "low", "close"]
_MINUTE = timedelta(minutes=1)
# Whole minutes of the market's time: received packets follow within a second.
_LATE = timedelta(seconds=3)


@dataclass(frozen=True)
class Outcome:
    """What a fail-over has cost."""

    instruments: int
    ticks_per_second: float
    seconds_without_ticks: float
    """The longest time in which no tick of any instrument was received."""
    seconds_before: float
    """The same over the minute before, with both brokers alive."""
    lost: int
    duplicated: int
    volume_error: float
    """Of the candles of the minutes concerned, as a share of what was traded."""
    candles: int
    differing: int

    def __str__(self) -> str:
        return (
            f"{self.instruments} instruments, {self.ticks_per_second:,.0f} ticks/s: "
            f"{self.seconds_without_ticks:.2f} s without ticks ({self.seconds_before:.2f} s in the "
            f"minute before), {self.lost} lost, {self.duplicated} duplicated, volume error "
            f"{self.volume_error:.6%}, {self.differing} of {self.candles} candles differ"
        )


@pytest.fixture
def world(new_database: Callable[..., str], template: str, full: bool) -> Iterator[World]:
    database = Database(new_database(template))
    count = 1000 if full else 300
    with home_folder() as home, ExitStack() as around:
        (home / "standby").mkdir()
        names = (BrokerName.SIMULATOR, BrokerName.FYERS_SIMULATOR)
        exchanges = [
            Exchange(folder, count, "--every-second", broker=name)
            for folder, name in zip((home, home / "standby"), names, strict=True)
        ]
        for exchange in exchanges:
            around.callback(exchange.stop)
        made = World(home, exchanges[0], database, database.url, full, standby=exchanges[1])
        around.callback(made.kill)
        made.subscribe_all()
        made.start()
        yield made


def longest_silence(world: World, since: datetime, until: datetime) -> float:
    """Return the longest time between two ticks of whichever instrument."""
    found = world.value(
        "SELECT extract(epoch FROM max(gap))::double precision FROM (SELECT received_at"
        " - lag(received_at) OVER (ORDER BY received_at) AS gap FROM ticks"
        " WHERE received_at >= %s AND received_at < %s) AS gaps",
        since,
        until,
    )
    return float(found)


def compared(world: World, first: datetime, end: datetime) -> tuple[float, int, int]:
    """Compare candles with the exchange's: volume error, how many there are and how many differ."""
    candles.refresh(world.database)
    ours = world.database.query(
        "live_minutes",
        instrument_ids=[row[0] for row in fetch(world.database, "SELECT instrument_id FROM ticks")],
        starts_at=first,
        ends_at=end,
    )
    count = len(world.names)
    truth, _ = build_exchange(SimulatorOptions(instruments=count, every_second=True))
    tokens = fetch(
        world.database,
        "SELECT token, instrument_id FROM broker_instruments WHERE broker = %s",
        world.broker.value,
    )
    until = int(end.timestamp())
    parts = []
    for token, instrument_id in tokens:
        found = truth.candles(token, 1, int(first.timestamp()), until - 60, until + 60)
        made = pl.DataFrame({name: found[name] for name in ("time", *_PRICES, "volume")})
        parts.append(made.with_columns(instrument_id=pl.lit(instrument_id, pl.Int64)))
    theirs = pl.concat(parts)
    return _differences(ours, theirs)


def _differences(ours: pl.DataFrame, theirs: pl.DataFrame) -> tuple[float, int, int]:
    ours = ours.with_columns(
        time=pl.col("time").dt.epoch("s"), volume=pl.col("volume").fill_null(0)
    )
    both = theirs.join(ours, on=["instrument_id", "time"], how="full", suffix="_ours")
    wrong = (pl.col("volume") - pl.col("volume_ours").fill_null(0)).abs().sum()
    error = both.select(wrong / pl.col("volume").sum()).item()
    same = pl.all_horizontal(
        pl.col(name).eq_missing(pl.col(f"{name}_ours")) for name in (*_PRICES, "volume")
    )
    return float(error), theirs.height, int(both.select((~same).sum()).item())


def test_a_broker_that_dies_costs_no_second_and_no_candle(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    first = next_minute(datetime.now(UTC))
    second = random.Random(5).uniform(20, 40)
    await_time(world, first + _MINUTE + timedelta(seconds=second))
    world.exchange.kill()
    killed_at = datetime.now(UTC)
    failover.stands_in(world)
    await_time(world, killed_at + timedelta(seconds=15))
    world.exchange.start()
    world.log_in()
    failover.returns(world)
    end = next_minute(datetime.now(UTC))
    await_time(world, end + _LATE)
    world.stop()
    for exchange in world.exchanges:
        exchange.stop()
    verdict = world.count()
    error, expected, differing = compared(world, first, end)
    minute = "SELECT count(*) / 60.0 FROM ticks WHERE received_at >= %s AND received_at < %s"
    outcome = Outcome(
        instruments=len(world.names),
        ticks_per_second=float(world.value(minute, first, first + _MINUTE)),
        seconds_without_ticks=longest_silence(world, killed_at - timedelta(seconds=2), end),
        seconds_before=longest_silence(world, first, first + _MINUTE),
        lost=verdict.lost,
        duplicated=verdict.duplicated,
        volume_error=error,
        candles=expected,
        differing=differing,
    )
    with capsys.disabled():
        os.write(1, f"\nfail-over: {outcome}\n".encode())
    assert verdict.is_proven, f"{verdict}\n{verdict.faults}"
    assert (outcome.volume_error, outcome.differing) == (0, 0)
    uncovered = "SELECT cause FROM gaps WHERE covered_by IS NULL AND cause <> 'asked to stop'"
    assert fetch(world.database, uncovered) == []
