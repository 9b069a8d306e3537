"""A slow client is told how many ticks it lost, and delays nobody."""

import time

import pytest
from websockets.exceptions import ConnectionClosed

from market_pipeline.api.live import endpoint, subscriber
from market_pipeline.storage.database import Database
from market_pipeline_tests.builders import Tick, eventually
from market_pipeline_tests.live_cases import Api, Feed, Listener, ids, listening, small_socket
from market_pipeline_tests.live_cases import api as api
from market_pipeline_tests.live_cases import feed as feed
from market_pipeline_tests.live_cases import hurried_feed as hurried_feed

pytestmark = pytest.mark.needs_real_server("waits for notifications on a connection of its own")

COMMITS, TICKS = 10, 500


@pytest.fixture(autouse=True)
def little_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let little wait for a client, and send it in small pieces."""
    monkeypatch.setattr(subscriber, "MOST_PENDING", 1_000)
    monkeypatch.setattr(subscriber, "MESSAGE_TICKS", 50)


def commit_much(database: Database, feed: Feed, quick: Listener | None = None) -> list[float]:
    """Commit many ticks of two instruments, each commit when a quick client has read the last."""
    known = ids(database)
    prices: list[float] = [float(number) for number in range(1, COMMITS * TICKS + 1)]
    for start in range(0, len(prices), TICKS):
        part = prices[start : start + TICKS]
        feed.commit(
            *(Tick(price=price, instrument=known["INFY" if price % 2 else "TCS"]) for price in part)
        )
        if quick is not None:
            quick.prices(start + TICKS)
    return prices


def read_all(client: Listener, total: int) -> None:
    eventually(
        lambda: client.receive() and len(client.ticks) + client.lost >= total,
        "not every tick is accounted for",
    )


def test_what_a_slow_client_gets_and_what_it_lost_are_all_there_were(
    database: Database, api: Api, feed: Feed
) -> None:
    with listening(api, sock=small_socket(api)) as slow, listening(api) as quick:
        for client in (slow, quick):
            client.subscribe("INFY", "TCS", mode="full")
        prices = commit_much(database, feed, quick)
        read_all(slow, len(prices))
        got = [tick["last_price"] for tick in slow.ticks]
        assert slow.lost > 0 and len(got) + slow.lost == len(prices)
        assert got == sorted(got)  # never back in time
        assert got[-2:] == prices[-2:]  # the newest of each instrument


def test_a_client_that_does_not_read_delays_no_other(
    database: Database, api: Api, feed: Feed
) -> None:
    with listening(api, sock=small_socket(api)) as stalled, listening(api) as quick:
        for client in (stalled, quick):
            client.subscribe("INFY", "TCS", mode="full")
        prices = commit_much(database, feed, quick)
        assert [tick["last_price"] for tick in quick.ticks] == prices
        assert quick.lost == 0


def test_a_client_that_never_reads_holds_no_socket_of_the_server(
    database: Database, api: Api, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint, "STALLED_SECONDS", 0.3)
    monkeypatch.setattr(endpoint, "_CLOSING_SECONDS", 0.3)
    with listening(api, sock=small_socket(api)) as stalled:
        stalled.subscribe("INFY", "TCS", mode="full")
        commit_much(database, feed)
        open_ones = api.server.server_state.connections
        eventually(lambda: not open_ones, "the server holds on to the connection", 5)


def test_a_client_that_takes_nothing_is_closed_with_a_reason(
    database: Database,
    api: Api,
    feed: Feed,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(endpoint, "STALLED_SECONDS", 0.3)
    with listening(api, sock=small_socket(api)) as stalled:
        stalled.subscribe("INFY", "TCS", mode="full")
        commit_much(database, feed)
        eventually(lambda: "has taken nothing" in caplog.text, "it was not noticed")
        with pytest.raises(ConnectionClosed) as closed:
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline:
                stalled.receive()
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (
        1013,
        "nothing was taken for 0.3 s",
    )
