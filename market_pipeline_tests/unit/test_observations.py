"""What packets mean: volumes, trades, extremes and stamps, whatever a connection does."""

import math
from dataclasses import replace

import numpy as np
import pytest

from market_pipeline.market import MISSING, TICK_COLUMNS, Mode
from market_pipeline.streaming.observations import Observer
from market_pipeline_tests.builders import DAY, INFY, NIFTY, OPEN, TCS, Packet
from market_pipeline_tests.observed import (
    YESTERDAY,
    anomalies,
    observe,
    times,
    trades,
    volumes,
)


def test_volume_is_what_was_traded_since_the_previous_packet() -> None:
    assert volumes(Packet(volume=50), Packet(volume=60, at=1), Packet(volume=65, at=2))[1:] == [
        10,
        5,
    ]


def test_the_first_packet_of_a_connection_in_mid_session_has_no_known_volume() -> None:
    assert volumes(Packet(volume=50, quantity=7)) == [MISSING]
    assert trades(Packet(volume=50, quantity=7)) == [False]


def test_a_session_counts_from_zero_when_yesterdays_packet_was_seen_on_the_connection() -> None:
    assert volumes(YESTERDAY, Packet(volume=50, at=1)) == [MISSING, 50]
    assert trades(YESTERDAY, Packet(volume=50, at=1)) == [False, True]


def test_a_session_is_unknown_when_yesterdays_packet_came_on_another_connection() -> None:
    packets = YESTERDAY, Packet(volume=50, at=1, connection=2)
    assert volumes(*packets) == [MISSING, MISSING]
    assert trades(*packets) == [False, False]


def test_the_first_trade_of_a_session_is_recognised_by_its_quantity() -> None:
    assert volumes(Packet(volume=7, quantity=7)) == [7]
    assert trades(Packet(volume=7, quantity=7)) == [True]


def test_a_session_that_has_not_traded_yet_counts_from_zero() -> None:
    quiet = Packet(volume=0, traded_at=-DAY, quantity=0)
    assert volumes(quiet, Packet(volume=5, at=9)) == [0, 5]
    assert trades(quiet, Packet(volume=5, at=9)) == [False, True]


def test_what_was_traded_during_a_disconnection_is_known_afterwards() -> None:
    assert volumes(Packet(volume=50), Packet(volume=80, at=60, connection=2)) == [MISSING, 30]
    assert trades(Packet(volume=50), Packet(volume=80, at=60, connection=2)) == [False, True]


def test_a_packet_without_a_price_is_no_trade() -> None:
    nothing = Packet(price=math.nan, volume=MISSING, traded_at=0, quantity=0)
    assert trades(*(replace(nothing, at=at) for at in range(3))) == [False, False, False]


def test_the_packet_repeated_after_a_reconnection_is_no_trade() -> None:
    assert trades(Packet(volume=50), Packet(volume=50, connection=2)) == [False, False]


def test_a_repeated_packet_is_no_trade() -> None:
    packet = Packet(volume=50, at=1)
    assert trades(Packet(volume=40), packet, packet) == [False, True, False]
    assert volumes(Packet(volume=40), packet, packet) == [MISSING, 10, 0]


def test_a_trade_is_known_by_its_time_alone() -> None:
    assert trades(Packet(volume=50), Packet(volume=50, at=1, traded_at=1)) == [False, True]


def test_a_change_of_quotes_is_no_trade() -> None:
    assert trades(Packet(volume=50), Packet(volume=50, at=5, traded_at=0)) == [False, False]


def test_a_trade_is_stamped_with_its_own_time_and_a_quote_with_the_exchanges() -> None:
    first, trade = Packet(volume=1), Packet(volume=5, at=9, traded_at=7)
    assert times(first, trade, Packet(volume=5, at=12, traded_at=7)) == [0, 7, 12]


def test_index_packets_are_trades_except_the_first_of_a_connection() -> None:
    packets = [Packet(token=NIFTY, at=at) for at in (0, 1, 1)]
    assert trades(*packets) == [False, True, True]
    assert volumes(*packets) == [MISSING, MISSING, MISSING]


def test_an_index_that_moved_during_a_disconnection_is_a_trade() -> None:
    before = Packet(token=NIFTY), Packet(token=NIFTY, at=1)
    assert trades(*before, Packet(token=NIFTY, at=1, connection=2))[2:] == [False]
    assert trades(*before, Packet(token=NIFTY, at=2, connection=2))[2:] == [True]


def test_an_index_of_yesterday_is_no_trade() -> None:
    yesterday = Packet(token=NIFTY, at=-DAY, received_at=0)
    assert trades(yesterday, Packet(token=NIFTY, at=1)) == [False, True]


def test_prices_alone_are_trades_when_they_move() -> None:
    prices = [100.0, 100.0, 101.0, 101.0, 100.0]
    packets = [Packet(price=p, at=n, mode=Mode.LTP) for n, p in enumerate(prices)]
    assert trades(*packets)[2:] == [True, False, True]


def test_prices_alone_are_stamped_with_their_arrival() -> None:
    packets = [Packet(at=at, mode=Mode.LTP, received_at=at) for at in (3, 4)]
    assert times(*packets) == [3, 4]


def test_prices_alone_have_no_volume() -> None:
    assert volumes(Packet(mode=Mode.LTP), Packet(mode=Mode.LTP, price=5)) == [MISSING, MISSING]


def test_the_first_packet_without_a_stamp_is_not_believed() -> None:
    packets = [Packet(volume=v, at=v, mode=Mode.QUOTE) for v in (50, 60, 75)]
    assert volumes(*packets) == [MISSING, MISSING, 15]
    assert trades(*packets) == [False, False, True]


