"""The simulated Fyers' data socket, byte by byte, as a raw client sees it."""

import struct

import numpy as np
import pytest

from market_pipeline.simulator.fyers_server import RunningFyers, SimulatorOptions, running
from market_pipeline_tests.fyers_simulator_cases import (
    NIFTY,
    RELIANCE,
    SBIN,
    SBIN_BOOK,
    UNCHANGED,
    Client,
    Connect,
    channels,
    login,
    merged,
    subscription,
    until,
)
from market_pipeline_tests.fyers_simulator_cases import clear_faults as clear_faults
from market_pipeline_tests.fyers_simulator_cases import connect as connect
from market_pipeline_tests.fyers_simulator_cases import fast_simulator as fast_simulator

pytestmark = pytest.mark.timeout(60)

OK, FAILED = b"K", b"E"


def verdict(frame: bytes) -> bytes:
    """Return the first field of a reply."""
    return frame[7 : 7 + int.from_bytes(frame[5:7], "big")]


# Login and mode


def test_a_login_with_the_tokens_key_is_taken(connect: Connect) -> None:
    client = connect()
    until(lambda: len(client.frames) >= 2)
    assert [frame[2] for frame in client.frames] == [1, 12]
    assert [verdict(frame) for frame in client.frames] == [OK, OK]


def test_a_wrong_key_is_refused_and_subscriptions_get_nothing(simulator: RunningFyers) -> None:
    client = Client(simulator)
    client.send(login("wrong"), subscription([SBIN]))
    until(lambda: len(client.frames) >= 2)
    client.close()
    assert [(frame[2], verdict(frame)) for frame in client.frames] == [(1, FAILED), (4, FAILED)]


def test_logins_can_be_refused(simulator: RunningFyers, connect: Connect) -> None:
    simulator.fault("refuse")
    client = connect()
    until(lambda: client.of(1))
    assert verdict(client.of(1)[0]) == FAILED
    simulator.fault("refuse", on=False)
    client.send(login(simulator.server.accounts.hsm_key))
    until(lambda: len(client.of(1)) == 2)
    assert verdict(client.of(1)[1]) == OK


def test_keys_end_with_their_tokens_and_connections_stay(
    simulator: RunningFyers, connect: Connect
) -> None:
    old_key = simulator.server.accounts.hsm_key
    client = connect(SBIN)
    until(lambda: client.items)
    simulator.fault("expire_tokens")
    seen = len(client.items)
    until(lambda: len(client.items) > seen + 1)
    client.send(login(old_key))
    until(lambda: len(client.of(1)) == 2)
    assert verdict(client.of(1)[1]) == FAILED


def test_nothing_is_answered_when_the_upgrade_had_an_authorization(
    simulator: RunningFyers, connect: Connect
) -> None:
    deaf = Client(simulator, Authorization="simulator:token")
    deaf.send(login(simulator.server.accounts.hsm_key), subscription([SBIN]))
    hearing = connect(SBIN)
    until(lambda: len(hearing.items) >= 3)
    deaf.close()
    assert deaf.frames == []


def test_what_is_no_request_is_passed_over(connect: Connect) -> None:
    client = connect()
    client.send(b"", b"\x00", b"\x00\x09\x04\x02\x01\xff\xff\x00\x05", subscription([SBIN]))
    until(lambda: client.items)


# Snapshots, changes, lite


def test_a_subscription_begins_with_a_snapshot_and_goes_on_with_changes(
    connect: Connect, simulator: RunningFyers
) -> None:
    client = connect(SBIN, NIFTY)
    until(lambda: len(client.items) >= 8)
    items = client.items
    assert [(item.kind, item.topic) for item in items[:2]] in (
        [("S", SBIN), ("S", NIFTY)],
        [("S", NIFTY), ("S", SBIN)],
    )
    assert {item.kind for item in items[2:]} == {"U"}
    by_topic = {item.topic: item for item in items[:2]}
    assert by_topic[SBIN].names == ("nse_cm", "3045", "SBIN-EQ")
    assert by_topic[NIFTY].names == ("nse_cm", "26000", "NIFTY50-INDEX")
    assert (len(by_topic[SBIN].values), len(by_topic[NIFTY].values)) == (21, 6)
    assert (by_topic[SBIN].multiplier, by_topic[SBIN].precision) == (1, 2)


def test_a_change_leaves_out_what_stays(connect: Connect) -> None:
    client = connect(SBIN)
    until(lambda: len(client.items) >= 5)
    states = merged(client.items, SBIN)[1:]  # the first trade of a day changes nearly all
    for item, before, after in zip(client.items[2:], states, states[1:], strict=False):
        told = {place for place, value in enumerate(item.values) if value != UNCHANGED}
        assert told == {
            p for p, pair in enumerate(zip(before, after, strict=True)) if len(set(pair)) > 1
        }
        assert 3 in told  # the exchange's time
        assert not told & {19, 20}  # the day's opening and the close before it


