"""Clients get committed ticks as they subscribe them, over a real server."""

import pytest
from websockets.exceptions import ConnectionClosedError

from market_pipeline.api.live import endpoint, hub, serving
from market_pipeline.storage.database import Database
from market_pipeline_tests.builders import INFY, Tick
from market_pipeline_tests.live_cases import Api, Feed, ids, listening
from market_pipeline_tests.live_cases import api as api
from market_pipeline_tests.live_cases import feed as feed
from market_pipeline_tests.live_cases import hurried_feed as hurried_feed

pytestmark = pytest.mark.needs_real_server("waits for notifications on a connection of its own")


def test_a_client_gets_the_ticks_it_subscribes_and_no_others(
    database: Database, api: Api, feed: Feed
) -> None:
    known = ids(database)
    with listening(api) as client:
        client.subscribe("NSE:INFY")
        feed.commit(Tick(price=1, instrument=known["INFY"]), Tick(price=2, instrument=known["TCS"]))
        feed.commit(Tick(price=3, instrument=known["INFY"]))
        assert client.prices(2) == [1, 3]
        assert client.lost == 0


@pytest.mark.parametrize("name", ["NSE:INFY", "infy", INFY, str(INFY)])
def test_an_instrument_may_be_named_by_symbol_or_token(api: Api, name: str | int) -> None:
    with listening(api) as client:
        (told,) = client.subscribe(name)["instruments"]
        assert (told["asked"], told["instrument"]) == (str(name), "NSE:INFY")


def test_an_instrument_may_be_named_by_our_own_id(database: Database, api: Api) -> None:
    with listening(api) as client:
        (told,) = client.subscribe(f"id:{ids(database)['TCS']}")["instruments"]
        assert told["instrument"] == "NSE:TCS"


def test_unknown_names_are_told_with_near_ones_and_the_rest_is_taken(api: Api) -> None:
    long = f"id:{'9' * 90}"
    with listening(api) as client:
        told = client.subscribe("INFI", "TCS", "id:987654321", long)
    assert [each["instrument"] for each in told["instruments"]] == ["NSE:TCS"]
    assert told["unknown"] == [
        {"asked": "INFI", "near": ["NSE:INFY"]},
        {"asked": "id:987654321", "near": []},
        {"asked": long, "near": []},
    ]


@pytest.mark.parametrize(
    ("mode", "has", "has_not"),
    [
        ("ltp", "last_price", "day_volume"),
        ("quote", "volume", "bid_price"),
        ("full", "open_interest", "seq"),
    ],
)
def test_each_mode_has_its_fields(api: Api, feed: Feed, mode: str, has: str, has_not: str) -> None:
    with listening(api) as client:
        client.subscribe("INFY", mode=mode)
        feed.commit(Tick(price=7, volume=5, open_interest=9))
        client.prices(1)
        assert has in client.ticks[0] and has_not not in client.ticks[0]
        assert client.ticks[0]["received_at"] == "2026-11-20T03:45:00Z"


def test_what_a_tick_does_not_carry_is_null(api: Api, feed: Feed) -> None:
    with listening(api) as client:
        client.subscribe("INFY", mode="full")
        feed.commit(Tick(volume=None))
        client.prices(1)
        assert (client.ticks[0]["volume"], client.ticks[0]["bid_price"]) == (None, None)


def test_asking_again_changes_the_mode(api: Api, feed: Feed) -> None:
    with listening(api) as client:
        client.subscribe("INFY", mode="ltp")
        client.subscribe("INFY", mode="quote")
        feed.commit(Tick())
        client.prices(1)
        assert "volume" in client.ticks[0]


def test_nothing_comes_of_what_was_unsubscribed(database: Database, api: Api, feed: Feed) -> None:
    known = ids(database)
    with listening(api) as client:
        client.subscribe("INFY", "TCS")
        client.ask("unsubscribe", instruments=["INFY"])
        client.until("unsubscribed")
        feed.commit(Tick(price=1, instrument=known["INFY"]))
        feed.commit(Tick(price=2, instrument=known["TCS"]))
        assert client.prices(1) == [2]


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("nonsense", "JSON"),
        ('{"action": "dance"}', "dance"),
        ('{"action": "subscribe", "instruments": []}', "instruments"),
        ('{"action": "subscribe", "instruments": ["INFY"], "mode": "most"}', "mode"),
        ('{"action": "candles", "instruments": ["INFY"], "interval": "7m"}', "interval"),
        ('{"action": "subscribe", "instruments": ["INFY\\u0000"]}', "instruments"),
        ('{"action": "subscribe", "instruments": ["id:%s"]}' % ("9" * 5000), "instruments"),
        ('{"action": "subscribe", "instruments": [%s]}' % ("9" * 30), "instruments"),
        ('{"action": "resume", "seq": {"kite-0": 9223372036854775808}}', "seq"),
        (b"\x00", "binary"),
    ],
)
def test_a_request_that_makes_no_sense_is_told_and_the_connection_stays(
    api: Api, feed: Feed, text: str | bytes, wrong: str
) -> None:
    with listening(api) as client:
        client.connection.send(text)
        problem = client.until("error")["problem"]
        assert wrong in problem["detail"] and problem["status"] == 422
        client.subscribe("INFY")
        feed.commit(Tick(price=4))
        assert client.prices(1) == [4]


def test_a_subscription_above_the_limit_is_refused_with_the_limit(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "MOST_INSTRUMENTS", 1)
    with listening(api) as client:
        client.ask("subscribe", instruments=["INFY", "TCS"])
        assert "may have 1" in client.until("error")["problem"]["detail"]


def test_heartbeats_come_when_nothing_else_does(
    api: Api, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint, "HEARTBEAT_SECONDS", 0.1)
    with listening(api) as client:
        client.subscribe("TCS")
        feed.commit(Tick(), Tick())
        told = client.until("heartbeat", lambda message: message["seq"] == {"simulator-0": 2})
        assert told["database"] == "available" and "time" in told


def test_if_ticks_can_no_longer_be_read_clients_are_closed_and_the_log_says_why(
    api: Api, feed: Feed, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise ValueError("a fault of ours")

    monkeypatch.setattr(hub, "live_ticks", broken)
    with listening(api) as client, pytest.raises(ConnectionClosedError) as closed:
        client.subscribe("INFY")
        feed.commit(Tick())
        client.until("ticks")
    assert closed.value.rcvd is not None and closed.value.rcvd.code == 1011
    assert "a fault of ours" in caplog.text


def test_two_streams_are_numbered_apart(database: Database, api: Api, feed: Feed) -> None:
    other = Feed(database, "simulator-1")
    with listening(api) as client:
        client.subscribe("INFY")
        feed.commit(Tick(price=1), Tick(price=2))
        other.commit(Tick(price=3))
        assert sorted(client.prices(3)) == [1, 2, 3]
        assert client.seq == {"simulator-0": 2, "simulator-1": 1}
    other.close()


def test_ticks_are_put_out_only_while_somebody_listens(
    database: Database, hurried_feed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("market_pipeline.storage.tick_batches._ASSUMED_SECONDS", 0.0)
    feed = Feed(database)
    feed.commit(Tick())
    feed.close()
    assert database.query("new_tick_batches", streams=[], arrivals=[], written_at=[]).is_empty()
