"""What was missed while a line was silent comes back from the broker, candle by candle."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from market_pipeline import brokers
from market_pipeline.history.backfill import MINUTE
from market_pipeline.history.fetching import SETTLES_WITHIN
from market_pipeline.storage.database import Database
from market_pipeline_tests.builders import fetch
from market_pipeline_tests.dagster_cases import rows
from market_pipeline_tests.faults import run
from market_pipeline_tests.faults.exchange import Exchange
from market_pipeline_tests.faults.matrix import home_folder
from market_pipeline_tests.faults.world import World, poll

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(600)]

INSTRUMENTS = 20
SILENT = timedelta(seconds=45)
_FIELDS = ["open", "high", "low", "close", "volume"]


@pytest.fixture
def world(new_database: Callable[..., str], template: str) -> Iterator[World]:
    database = Database(new_database(template))
    with home_folder() as home, closing_exchange(home) as exchange:
        made = World(home, exchange, database, database.url)
        made.subscribe_all()
        try:
            made.start()
            yield made
        finally:
            made.kill()


@contextmanager
def closing_exchange(home: Path) -> Iterator[Exchange]:
    exchange = Exchange(home, INSTRUMENTS)
    try:
        yield exchange
    finally:
        exchange.stop()


def await_time(world: World, at: datetime) -> None:
    poll(200, lambda: datetime.now(UTC) >= at, world.say)


def next_minute(at: datetime) -> datetime:
    return at.replace(second=0, microsecond=0) + timedelta(minutes=1)


def traded(world: World, token: int, first: datetime, end: datetime) -> pl.DataFrame:
    """Return the minutes of an instrument in which the exchange traded."""
    client = brokers.open_broker(world.settings)
    found = client.candles(token, MINUTE, first, end - timedelta(minutes=1))
    return found.filter(pl.col("volume").fill_null(1) > 0)


def read(world: World, instrument_id: int, first: datetime, end: datetime) -> pl.DataFrame:
    found = rows(
        world.database,
        "SELECT * FROM candles(%(id)s, '1 minute', %(first)s, %(end)s)",
        id=instrument_id,
        first=first,
        end=end,
    )
    return pl.DataFrame(found)


def test_a_gap_is_filled_with_what_the_exchange_traded(world: World) -> None:
    first = next_minute(datetime.now(UTC))  # what came before was joined in its midst
    await_time(world, first + timedelta(seconds=20))
    world.exchange.fault("silence")
    await_time(world, datetime.now(UTC) + SILENT)
    world.exchange.fault("silence", on=False)
    world.await_live()
    end = next_minute(datetime.now(UTC))
    await_time(world, end + SETTLES_WITHIN + timedelta(seconds=1))
    done = subprocess.run(
        run.command("fill-gaps"),
        env=run.environment(
            MARKET_PIPELINE_HOME=str(world.home),
            DATABASE_URL=world.database.url,
            BROKER=world.broker.value,
            SIMULATOR_URL=world.exchange.url,
        ),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert fetch(world.database, "SELECT count(*) FROM gaps WHERE repaired_by IS NULL") == [(0,)]
    states: set[str] = set()
    tokens = fetch(
        world.database,
        "SELECT token, b.instrument_id, kind FROM broker_instruments b"
        " JOIN instruments USING (instrument_id)",
    )
    for token, instrument_id, kind in tokens:
        fields = _FIELDS[:4] if kind == "INDEX" else _FIELDS
        ours, theirs = (
            read(world, instrument_id, first, end),
            traded(world, token, first, end),
        )
        assert ours.select("time", *fields).equals(theirs.select("time", *fields)), instrument_id
        states |= set(ours["state"])
    assert "repaired" in states