def test_what_is_merged_is_what_the_exchange_says(
    connect: Connect, simulator: RunningFyers
) -> None:
    client = connect(RELIANCE)
    until(lambda: len(client.items) >= 5)
    client.close()
    until(lambda: not simulator.server.ticker.connections)  # which ask the exchange too
    exchange = simulator.server.exchange
    token = exchange.listing.securities[exchange.listing.row_by_name["NSE:RELIANCE"]].token
    for state in merged(client.items, RELIANCE):
        truth = exchange.snapshot(np.array([token]), state[3])
        names = ("last_price", "average_price", "day_low", "day_high", "day_open")
        prices = [round(float(truth[name][0]) * 100) for name in names]
        assert [state[place] for place in (0, 11, 13, 14, 19)] == prices
        names = ("day_volume", "last_trade_time", "bid_quantity", "ask_quantity", "last_quantity")
        quantities = [int(truth[name][0]) for name in names]
        assert [state[place] for place in (1, 2, 4, 5, 8)] == quantities


def test_currencies_have_four_decimals(connect: Connect, simulator: RunningFyers) -> None:
    symbols = simulator.server.symbols.rows.values()
    future = next(s for s in symbols if s.ticker.startswith("NSE:USDINR"))
    client = connect(future.topic)
    until(lambda: client.items)
    item = client.items[0]
    assert item.precision == 4
    assert 70 < item.values[0] / 10**item.precision < 110


def test_lite_mode_sends_prices_alone_after_the_snapshot(connect: Connect) -> None:
    client = connect(SBIN, NIFTY, letter="L")
    until(lambda: len(client.items) >= 5)
    assert [item.kind for item in client.items[:2]] == ["S", "S"]
    assert {item.kind for item in client.items[2:]} == {"L"}


def test_depth_has_thirty_values_of_its_own(connect: Connect) -> None:
    client = connect(SBIN_BOOK)
    until(lambda: len(client.items) >= 3)
    states = merged(client.items, SBIN_BOOK)
    bids, asks = states[-1][:5], states[-1][5:10]
    assert len(states[0]) == 30
    assert list(bids) == sorted(bids, reverse=True)
    assert list(asks) == sorted(asks)
    assert bids[0] < asks[0]


def test_unknown_topics_are_passed_over(connect: Connect) -> None:
    client = connect("sf|nse_cm|1", "dp|nse_cm|Nifty 50", SBIN)
    until(lambda: client.items)
    assert [item.topic for item in client.items][:1] == [SBIN]
    assert verdict(client.of(4)[0]) == OK


def test_an_unsubscribed_topic_falls_silent(connect: Connect) -> None:
    client = connect(SBIN, RELIANCE)
    until(lambda: len(client.items) >= 4)
    client.send(subscription([SBIN], kind=5))
    until(lambda: client.of(5))
    seen = len(client.items)
    number = next(item.number for item in client.items if item.topic == SBIN)
    until(lambda: len(client.items) >= seen + 3)
    assert number not in {item.number for item in client.items[seen:]}


def test_a_topic_that_is_subscribed_again_begins_anew_under_its_number(connect: Connect) -> None:
    client = connect(SBIN)
    until(lambda: len(client.items) >= 2)
    client.send(subscription([SBIN]))
    until(lambda: len([item for item in client.items if item.kind == "S"]) == 2)
    assert len({item.number for item in client.items}) == 1


def test_a_paused_channel_is_silent_until_it_is_resumed(connect: Connect) -> None:
    client = connect(SBIN)
    client.send(subscription([RELIANCE], channel=12))
    until(lambda: len(client.items) >= 4)
    client.send(channels(7, 11))
    until(lambda: client.of(7))
    paused = next(item.number for item in client.items if item.topic == SBIN)
    seen = len(client.items)
    until(lambda: len(client.items) >= seen + 3)
    assert paused not in {item.number for item in client.items[seen:]}
    client.send(channels(8, 11))
    until(lambda: paused in {item.number for item in client.items[seen:]})


def test_data_frames_are_numbered(connect: Connect) -> None:
    client = connect(SBIN)
    until(lambda: len(client.of(6)) >= 3)
    numbers = [struct.unpack(">I", frame[3:7])[0] for frame in client.of(6)]
    assert numbers == list(range(1, len(numbers) + 1))


def test_many_instruments_come_in_several_frames() -> None:
    with running(SimulatorOptions(port=0, instruments=1_000, every_second=True)) as large:
        client = Client(large)
        topics = [symbol.topic for symbol in large.server.symbols.rows.values()]
        client.send(login(large.server.accounts.hsm_key), subscription(topics))
        until(lambda: len(client.items) >= 3_000)
        client.close()
    assert max(len(frame) for frame in client.frames) < 1 << 16
    assert len({item.topic for item in client.items if item.kind == "S"}) == 1_000
