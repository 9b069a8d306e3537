"""Ticks are stored as they are, with the journal's position, by one owner."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl
import pytest

from market_pipeline.errors import PositionLost, StreamTakenOver
from market_pipeline.market import MISSING, TICK_COLUMNS, Columns
from market_pipeline.storage.database import Database, connect
from market_pipeline.storage.tick_copy import TickCopy
from market_pipeline.storage.ticks import Batch, Rejected, TickStore
from market_pipeline_tests.builders import DAY, OPEN, Tick, eventually, fetch, tick_columns

TIMES = {"time", "exchange_time", "received_at"}
NULLABLE = (
    set(TICK_COLUMNS)
    - {"seq", "high", "low", "is_trade", "last_price", "time"}
    - {
        "instrument_id",
        "received_at",
    }
)


def random_ticks(count: int, seed: int = 3) -> Columns:
    """Ticks with any values in any column, a quarter of those that may be NULL missing."""
    random = np.random.default_rng(seed)
    ticks: Columns = {}
    for name, kind in TICK_COLUMNS.items():
        if kind in ("?", "i2"):
            ticks[name] = (random.random(count) < 0.5).astype(kind)
            continue
        missing = (random.random(count) < 0.25) & (name in NULLABLE)
        if kind == "f8":
            ticks[name] = np.where(missing, np.nan, random.normal(0, 1e4, count))
        else:
            values = random.integers(0, 2**62, count)
            if name in TIMES:
                values = OPEN * 1_000_000 + random.integers(0, 20_000_000_000, count)
            ticks[name] = np.where(missing, MISSING, values)
    return ticks


def as_stored(ticks: Columns) -> list[tuple[Any, ...]]:
    """Say in Python's terms what the table must hold; the first brokers have numbers 1 and 2."""
    frame = pl.DataFrame({**ticks, "feed": ticks["feed"] + 1}).with_columns(
        pl.when(pl.col(name) != MISSING).then(pl.col(name)) if kind == "i8" else pl.col(name)
        for name, kind in TICK_COLUMNS.items()
    )
    utc = pl.Datetime("us", "UTC")
    return frame.fill_nan(None).with_columns(pl.col(*TIMES).cast(utc)).sort("seq").rows()


def batch(start: int, end: int, *ticks: Tick, **more: Any) -> Batch:
    return Batch(start, end, len(ticks), tick_columns(list(ticks)), **more)


def store(database: Database, run_id: str = "first") -> TickStore:
    opened = TickStore(database.url, "test-0", run_id, ["test", "other"])
    opened.open()
    return opened


def test_rows_read_back_as_they_were_including_nulls(database: Database) -> None:
    ticks = random_ticks(2500)
    writer = store(database)
    writer.commit(Batch(0, 1, 2500, ticks))
    writer.close()
    assert fetch(database, "SELECT * FROM ticks ORDER BY seq") == as_stored(ticks)


def test_the_position_moves_with_the_rows(database: Database) -> None:
    writer = store(database)
    writer.commit(batch(0, 70, Tick(), is_stopped=True, last_received_at=OPEN * 10**9))
    found = writer.open()
    writer.close()
    assert (found.position, found.arrivals, found.is_stopped) == (70, 1, True)
    assert found.last_received_at == datetime.fromtimestamp(OPEN, UTC)


def test_a_batch_committed_again_is_stored_once(database: Database) -> None:
    writer = store(database)
    writer.commit(batch(0, 70, Tick()))
    writer.commit(batch(0, 70, Tick()))  # as after a connection that broke during COMMIT
    writer.close()
    assert fetch(database, "SELECT count(*) FROM ticks") == [(1,)]


def test_a_batch_from_another_position_is_refused(database: Database) -> None:
    writer = store(database)
    writer.commit(batch(0, 70, Tick()))
    with pytest.raises(PositionLost):
        writer.commit(batch(0, 80, Tick()))
    assert fetch(database, "SELECT count(*) FROM ticks") == [(1,)]


def test_only_the_run_that_opened_the_stream_last_may_store(database: Database) -> None:
    first = store(database)
    store(database, "second").close()
    with pytest.raises(StreamTakenOver, match="test-0"):
        first.commit(batch(0, 70, Tick()))
    assert fetch(database, "SELECT count(*) FROM ticks") == [(0,)]


def test_streams_do_not_touch_each_other(database: Database) -> None:
    first = store(database)
    other = TickStore(database.url, "test-1", "second")
    assert other.open().position == 0
    other.close()
    first.commit(batch(0, 70, Tick()))
    first.close()


@pytest.mark.needs_plain_server("a hypertable makes its chunks itself")
def test_each_trading_date_has_a_partition(database: Database) -> None:
    writer = store(database)
    writer.commit(batch(0, 1, Tick(), Tick(at=DAY), Tick(at=-DAY)))
    writer.close()
    found = fetch(database, "SELECT day::text, relation::text FROM tick_days ORDER BY day")
    assert [day for day, _ in found] == ["2026-11-19", "2026-11-20", "2026-11-21"]
    assert found[1][1] == "ticks_20261120"


@pytest.mark.needs_plain_server("a hypertable makes its chunks itself")
def test_a_partition_dropped_meanwhile_is_made_again(database: Database) -> None:
    writer = store(database)
    writer.commit(batch(0, 1, Tick()))
    fetch(database, "SELECT remove_tick_day(%s)", datetime.fromtimestamp(OPEN, UTC).date())
    writer.commit(batch(1, 2, Tick(at=1)))
    writer.close()
    assert fetch(database, "SELECT count(*) FROM ticks") == [(1,)]


def test_what_is_rejected_is_kept_whole(database: Database) -> None:
    writer = store(database)
    writer.commit(batch(0, 9, rejected=[Rejected(3, OPEN * 10**9, "why", b"\x00\xff")]))
    writer.close()
    assert fetch(database, "SELECT stream, position, reason, payload FROM rejected") == [
        ("test-0", 3, "why", b"\x00\xff")
    ]


def find_feeds(database: Database, *brokers: str) -> None:
    with closing(connect(database.url)) as connection, connection.transaction():
        TickCopy.of(connection, brokers)


def test_a_broker_that_has_a_number_uses_up_no_other(database: Database) -> None:
    for _ in range(5):
        find_feeds(database, "kite", "fyers")
    find_feeds(database, "kite", "other")
    numbers = dict(fetch(database, "SELECT broker, feed FROM feeds"))
    assert numbers == {"kite": 1, "fyers": 2, "other": 3}


@pytest.mark.needs_real_server("two transactions are open at once")
def test_processes_that_add_a_broker_at_once_agree_about_its_number(database: Database) -> None:
    with closing(connect(database.url)) as first, ThreadPoolExecutor() as pool:
        with first.transaction():
            TickCopy.of(first, ["kite"])
            second = pool.submit(find_feeds, database, "kite", "fyers")
            waiting = "SELECT pid FROM pg_locks WHERE NOT granted"
            eventually(lambda: fetch(database, waiting), "the second did not wait for the first")
        second.result()
    assert fetch(database, "SELECT broker FROM feeds ORDER BY feed") == [("kite",), ("fyers",)]
