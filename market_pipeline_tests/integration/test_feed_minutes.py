"""Each minute that two feeds have both seen whole is compared in every column."""

from dataclasses import replace
from typing import Any

import polars as pl
import pytest

from market_pipeline.storage.database import Database
from market_pipeline_tests.feed_cases import Sent, add_gap, found, prepare, send

PAIR = (Sent(1), Sent(1, stands_by=True))


@pytest.fixture
def market(database: Database) -> Database:
    prepare(database)
    return database


def only(market: Database, *sent: Sent) -> dict[str, Any]:
    """Return the one row that some ticks make."""
    send(market, *sent)
    return found(market).row(0, named=True)


def minutes(market: Database, start: float = 0, end: float = 5) -> list[int]:
    return found(market, start, end)["minute"].to_list()


def test_a_minute_names_the_instrument_and_whose_ticks_make_the_candles(market: Database) -> None:
    row = only(market, *PAIR)
    assert (row["instrument_id"], row["name"], row["minute"]) == (1, "NSE:INFY", 0)
    assert (row["preferred"], row["standby"]) == ("kite", "fyers")


def test_the_close_is_the_last_trade_of_the_minute_by_seq(market: Database) -> None:
    late, early = Sent(30, 101.0), Sent(20, 105.0)
    row = only(
        market, late, early, Sent(40, 109.0, is_trade=False), Sent(31, 101.15, stands_by=True)
    )
    assert (row["preferred_close"], row["standby_close"]) == (101.0, 101.15)
    assert row["close_difference"] == pytest.approx(0.15)
    assert row["close_ticks"] == pytest.approx(3)


def test_the_close_of_an_index_differs_in_points_alone(market: Database) -> None:
    preferred = Sent(1, 24_000.0, day_volume=None, volume=None, instrument=2)
    row = only(market, preferred, replace(preferred, price=24_001.5, stands_by=True))
    assert (row["close_difference"], row["close_ticks"]) == (1.5, None)
    assert row["volume_difference"] is None
    assert row["lead"] is None


def test_extremes_differ_by_what_the_one_saw_more(market: Database) -> None:
    row = only(market, Sent(1, high=104.0, low=99.0), Sent(1, stands_by=True, high=103.0, low=99.5))
    assert (row["high_difference"], row["low_difference"]) == (-1.0, 0.5)


def test_volumes_and_trades_are_those_of_each_feed(market: Database) -> None:
    row = only(market, Sent(1), Sent(2, volume=7), Sent(9, volume=11, stands_by=True))
    assert (row["preferred_volume"], row["standby_volume"]) == (12, 11)
    assert row["volume_difference"] == -1
    assert (row["preferred_trades"], row["standby_trades"]) == (2, 1)


def test_a_volume_that_a_packet_does_not_know_is_not_compared(market: Database) -> None:
    row = only(market, Sent(1), Sent(1, volume=None, stands_by=True), Sent(2, stands_by=True))
    assert (row["preferred_volume"], row["standby_volume"]) == (5, None)
    assert row["volume_difference"] is None


def test_the_lag_is_the_median_from_the_exchanges_stamp_to_the_arrival(market: Database) -> None:
    preferred = [Sent(second, after=after) for second, after in enumerate((0.2, 0.4, 9.0))]
    row = only(market, *preferred, Sent(1, after=0.75, stands_by=True))
    assert row["preferred_lag"] == pytest.approx(0.4)
    assert row["standby_lag"] == pytest.approx(0.75)


def test_the_lead_is_the_median_over_the_volumes_that_both_have_told(market: Database) -> None:
    told = ((1, 0.4), (2, 0.6), (3, 5.0))
    preferred = [Sent(second, day_volume=second * 10, after=0.1) for second, _ in told]
    standby = [
        Sent(second, day_volume=second * 10, after=after, stands_by=True) for second, after in told
    ]
    alone = Sent(4, day_volume=99, after=50.0, stands_by=True)
    assert only(market, *preferred, *standby, alone)["lead"] == pytest.approx(0.5)


def test_the_lead_is_negative_where_the_stand_by_was_first(market: Database) -> None:
    row = only(market, Sent(1, after=0.9), Sent(1, after=0.2, stands_by=True))
    assert row["lead"] == pytest.approx(-0.7)


def test_a_volume_that_is_told_again_does_not_count_for_the_lead(market: Database) -> None:
    again = Sent(0, volume=0, is_trade=False, stands_by=True)
    row = only(market, Sent(1, after=0.2), again, Sent(1, after=0.5, stands_by=True))
    assert row["lead"] == pytest.approx(0.3)


