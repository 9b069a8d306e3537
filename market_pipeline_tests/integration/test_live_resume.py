"""A client that comes back gets what it missed, each tick exactly once."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from market_pipeline.api.live import endpoint, hub, subscriber
from market_pipeline.errors import DatabaseUnavailable
from market_pipeline.storage.database import Database
from market_pipeline.storage.reading import Reader, Row
from market_pipeline_tests.builders import Tick, fetch, outage
from market_pipeline_tests.live_cases import STREAM, Api, Feed, Listener, ids, listening, running
from market_pipeline_tests.live_cases import api as api
from market_pipeline_tests.live_cases import feed as feed
from market_pipeline_tests.live_cases import hurried_feed as hurried_feed
from market_pipeline_tests.stream_cases import prepare

pytestmark = [
    pytest.mark.slow,
    pytest.mark.needs_real_server("waits for notifications on a connection of its own"),
]


@contextlib.contextmanager
def resumed(api: Api, seq: dict[str, int]) -> Iterator[Listener]:
    with listening(api) as client:
        client.ask("resume", seq=seq)
        client.ask("subscribe", instruments=["INFY"])
        yield client


def first_ticks(api: Api, feed: Feed) -> dict[str, int]:
    """Let a client see two ticks and go; return its seq."""
    with listening(api) as client:
        client.subscribe("INFY")
        feed.commit(Tick(price=1), Tick(price=2))
        client.prices(2)
        return client.seq


def test_what_was_committed_meanwhile_comes_before_what_comes_now(api: Api, feed: Feed) -> None:
    seq = first_ticks(api, feed)
    feed.commit(Tick(price=3), Tick(price=4))
    feed.commit(Tick(price=5))
    with resumed(api, seq) as client:
        client.until("resumed")
        feed.commit(Tick(price=6))
        assert client.prices(4) == [3, 4, 5, 6]
        assert client.seq == {STREAM: 6}


def test_a_batch_that_was_half_seen_is_sent_from_where_it_was_seen(api: Api, feed: Feed) -> None:
    feed.commit(*(Tick(price=price) for price in range(1, 11)))
    with resumed(api, {STREAM: 7}) as client:
        assert client.prices(3) == [8, 9, 10]


def test_a_restart_of_the_api_loses_and_doubles_nothing(api: Api, feed: Feed) -> None:
    seq = first_ticks(api, feed)
    api.stop()
    feed.commit(Tick(price=3))
    api.start()
    feed.commit(Tick(price=4))
    with resumed(api, seq) as client:
        feed.commit(Tick(price=5))
        assert client.prices(3) == [3, 4, 5]


def test_a_client_may_resume_at_another_process(database: Database, api: Api, feed: Feed) -> None:
    seq = first_ticks(api, feed)
    with running(database) as other:
        feed.commit(Tick(price=3))
        with resumed(other, seq) as client, listening(api) as at_first:
            at_first.subscribe("INFY")
            client.until("resumed")
            feed.commit(Tick(price=4))
            assert client.prices(2) == [3, 4]
            assert at_first.prices(1) == [4]


def test_a_long_absence_is_sent_whole_however_much_may_wait(
    api: Api, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscriber, "MOST_PENDING", 1_000)
    seq = first_ticks(api, feed)
    prices = [float(price) for price in range(3, 6_003)]
    for start in range(0, len(prices), 1_500):
        feed.commit(*(Tick(price=price) for price in prices[start : start + 1_500]))
    with resumed(api, seq) as client:
        assert client.prices(len(prices)) == prices
        assert client.lost == 0


def test_each_message_of_old_ticks_says_up_to_where_it_goes(api: Api, feed: Feed) -> None:
    seq = first_ticks(api, feed)
    feed.commit(*(Tick(price=price) for price in range(3, 2_503)))
    with resumed(api, seq) as client:
        client.until("ticks")  # and is gone, with more on its way
        seen = len(client.ticks)
    with resumed(api, client.seq) as client:
        assert client.prices(2_500 - seen)[0] == 3 + seen


def test_what_is_not_there_any_more_is_told(database: Database, api: Api, feed: Feed) -> None:
    seq = first_ticks(api, feed)
    feed.commit(Tick(price=3))
    fetch(database, "DELETE FROM tick_batches")
    feed.commit(Tick(price=4))
    with resumed(api, seq) as client:
        told = client.until("resume_failed")
        assert (told["streams"][STREAM]["first"], told["streams"][STREAM]["end"]) == (2, 3)
        assert told["rest"] == "/api/historical/ticks"
        assert client.prices(1) == [4]


@pytest.mark.parametrize("seq", [{STREAM: 1}, {}])
def test_what_is_not_there_between_what_is_there_is_told(
    database: Database, api: Api, feed: Feed, seq: dict[str, int]
) -> None:
    first_ticks(api, feed)
    for price in (3, 4, 5, 6):
        feed.commit(Tick(price=price))
    fetch(database, "DELETE FROM tick_batches WHERE first_arrival IN (3, 4)")
    with resumed(api, seq) as client:
        told = client.until("resume_failed")
        assert (told["streams"][STREAM]["first"], told["streams"][STREAM]["end"]) == (3, 5)
        assert [tick["last_price"] for tick in client.ticks] == [1, 2, 3][seq.get(STREAM, 0) :]
        client.until("resumed")
        assert client.prices(1)[-1] == 6


def test_the_seq_of_an_answer_is_behind_what_was_sent_and_before_what_comes(
    api: Api, feed: Feed
) -> None:
    first_ticks(api, feed)
    with listening(api) as client:
        seq = client.subscribe("INFY")["seq"]
        assert seq == {STREAM: 2}
    feed.commit(Tick(price=3))
    with resumed(api, seq) as client:
        client.until("resumed")
        assert client.prices(1) == [3]


def test_what_is_subscribed_second_after_a_resume_begins_now(
    database: Database, api: Api, feed: Feed
) -> None:
    infy, tcs = (ids(database)[symbol] for symbol in ("INFY", "TCS"))
    seq = first_ticks(api, feed)
    feed.commit(Tick(price=3, instrument=infy), Tick(price=4, instrument=tcs))
    with resumed(api, seq) as client:
        client.until("resumed")
        assert client.subscribe("TCS")["seq"] == {STREAM: 4}
        feed.commit(Tick(price=5, instrument=tcs))
        assert client.prices(2) == [3, 5]
        seen = [message["seq"][STREAM] for message in client.seen if "seq" in message]
        assert seen == sorted(seen)


def test_a_subscription_that_failed_goes_on_when_it_is_asked_for_again(
    api: Api, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads, read = [], Reader.rows

    async def rows(reader: Reader, name: str, /, **values: Any) -> list[Row]:
        reads.append(name)
        if reads.count("tick_batches_between") in (1, 3) and name == "tick_batches_between":
            raise DatabaseUnavailable
        return await read(reader, name, **values)

    for price in range(1, 8):
        feed.commit(Tick(price=price))
    monkeypatch.setattr(Reader, "rows", rows)
    with resumed(api, {STREAM: 1}) as client:
        for known in (1, 5):  # before anything was sent, and after four batches
            client.until("error", lambda told: told["problem"]["status"] == 503)
            assert client.subscribe("INFY")["seq"] == {STREAM: known}
        client.until("resumed")
        feed.commit(Tick(price=8))
        assert client.prices(7) == [2, 3, 4, 5, 6, 7, 8]


def test_a_seq_ahead_of_everything_is_told(api: Api, feed: Feed) -> None:
    first_ticks(api, feed)
    with resumed(api, {STREAM: 1_000_000}) as client:
        told = client.until("resume_failed")
        assert told["streams"][STREAM]["end"] == 2


def test_to_resume_after_subscribing_is_refused(api: Api) -> None:
    with listening(api) as client:
        client.subscribe("INFY")
        client.ask("resume", seq={})
        assert "first" in client.until("error")["problem"]["detail"]


def test_a_hole_in_what_is_put_out_is_told(database: Database, api: Api, feed: Feed) -> None:
    other = Feed(database)
    with listening(api) as client:
        client.subscribe("INFY")
        feed.commit(Tick(price=1))
        client.prices(1)
        other.recover()
        fetch(database, "UPDATE journal_positions SET arrivals = 11")
        late = Feed(database)
        late.commit(Tick(price=2))
        told = client.until("missed")
        assert (told["streams"][STREAM]["first"], told["streams"][STREAM]["end"]) == (1, 11)
        assert client.prices(2) == [1, 2]
    for each in (other, late):
        each.close()


def test_a_crash_of_the_database_loses_and_doubles_nothing(hurried_feed: None) -> None:
    with outage() as server:
        prepare(server.database)
        with running(server.database) as api, contextlib.closing(Feed(server.database)) as feed:
            with listening(api) as client:
                client.subscribe("INFY")
                for price in range(1, 20):
                    feed.commit(Tick(at=price, price=price))
                client.prices(19)
                server.begin()
                client.until("status", lambda told: told["database"] == "unavailable")
                server.end()
                feed.recover()
                feed.commit(Tick(at=20, price=20))
                client.until("status", lambda told: told["database"] == "available")
                feed.commit(Tick(at=21, price=21))
                assert client.prices(21) == list(range(1, 22))
                assert not [told for told in client.seen if told["type"] == "missed"]


def test_without_a_database_a_request_is_answered_with_what_is_wrong(hurried_feed: None) -> None:
    with outage() as server:
        prepare(server.database)
        with running(server.database) as api, listening(api) as client:
            client.subscribe("INFY")
            server.begin()
            client.until("status", lambda told: told["database"] == "unavailable")
            client.ask("subscribe", instruments=["TCS"])
            assert client.until("error")["problem"]["status"] == 503


def test_heartbeats_tell_of_a_database_that_is_frozen_and_ticks_go_on_after_it(
    hurried_feed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "_SILENT_SECONDS", 1.5)
    monkeypatch.setattr(endpoint, "HEARTBEAT_SECONDS", 0.1)
    with outage() as server:
        prepare(server.database)
        with running(server.database) as api, contextlib.closing(Feed(server.database)) as feed:
            with listening(api) as client:
                client.subscribe("INFY")
                frozen = server.processes()
                for process in frozen:
                    process.suspend()
                client.until("heartbeat", lambda told: told["database"] == "unavailable")
                for process in frozen:
                    process.resume()
                client.until("heartbeat", lambda told: told["database"] == "available")
                feed.commit(Tick(price=1))
                assert client.prices(1) == [1]
