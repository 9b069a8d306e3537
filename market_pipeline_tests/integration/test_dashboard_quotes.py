"""What dashboards show of instruments: where they stand, their depth, their candles, and marks."""

from datetime import timedelta
from typing import Any

import pytest

from market_pipeline.sessions import trading_date
from market_pipeline.storage.database import Database
from market_pipeline_tests.dashboard_cases import OPENING, YESTERDAY, Market, moment, rows

ADD_SESSION = "INSERT INTO trading_sessions VALUES ('NSE', %(day)s, %(opens_at)s, %(closes_at)s)"
SESSION = {
    "day": trading_date(moment(YESTERDAY)),
    "opens_at": moment(YESTERDAY - 6 * 3600),
    "closes_at": moment(YESTERDAY + 1800),
}
DAY = {"start": moment(0), "end": moment(86_400)}


@pytest.fixture(scope="module")
def market(shared_database: Database) -> Market:
    market = Market(shared_database)
    rows(shared_database, ADD_SESSION, **SESSION)
    market.list("INFY", "EQ")
    market.tick("INFY", YESTERDAY, 96)
    market.tick("INFY", YESTERDAY + 60, 95)
    market.tick("INFY", OPENING, 98, day_volume=500, bid=97.9, bids=10, ask=98.1, asks=20)
    market.tick("INFY", OPENING + 20, 98.5, bid=98.4, bids=7, ask=98.6, asks=9, buy=1, sell=3)
    market.tick(
        "INFY",
        OPENING + 28,
        99,
        day_volume=900,
        bid=98,
        bids=5,
        ask=98.5,
        asks=0,
        buy=300,
        sell=100,
    )
    market.tick("INFY", OPENING + 60, 98.8, day_volume=901, bid=98.5, bids=50, ask=99.5, asks=40)
    market.list("TCS", "EQ")
    market.list("WIPRO", "EQ", subscribed=False)
    return market


def quote(market: Market, instrument: object) -> list[dict[str, Any]]:
    return rows(
        market.database, "SELECT * FROM dashboard_quote(%(instrument)s)", instrument=str(instrument)
    )


def test_change_is_against_the_last_close_of_the_day_before(market: Market) -> None:
    (row,) = quote(market, market.ids["INFY"])
    assert (row["ltp"], row["volume"]) == (98.8, 901)
    assert row["change"] == pytest.approx(3.8)
    assert row["change_percent"] == pytest.approx(4.0)
    assert row["spread"] == pytest.approx(1.0)


def test_close_of_the_day_before_need_not_be_of_the_last_hour_of_a_session(
    market: Market,
) -> None:
    rows(market.database, "DELETE FROM trading_sessions")
    (row,) = quote(market, market.ids["INFY"])
    rows(market.database, ADD_SESSION, **SESSION)
    assert row["change"] == pytest.approx(3.8)


def test_close_of_the_day_before_is_the_broker_s_where_it_has_replaced_ours(
    market: Market,
) -> None:
    with_repair = {"instrument": market.ids["INFY"], "at": moment(YESTERDAY + 60)}
    rows(
        market.database,
        "INSERT INTO candle_repairs (instrument_id, time, broker, open, high, low, close, volume, "
        "fields, reason, repaired_by) "
        "VALUES (%(instrument)s, %(at)s, 'kite', 80, 80, 80, 80, 4, '{close}', 'gap', 'test')",
        **with_repair,
    )
    (repaired,) = quote(market, market.ids["INFY"])
    rows(market.database, "DELETE FROM candle_repairs")
    assert repaired["change"] == pytest.approx(18.8)


def test_close_of_the_day_before_is_the_broker_s_where_it_alone_has_later_ones(
    market: Market,
) -> None:
    later = {"instrument": market.ids["INFY"], "at": moment(YESTERDAY + 600)}
    rows(
        market.database,
        "INSERT INTO broker_candles "
        "VALUES (%(instrument)s, 1, %(at)s, 'kite', 97, 97, 97, 97, 10, NULL, now())",
        **later,
    )
    (backfilled,) = quote(market, market.ids["INFY"])
    rows(market.database, "UPDATE broker_candles SET volume = 0")
    (idle,) = quote(market, market.ids["INFY"])
    rows(market.database, "DELETE FROM broker_candles")
    assert backfilled["change"] == pytest.approx(1.8)
    assert idle["change"] == pytest.approx(3.8)


def test_watch_list_has_what_is_subscribed_with_and_without_ticks(market: Market) -> None:
    rows(
        market.database,
        "INSERT INTO streams (stream, broker, run_id, state, started_at, heartbeat_at, "
        "stale_instruments) VALUES ('s', 'kite', 'run', 'streaming', now(), now(), %(silent)s)",
        silent=[market.ids["INFY"]],
    )
    listed = rows(market.database, "SELECT * FROM dashboard_watch_list() WHERE kind = 'EQ'")
    seen = [(row["symbol"], row["ltp"], row["is_stale"]) for row in listed]
    assert seen == [("NSE:INFY", 98.8, True), ("NSE:TCS", None, False)]
    assert listed[0]["change_percent"] == pytest.approx(4.0)


