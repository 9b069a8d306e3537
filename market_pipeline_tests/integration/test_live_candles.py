"""Live candles are what view candles_1m shows, whenever a client joins and whatever comes late."""

import random
from datetime import UTC
from typing import Any

import pytest

from market_pipeline.storage import candles
from market_pipeline.storage.database import Database
from market_pipeline_tests.builders import Tick, eventually, fetch
from market_pipeline_tests.live_cases import Api, Feed, Listener, ids, listening
from market_pipeline_tests.live_cases import api as api
from market_pipeline_tests.live_cases import feed as feed
from market_pipeline_tests.live_cases import hurried_feed as hurried_feed

pytestmark = pytest.mark.needs_real_server("waits for notifications on a connection of its own")

FIELDS = ("open", "high", "low", "close", "volume", "open_interest", "trades")


def in_view(database: Database) -> dict[tuple[int, str], tuple[Any, ...]]:
    candles.refresh(database)
    rows = fetch(
        database,
        "SELECT instrument_id, time, open, high, low, close, volume, open_interest, trades"
        " FROM candles_1m",
    )
    return {(row[0], f"{row[1].astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"): row[2:] for row in rows}


def told(client: Listener) -> dict[tuple[int, str], tuple[Any, ...]]:
    """Return what a client was told last of each candle."""
    return {
        (candle["instrument_id"], candle["time"]): tuple(candle[field] for field in FIELDS)
        for message in client.seen
        for candle in message.get("candles", [])
    }


def follow(client: Listener) -> None:
    client.ask("candles", instruments=["INFY", "TCS"])
    client.until("candles_subscribed")


def agree(client: Listener, database: Database, since: str = "") -> None:
    """Read until everything the client was told equals the view, from a minute on."""
    expected = {key: row for key, row in in_view(database).items() if key[1] >= since}
    assert expected

    def is_equal() -> bool:
        client.receive()
        return {key: row for key, row in told(client).items() if key[1] >= since} == expected

    if told(client) != expected:
        eventually(is_equal, f"told {told(client)}, stored {expected}")


def test_a_candle_grows_with_each_commit(database: Database, api: Api, feed: Feed) -> None:
    with listening(api) as client:
        follow(client)
        feed.commit(Tick(price=100, volume=5))
        feed.commit(Tick(at=1, price=101, volume=2, open_interest=7))
        agree(client, database)


def test_a_client_that_joins_in_the_middle_gets_the_whole_minute(
    database: Database, api: Api, feed: Feed
) -> None:
    feed.commit(Tick(price=100, volume=5), Tick(at=2, price=90, volume=1))
    with listening(api) as client:
        follow(client)
        client.until("candles")
        feed.commit(Tick(at=3, price=95, volume=4))
        agree(client, database)


def test_a_second_client_is_told_the_candle_at_once(api: Api, feed: Feed) -> None:
    feed.commit(Tick(price=100))
    with listening(api) as first, listening(api) as second:
        follow(first)
        first.until("candles")
        follow(second)
        (candle,) = second.until("candles")["candles"]
        assert (candle["close"], candle["interval"]) == (100, "1m")


def test_a_minute_is_closed_by_a_tick_of_the_next(api: Api, feed: Feed) -> None:
    with listening(api) as client:
        follow(client)
        feed.commit(Tick(price=100))
        feed.commit(Tick(at=60, price=101))
        closed = client.until("candles", lambda seen: seen["candles"][0]["is_closed"])
        assert [candle["close"] for candle in closed["candles"]] == [100, 101]
        assert not closed["candles"][1]["is_closed"]


@pytest.mark.parametrize("is_stored", [False, True])
def test_a_late_tick_makes_its_closed_minute_be_sent_again(
    database: Database, api: Api, feed: Feed, is_stored: bool
) -> None:
    with listening(api) as client:
        follow(client)
        feed.commit(Tick(price=100, volume=5))
        feed.commit(Tick(at=130, price=101))
        if is_stored:
            candles.refresh(database)
        feed.commit(Tick(at=10, price=120, volume=2))
        late = client.until("candles", lambda seen: seen["candles"][0]["close"] == 120)
        assert (late["candles"][0]["volume"], late["candles"][0]["is_closed"]) == (7, True)
        agree(client, database)


def test_a_quote_without_a_trade_makes_no_candle_but_counts(
    database: Database, api: Api, feed: Feed
) -> None:
    with listening(api) as client:
        follow(client)
        feed.commit(Tick(price=100, is_trade=False, volume=3, open_interest=4))
        feed.commit(Tick(at=1, price=101, volume=None))
        agree(client, database)
        assert [row[4:6] for row in told(client).values()] == [(3, 4)]


@pytest.mark.parametrize("seed", range(4))
def test_candles_of_random_ticks_equal_those_of_the_view(
    database: Database, api: Api, feed: Feed, seed: int
) -> None:
    generator, known = random.Random(seed), list(ids(database).values())

    def ticks(second: int) -> list[Tick]:
        return [
            Tick(
                at=max(second + generator.choice([0, 0, 0, 1, -5, -70]), 0),
                price=float(generator.randrange(90, 110)),
                volume=generator.choice([None, 0, 5]),
                instrument=generator.choice(known),
                is_trade=generator.random() < 0.7,
                open_interest=generator.choice([None, 1, 2]),
                high=generator.choice([None, 115.0]),
            )
            for _ in range(generator.randrange(1, 12))
        ]

    for second in range(0, 200, 7):
        feed.commit(*ticks(second))
    with listening(api) as client:
        follow(client)
        # The hub was told what both are at; late ticks of the minutes before are told as they come.
        for second in range(300, 600, 5):
            feed.commit(*ticks(second))
        agree(client, database, since="2026-11-20T03:49:00Z")
