"""Candles are what their ticks make them, whenever they are stored and whatever comes late."""

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import LiteralString

import psycopg
import pytest
from psycopg import sql

from market_pipeline.storage import candles, dialect, schema
from market_pipeline.storage.database import Database
from market_pipeline.storage.sql_files import sql_folder
from market_pipeline_tests.builders import DAY, OPEN, Tick, eventually, fetch
from market_pipeline_tests.candle_feed import Feed
from market_pipeline_tests.plain_candles import MINUTE, Made, Row, expected, some_ticks

VIEWS: dict[int, LiteralString] = {
    1: "SELECT * FROM candles_1m",
    5: "SELECT * FROM candles_5m",
    15: "SELECT * FROM candles_15m",
}


@pytest.fixture
def feed(database: Database) -> Iterator[Feed]:
    opened = Feed(database)
    yield opened
    opened.close()


def shown(database: Database) -> dict[int, Made]:
    """Read all candles through the views."""
    return {minutes: read(database, query) for minutes, query in VIEWS.items()}


def read(database: Database, query: LiteralString) -> Made:
    rows = fetch(database, query)
    made = {(row[0], int(row[1].timestamp()) - OPEN): Row(*row[2:]) for row in rows}
    assert len(made) == len(rows), "a candle is shown twice"
    return made


def stored(database: Database, name: str = "candles_1m") -> int:
    """Count the candles that need not be computed any more; see storage/timescaledb.py."""
    is_timescaledb = fetch(database, "SELECT to_regclass('candles_1m_kept') IS NOT NULL")[0][0]
    table = sql.Identifier(f"{name}_{'kept' if is_timescaledb else 'stored'}")
    with psycopg.connect(database.url) as connection:
        row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(table)).fetchone()
    return int(row[0]) if row else 0


def at_minute(minute: float) -> datetime:
    return datetime.fromtimestamp(OPEN + minute * MINUTE, UTC)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_candles_are_what_a_plain_computation_makes(
    database: Database, feed: Feed, seed: int
) -> None:
    feed.send(*some_ticks(seed))
    assert shown(database) == expected(feed.ticks)


def test_storing_candles_does_not_change_what_is_shown(database: Database, feed: Feed) -> None:
    feed.send(*some_ticks(4))
    before = shown(database)
    assert candles.refresh(database) > 50
    assert stored(database) > 50
    assert shown(database) == before
    assert candles.refresh(database) == 0
    assert shown(database) == before


@pytest.mark.parametrize("seed", [5, 6])
def test_refreshing_between_batches_changes_nothing(
    database: Database, feed: Feed, seed: int
) -> None:
    ticks = some_ticks(seed, count=300)
    for start in range(0, len(ticks), 30):
        feed.send(*ticks[start : start + 30])
        candles.refresh(database)
    assert shown(database) == expected(feed.ticks)


def test_a_late_tick_corrects_every_length_at_the_next_refresh(
    database: Database, feed: Feed
) -> None:
    feed.send(*[Tick(at=at) for at in range(0, 40 * MINUTE, 30)])
    candles.refresh(database)
    feed.send(Tick(at=7 * MINUTE, price=200, volume=50))
    candles.refresh(database)
    assert shown(database) == expected(feed.ticks)
    assert [shown(database)[n][1, at].high for n, at in ((1, 420), (5, 300), (15, 0))] == [200] * 3


def test_a_late_tick_makes_a_candle_where_there_was_none(database: Database, feed: Feed) -> None:
    feed.send(Tick(at=0), Tick(at=30 * MINUTE))
    candles.refresh(database)
    feed.send(Tick(at=10 * MINUTE, instrument=2))
    candles.refresh(database)
    assert shown(database) == expected(feed.ticks)


def test_a_late_tick_does_not_become_the_close(database: Database, feed: Feed) -> None:
    feed.send(Tick(at=10, price=1), Tick(at=50, price=2), Tick(at=20, price=3))
    assert shown(database)[1][1, 0][:4] == (1, 3, 1, 2)


def test_ticks_of_one_second_are_in_order_of_arrival(database: Database, feed: Feed) -> None:
    feed.send(*[Tick(at=5, price=price) for price in (3, 9, 1, 4)])
    assert shown(database)[1][1, 0][:4] == (3, 9, 1, 4)


def test_a_refresh_beside_a_writer_loses_nothing(database: Database, feed: Feed) -> None:
    ticks = some_ticks(7, count=3000)
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(feed.send_in_batches, ticks, 20)
        while not writing.done():
            candles.refresh(database)
        writing.result()
    candles.refresh(database, at_minute(60))
    assert shown(database) == expected(ticks)
    assert stored(database) == len(expected(ticks)[1])