def test_what_the_first_packet_without_a_stamp_shows_counts_with_the_second() -> None:
    undated = [Packet(volume=v, mode=Mode.QUOTE, connection=2) for v in (60, 70)]
    assert volumes(Packet(volume=50), *undated) == [MISSING, MISSING, 20]


def test_yesterdays_volume_without_a_stamp_is_no_trade_of_today() -> None:
    yesterday = Packet(volume=900, at=-DAY)
    before_first_trade = Packet(volume=0, traded_at=-DAY)
    cached = Packet(volume=900, mode=Mode.QUOTE, connection=2)
    first_trade = Packet(volume=40, at=9, connection=2)
    packets = yesterday, before_first_trade, cached, first_trade
    assert volumes(*packets) == [MISSING, 0, MISSING, 40]
    assert trades(*packets) == [False, False, False, True]


def test_yesterdays_figures_without_a_stamp_do_not_open_a_session() -> None:
    cached = Packet(volume=900, mode=Mode.QUOTE, connection=2, received_at=0)
    today = Packet(volume=30, mode=Mode.QUOTE, connection=2, received_at=1)
    assert volumes(YESTERDAY, cached, today) == [MISSING, MISSING, MISSING]


def test_a_new_day_on_the_same_connection_counts_from_zero() -> None:
    packets = Packet(volume=50), Packet(volume=60, at=1), Packet(volume=8, at=DAY)
    assert volumes(*packets, Packet(volume=9, at=DAY + 1)) == [MISSING, 10, 8, 1]
    assert anomalies(*packets) == 0


def test_a_new_day_on_the_same_connection_needs_no_stamp() -> None:
    packets = [Packet(volume=v, at=v, mode=Mode.QUOTE) for v in (50, 60)]
    assert volumes(*packets, Packet(volume=8, at=DAY, mode=Mode.QUOTE))[2] == 8


def test_seq_orders_by_second_and_then_by_arrival() -> None:
    packets = [Packet(volume=n, at=at) for n, at in enumerate([5, 5, 3, 6])]
    seq = observe(*packets)["seq"]
    assert np.argsort(seq).tolist() == [2, 0, 1, 3]
    assert (seq >> 32).tolist() == [OPEN + 5, OPEN + 5, OPEN + 3, OPEN + 6]
    assert (seq & 0xFFFFFFFF).tolist() == [0, 1, 2, 3]


def test_arrivals_are_counted_across_batches() -> None:
    observer = Observer()
    observe(Packet(), Packet(), observer=observer)
    assert observe(Packet(), observer=observer)["seq"][0] & 0xFFFFFFFF == 2
    assert observer.arrivals == 3


def test_ticks_are_sorted_by_instrument_and_then_by_arrival() -> None:
    tokens = [TCS, NIFTY, INFY, TCS, INFY]
    ticks = observe(*[Packet(token=token, volume=n) for n, token in enumerate(tokens)])
    assert ticks["instrument_id"].tolist() == [1, 1, 2, 2, 9]
    assert (ticks["seq"] & 0xFFFFFFFF).tolist() == [2, 4, 0, 3, 1]


def test_instruments_do_not_touch_each_other() -> None:
    packets = [Packet(volume=50), Packet(token=TCS, volume=7000)]
    packets += [Packet(volume=51, at=1), Packet(token=TCS, volume=7002, at=1)]
    assert volumes(*packets) == [MISSING, 1, MISSING, 2]


def test_volumes_use_all_32_bits() -> None:
    largest = 2**32 - 1
    assert volumes(Packet(volume=2**31), Packet(volume=largest, at=1))[1] == largest - 2**31
    after = Packet(token=TCS, volume=3), Packet(token=TCS, volume=5, at=1)
    assert volumes(Packet(volume=largest), *after)[2] == 2


def test_no_arrivals_make_no_ticks() -> None:
    ticks = observe()
    assert list(ticks) == list(TICK_COLUMNS)
    assert {len(column) for column in ticks.values()} == {0}


@pytest.mark.parametrize("mode", list(Mode))
def test_ticks_have_the_columns_and_types_of_the_table(mode: Mode) -> None:
    ticks = observe(Packet(mode=mode), Packet(token=NIFTY, mode=mode))
    assert {name: column.dtype for name, column in ticks.items()} == {
        name: np.dtype(kind) for name, kind in TICK_COLUMNS.items()
    }


def test_a_copy_goes_its_own_way() -> None:
    observer = Observer()
    observe(Packet(volume=50), observer=observer)
    observe(Packet(volume=90, at=1), observer=observer.copy())
    assert observe(Packet(volume=60, at=1), observer=observer)["volume"].tolist() == [10]


def test_forgetting_makes_the_next_packet_the_first() -> None:
    observer = Observer()
    observe(Packet(volume=50), observer=observer)
    observer.load(None, 7)
    assert observe(Packet(volume=60, at=1), observer=observer)["volume"].tolist() == [MISSING]
    assert observer.arrivals == 8


def test_the_second_packet_of_an_index_counts_also_without_stamps() -> None:
    packets = [
        Packet(token=NIFTY, mode=Mode.QUOTE, connection=connection, received_at=at)
        for connection, at in ((1, 0), (1, 1), (1, 2), (2, 3), (2, 4), (2, 5))
    ]
    assert trades(*packets) == [False, True, True, False, True, True]


def test_an_older_packet_repeated_on_connecting_is_no_trade() -> None:
    packets = [
        Packet(volume=volume, at=at, price=price)
        for volume, at, price in ((50, 0, 100), (60, 59, 101), (70, 59, 102), (80, 61, 103))
    ]
    again = Packet(volume=60, at=59, price=101, connection=2)
    assert trades(*packets, again) == [False, True, True, True, False]