def test_depth_is_what_was_last_sent_in_each_step(market: Market) -> None:
    first, second, third = depth(market, "15s")
    assert (first["bid"], first["ask"], first["bid_quantity"]) == (97.9, 98.1, 10)
    assert first["spread"] == pytest.approx(0.2)
    assert first["spread_basis_points"] == pytest.approx(10_000 * 0.2 / 98)
    assert second["time"] == moment(OPENING + 15)
    assert second["imbalance"] == pytest.approx(0.5)
    assert third["spread"] == pytest.approx(1.0)


def test_side_without_orders_has_neither_price_nor_spread(market: Market) -> None:
    empty = depth(market, "15s")[1]
    assert (empty["bid"], empty["ask"], empty["spread"]) == (98, None, None)
    assert empty["ask_quantity"] == 0


def test_imbalance_of_a_book_of_which_nothing_is_known_is_unknown(market: Market) -> None:
    assert depth(market, "15s")[0]["imbalance"] is None


def depth(market: Market, step: str) -> list[dict[str, Any]]:
    return rows(
        market.database,
        "SELECT * FROM dashboard_depth(%(instrument)s, %(step)s, %(start)s, %(end)s)",
        instrument=str(market.ids["INFY"]),
        step=step,
        **DAY,
    )


def test_candles_are_those_of_the_api_with_the_change_of_the_open_interest(
    market: Market,
) -> None:
    future = market.list("INFYFUT", "FUT", underlying="INFY", expiry=moment(9e6).date())
    for minute, interest in enumerate([1000, 1600, 1450]):
        market.tick("INFYFUT", OPENING + 60 * minute, 100 + minute, open_interest=interest)
    asked = {"instrument": future, "length": "1m", **DAY}
    shown = rows(
        market.database,
        "SELECT * FROM dashboard_candles(%(instrument)s, %(length)s, %(start)s, %(end)s)",
        **asked,
    )
    expected = rows(
        market.database,
        "SELECT * FROM candles(%(instrument)s::bigint, %(length)s::interval, %(start)s, %(end)s)",
        **asked,
    )
    assert [row.pop("open_interest_change") for row in shown] == [None, 600, -150]
    assert shown == expected


def test_gaps_are_marked_on_the_instruments_that_they_touch(market: Market) -> None:
    add = (
        "INSERT INTO gaps (stream, broker, started_at, ended_at, cause, instruments, covered_by) "
        "VALUES ('s', 'kite', %(start)s, %(end)s, %(cause)s, %(instruments)s, %(covered)s)"
    )
    infy, tcs = market.ids["INFY"], market.ids["TCS"]
    gaps = [("of all", [], None), ("of TCS", [tcs], None), ("covered", [infy], "fyers")]
    for number, (cause, instruments, covered) in enumerate(gaps):
        start = moment(OPENING + 600 * number)
        span = {"start": start, "end": start + timedelta(seconds=30)}
        rows(market.database, add, cause=cause, instruments=instruments, covered=covered, **span)
    marks = rows(
        market.database,
        "SELECT * FROM dashboard_gaps(%(instrument)s, %(start)s, %(end)s)",
        instrument=str(infy),
        **DAY,
    )
    (mark,) = marks
    assert "of all" in mark["text"]
    assert mark["tags"] == "gap,not filled"
    assert mark["timeend"] - mark["time"] == timedelta(seconds=30)


def test_repaired_minutes_that_follow_each_other_are_one_mark(market: Market) -> None:
    add = (
        "INSERT INTO candle_repairs (instrument_id, time, broker, open, high, low, close, volume, "
        "fields, reason, repaired_by) "
        "VALUES (%(instrument)s, %(at)s, 'kite', 9, 9, 9, 9, 4, '{close}', 'gap', 'test')"
    )
    for minute in (10, 11, 12, 40):
        at = moment(OPENING + 60 * minute)
        rows(market.database, add, instrument=market.ids["TCS"], at=at)
    marks = rows(
        market.database,
        "SELECT * FROM dashboard_repairs(%(instrument)s, %(start)s, %(end)s)",
        instrument=str(market.ids["TCS"]),
        **DAY,
    )
    spans = [(mark["timeend"] - mark["time"]) / timedelta(minutes=1) for mark in marks]
    assert spans == [1, 3]
    assert "3 candles of kite (gap)" in marks[1]["text"]


@pytest.mark.parametrize(
    ("typed", "labels"),
    [
        ("", {"NSE:INFY", "NSE:TCS"}),
        ("${__searchFilter}", {"NSE:INFY", "NSE:TCS"}),
        ("nse wip", {"NSE:WIPRO"}),
        ("tcs%", {"NSE:TCS"}),
        ("'; DROP TABLE ticks; --%", set()),
    ],
)
def test_instruments_are_found_among_all_once_something_is_typed(
    market: Market, typed: str, labels: set[str]
) -> None:
    found = rows(market.database, "SELECT * FROM dashboard_instruments(%(typed)s)", typed=typed)
    assert {row["label"] for row in found if "FUT" not in row["label"]} == labels


@pytest.mark.parametrize(
    "value", ["", "$__all", "-1", "12345678901234567890", "1; DROP TABLE ticks"]
)
def test_instrument_that_is_none_has_no_quote(market: Market, value: str) -> None:
    assert quote(market, value) == []