def test_refreshes_and_writers_of_several_streams_agree(database: Database) -> None:
    feeds = [Feed(database, f"test-{n}") for n in range(2)]
    ticks = [
        [Tick(t.at, t.price, t.volume, t.instrument + 10 * n) for t in some_ticks(8 + n, 800)]
        for n in range(2)
    ]

    with ThreadPoolExecutor(2) as pool:
        jobs = [
            pool.submit(feed.send_in_batches, those, 20)
            for feed, those in zip(feeds, ticks, strict=True)
        ]
        while not all(job.done() for job in jobs):
            candles.refresh(database)
        for job in jobs:
            job.result()
    for feed in feeds:
        feed.close()
    candles.refresh(database, at_minute(60))
    assert shown(database) == expected(ticks[0] + ticks[1])


def waits_for(database: Database, kind: str) -> bool:
    query: LiteralString = """
        SELECT FROM pg_locks WHERE NOT granted AND locktype = %s
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    """
    with psycopg.connect(database.url) as connection:
        return connection.execute(query, [kind]).rowcount > 0


@pytest.mark.needs_real_server("three sessions wait for locks")
def test_a_refresh_waits_for_the_ticks_under_way(database: Database, feed: Feed) -> None:
    feed.send(Tick())
    with ThreadPoolExecutor(2) as pool:
        with psycopg.connect(database.url) as blocker:
            blocker.execute("LOCK TABLE ticks IN SHARE MODE")
            writing = pool.submit(feed.send, Tick(at=30))
            eventually(lambda: waits_for(database, "relation"), "the writer is not held up")
            refreshing = pool.submit(candles.refresh, database, at_minute(5))
            eventually(
                lambda: waits_for(database, "advisory") or refreshing.done(),
                "the refresh neither waits nor ends",
            )
        writing.result()
        refreshing.result()
    candles.refresh(database)
    assert shown(database) == expected(feed.ticks)


def test_a_minute_of_quotes_has_no_candle(database: Database, feed: Feed) -> None:
    feed.send(Tick(at=0), Tick(at=70, is_trade=False, volume=0), Tick(at=130))
    assert sorted(shown(database)[1]) == [(1, 0), (1, 120)]


def test_a_print_before_the_open_is_not_in_the_first_candle(database: Database, feed: Feed) -> None:
    feed.send(Tick(at=-1, price=500), Tick(at=0, price=100))
    assert shown(database)[1][1, 0].open == shown(database)[15][1, 0].high == 100
    assert shown(database)[1][1, -60].close == 500


def test_open_interest_is_the_last_that_is_known(database: Database, feed: Feed) -> None:
    feed.send(Tick(open_interest=5), Tick(at=1, open_interest=7, is_trade=False), Tick(at=2))
    assert shown(database)[1][1, 0].open_interest == 7


def test_an_index_has_no_volume(database: Database, feed: Feed) -> None:
    feed.send(Tick(volume=None), Tick(at=61, volume=None))
    candles.refresh(database)
    assert {row.volume for made in shown(database).values() for row in made.values()} == {None}


def test_candles_whose_ticks_were_dropped_are_not_computed_again(
    database: Database, feed: Feed
) -> None:
    feed.send(Tick(at=0, price=100), Tick(at=30, price=101), Tick(at=DAY))
    candles.refresh(database)
    before = shown(database)
    midnight = at_minute(0).replace(hour=18, minute=30)
    database.execute("forget_ticks_before", before=midnight)
    fetch(database, "SELECT remove_tick_day(%s)", at_minute(0).date())
    feed.send(Tick(at=20, price=7))
    assert candles.refresh(database) == 0
    assert shown(database) == before


def test_the_clock_completes_a_candle_that_no_tick_follows(database: Database, feed: Feed) -> None:
    feed.send(Tick(at=14 * MINUTE))
    candles.refresh(database)
    assert stored(database) == 0
    candles.refresh(database, at_minute(15))
    assert stored(database, "candles_15m") == 1


def test_an_empty_database_has_no_candles_to_refresh(database: Database) -> None:
    assert candles.refresh(database) == 0


def test_installed_views_are_left_alone(database: Database) -> None:
    assert schema.prepare(database.url) == []


@pytest.mark.needs_plain_server("an aggregate cannot be edited")
def test_an_edited_definition_is_installed_once(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edited = tmp_path / "sql"
    shutil.copytree(sql_folder(), edited)
    file = edited / "candles" / "candles_1m.sql"
    file.write_text(file.read_text().replace("max(high)", "max(last_price)"))
    monkeypatch.setattr(dialect, "sql_folder", lambda: edited)
    assert [install(database) for _ in range(2)] == [["candles_1m"], []]


def install(database: Database) -> list[str]:
    with database.transaction() as connection:
        return candles.install(connection)