def test_each_minute_and_instrument_has_a_row_of_its_own(market: Database) -> None:
    later = [Sent(61), Sent(61, stands_by=True)]
    other = [Sent(2, instrument=2), Sent(2, stands_by=True, instrument=2)]
    send(market, *PAIR, *later, *other)
    rows = found(market).select("instrument_id", "minute").rows()
    assert rows == [(1, 0), (2, 0), (1, 1)]


def test_minutes_that_are_not_wholly_between_the_two_times_are_left_out(market: Database) -> None:
    every = [(Sent(n * 60), Sent(n * 60, stands_by=True)) for n in range(4)]
    send(market, *(tick for pair in every for tick in pair))
    assert minutes(market, 1, 3) == [1, 2]
    assert minutes(market, 0.5, 3.5) == [1, 2]


def test_a_long_time_is_the_same_as_its_parts(market: Database) -> None:
    for n in range(0, 40, 3):
        send(market, Sent(n * 60), Sent(n * 60, stands_by=True))
    assert minutes(market, 0, 40) == list(range(0, 40, 3))


@pytest.mark.parametrize("broker", ["kite", "fyers", None])
def test_a_gap_of_either_broker_leaves_its_minutes_out(
    market: Database, broker: str | None
) -> None:
    for n in range(4):
        send(market, Sent(n * 60), Sent(n * 60, stands_by=True))
    add_gap(market, broker, 70, 130)
    assert minutes(market) == [0, 3]


def test_a_gap_that_lasts_leaves_out_all_that_follows(market: Database) -> None:
    send(market, *PAIR, Sent(121), Sent(121, stands_by=True))
    add_gap(market, "fyers", 100, None)
    assert minutes(market) == [0]


def test_a_gap_that_begins_while_last_packets_still_come_leaves_their_minute_out(
    market: Database,
) -> None:
    send(market, *PAIR)
    add_gap(market, "fyers", 62, 70)
    assert minutes(market) == []


def test_a_gap_of_other_instruments_or_another_broker_is_none(market: Database) -> None:
    send(market, *PAIR)
    add_gap(market, "fyers", 10, 20, instruments=(2,))
    add_gap(market, "other", 10, 20)
    assert minutes(market) == [0]


def test_a_minute_in_which_the_one_took_over_is_left_out(market: Database) -> None:
    send(market, *PAIR, Sent(61), Sent(70, broker="fyers"), Sent(61, stands_by=True))
    assert minutes(market) == [0]


def test_a_minute_that_another_broker_made_alone_is_left_out(market: Database) -> None:
    send(market, *PAIR, Sent(61, broker="fyers"))
    add_gap(market, "kite", 66, 119, covered_by="fyers")
    assert minutes(market) == [0]


def test_ticks_of_a_broker_that_is_not_known_are_not_compared(market: Database) -> None:
    send(market, Sent(1, broker="nobody"), Sent(1, stands_by=True))
    assert minutes(market) == []


@pytest.mark.parametrize("stands_by", [False, True])
def test_a_feed_that_is_silent_of_what_the_other_sees_trading_has_no_trades(
    market: Database, stands_by: bool
) -> None:
    send(market, *PAIR, Sent(61, stands_by=stands_by))
    row = found(market).row(1, named=True)
    silent = "preferred" if stands_by else "standby"
    assert (row["minute"], row["preferred"], row["standby"]) == (1, "kite", "fyers")
    assert (row[f"{silent}_close"], row[f"{silent}_trades"], row[f"{silent}_volume"]) == (
        None,
        0,
        0,
    )
    assert row["close_difference"] is None
    assert abs(row["volume_difference"]) == 5


def test_a_feed_that_has_sent_nothing_of_an_instrument_yet_is_not_silent(market: Database) -> None:
    send(market, Sent(1), Sent(61), Sent(61, stands_by=True))
    assert minutes(market) == [1]


def test_silence_where_nothing_trades_is_no_row(market: Database) -> None:
    send(market, *PAIR, Sent(61, volume=0, is_trade=False))
    assert minutes(market) == [0]


def test_where_one_broker_alone_is_listened_to_there_is_nothing(market: Database) -> None:
    send(market, Sent(1), Sent(61))
    rows = found(market)
    assert rows.is_empty()
    assert rows.schema["preferred_close"] == pl.Float64
