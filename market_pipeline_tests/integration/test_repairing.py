"""A simulated day with something wrong or missing: all of it is found and repaired."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from market_pipeline.errors import TokenExpired
from market_pipeline.storage import candles
from market_pipeline.storage.database import Database
from market_pipeline_tests.dagster_cases import run_sql
from market_pipeline_tests.history_days import Day, simulated_day

HOLE = range(60, 62)  # 10:15 and 10:16
WRONG = (20, 100, 200)


@pytest.fixture
def day(database: Database, tmp_path: Path) -> Iterator[Day]:
    with simulated_day(database, tmp_path) as made:
        yield made


def spoil(day: Day, name: str, minutes: tuple[int, ...]) -> None:
    """Make a high and a close of ours wrong by a twentieth."""
    run_sql(
        day.database,
        "UPDATE ticks SET high = high * 1.05, low = low * 1.05, last_price = last_price * 1.05"
        " WHERE instrument_id = %(id)s AND extract(second FROM time) = 59"
        " AND date_trunc('minute', time) = ANY (%(minutes)s)",
        "INSERT INTO candle_invalidations SELECT %(id)s, unnest(%(minutes)s::timestamptz[])",
        id=day.ids[name],
        minutes=[day.minute(each) for each in minutes],
    )
    candles.refresh(day.database)


def test_a_clean_day_gives_no_repair_and_is_final(day: Day) -> None:
    day.store_ticks()
    day.fetch()
    found = day.reconcile()
    assert set(found.summaries["verdict"]) == {"agrees"}
    assert day.repairs() == []
    assert all(day.is_true(name) for name in day.ids)
    outside = day.states("NSE:INFY").get("provisional", [])
    assert all(minute >= 360 for minute in outside)  # the closing auction is not compared


@pytest.mark.needs_plain_server
def test_a_day_with_wrong_candles_a_hole_and_a_missing_instrument_is_repaired(day: Day) -> None:
    day.store_ticks({"NSE:RELIANCE": HOLE, "NSE:SBIN": range(400)})
    spoil(day, "NSE:INFY", WRONG)
    gap = day.gap(
        day.minute(60) + timedelta(seconds=10),
        day.minute(61) + timedelta(seconds=40),
        "NSE:RELIANCE",
    )
    day.fetch()
    found = day.reconcile()
    verdicts = dict(found.summaries.select("name", "verdict").iter_rows())
    assert verdicts == {
        "NSE:INFY": "repaired",
        "NSE:RELIANCE": "repaired",
        "NSE:SBIN": "backfilled",
    }
    assert all(day.is_true(name) for name in day.ids)
    assert day.states("NSE:INFY")["repaired"] == list(WRONG)
    assert day.states("NSE:RELIANCE")["repaired"] == list(HOLE)
    assert len(day.states("NSE:SBIN")["backfilled"]) == day.truth("NSE:SBIN").height
    assert set(day.states("NSE:SBIN")) == {"backfilled"}
    ledger = [
        (row["instrument_id"], row["fields"], row["replaced_trades"]) for row in day.repairs()
    ]
    infy, reliance = day.ids["NSE:INFY"], day.ids["NSE:RELIANCE"]
    assert [row[0] for row in ledger].count(infy) == len(WRONG)
    assert {row[2] for row in ledger if row[0] == reliance} == {None}
    assert all({"high", "close"} <= set(row[1]) for row in ledger if row[0] == infy)
    day.repair()
    (row,) = day.gaps()
    assert row["gap_id"] == gap
    assert row["repaired_by"] == "simulator: 2 candles replaced, 1 instruments"


def test_a_gap_is_filled_during_the_session_and_its_candles_are_repaired(day: Day) -> None:
    day.store_ticks({"NSE:RELIANCE": HOLE})
    day.gap(day.minute(60), day.minute(61) + timedelta(seconds=30), "NSE:RELIANCE")
    filled = day.repair(now=day.minute(63))
    assert (filled.gaps, filled.candles, filled.failed) == (1, 2, 0)
    assert day.states("NSE:RELIANCE")["repaired"] == list(HOLE)
    assert day.is_true("NSE:RELIANCE")
    assert {row["repaired_by"] for row in day.repairs()} == {"gap 1"}


def test_a_gap_waits_until_its_last_minute_has_closed_and_settled(day: Day) -> None:
    day.store_ticks({"NSE:RELIANCE": HOLE})
    day.gap(day.minute(60), day.minute(61) + timedelta(seconds=30), "NSE:RELIANCE")
    early = day.minute(62) + timedelta(seconds=14)
    assert day.repair(now=early).gaps == 0
    assert day.repair(now=early + timedelta(seconds=1)).gaps == 1


def test_a_gap_of_a_whole_stream_is_filled_for_all_that_is_subscribed(day: Day) -> None:
    day.store_ticks({name: HOLE for name in day.ids})
    day.gap(day.minute(60), day.minute(62))
    filled = day.repair()
    assert filled.candles == sum(
        day.truth(name)
        .filter(
            pl.from_epoch("time").is_between(
                pl.lit(day.minute(60).replace(tzinfo=None)),
                pl.lit(day.minute(61).replace(tzinfo=None)),
            )
        )
        .height
        for name in day.ids
    )
    assert all(day.is_true(name) for name in day.ids)


def test_a_gap_of_a_stream_of_another_broker_is_filled_by_the_one_there_is(day: Day) -> None:
    day.store_ticks({"NSE:RELIANCE": HOLE})
    day.gap(day.minute(60), day.minute(61) + timedelta(seconds=30), "NSE:RELIANCE")
    run_sql(day.database, "UPDATE gaps SET stream = 'kite-0', broker = 'kite'")
    assert day.repair().gaps == 1
    assert day.is_true("NSE:RELIANCE")


def test_candles_in_a_gap_that_agree_with_the_broker_stay_ours(day: Day) -> None:
    day.store_ticks()
    day.gap(day.minute(60), day.minute(62), "NSE:RELIANCE")
    filled = day.repair()
    assert (filled.gaps, filled.candles) == (1, 0)
    assert day.repairs() == []


def test_a_gap_while_no_exchange_was_open_asks_for_nothing(day: Day) -> None:
    closes = day.session.closes_at
    day.gap(closes + timedelta(minutes=5), closes + timedelta(minutes=50))
    assert day.repair().without_trading == 1
    assert day.gaps()[0]["repaired_by"] == "nothing to fill: no exchange was open"
    assert day.history_requests() == 0


def test_several_gaps_of_a_day_take_one_request_for_each_instrument(day: Day) -> None:
    day.store_ticks({"NSE:RELIANCE": (30, 60, 90)})
    for minute in (30, 60, 90):
        day.gap(day.minute(minute), day.minute(minute + 1), "NSE:RELIANCE")
    assert day.repair().gaps == 3
    assert day.history_requests() == 1
    assert day.is_true("NSE:RELIANCE")


def test_gaps_of_several_days_are_filled_in_one_run(day: Day) -> None:
    day.gap(day.minute(60), day.minute(62), "NSE:RELIANCE")
    for earlier in (1, 2, 3):
        before = timedelta(days=earlier)
        day.gap(day.minute(60) - before, day.minute(62) - before, "NSE:RELIANCE")
    assert day.repair()[:3] == (4, 0, 0)
    assert day.history_requests() == 4


def test_a_gap_that_was_filled_is_not_looked_at_again(day: Day) -> None:
    day.gap(day.minute(60), day.minute(62))
    day.repair()
    assert day.repair() == (0, 0, 0, 0)


def test_a_gap_the_broker_refuses_to_fill_is_tried_again_later_and_says_why(day: Day) -> None:
    day.gap(day.minute(60), day.minute(62), "NSE:RELIANCE")
    day.exchange.fault("fail_history", count=1, status=400)
    evening = day.session.closes_at + timedelta(hours=1)
    assert day.repair(now=evening).failed == 1
    (row,) = day.gaps()
    assert (row["repaired_by"], row["repair_attempts"]) == (None, 1)
    assert "NSE:RELIANCE" in row["repair_failure"]
    assert day.repair(now=evening + timedelta(seconds=59)) == (0, 0, 0, 0)
    assert day.repair(now=evening + timedelta(seconds=61)).gaps == 1


def test_a_gap_is_given_up_after_eight_refusals(day: Day) -> None:
    day.gap(day.minute(60), day.minute(62), "NSE:RELIANCE")
    day.exchange.fault("fail_history", count=100, status=400)
    now = day.session.closes_at
    for _ in range(8):
        now += timedelta(days=1)
        assert day.repair(now=now).failed == 1
    assert day.repair(now=now + timedelta(days=1)).failed == 0
    assert str(day.gaps()[0]["repaired_by"]).startswith("given up: NSE:RELIANCE")


def test_an_expired_login_does_not_count_as_an_attempt(day: Day) -> None:
    day.gap(day.minute(60), day.minute(62), "NSE:RELIANCE")
    day.exchange.fault("expire_tokens")
    with pytest.raises(TokenExpired):
        day.repair()
    assert day.gaps()[0]["repair_attempts"] == 0


def test_a_contract_that_is_no_longer_offered_does_not_hold_up_its_gap(day: Day) -> None:
    day.gap(day.minute(60), day.minute(62), "NSE:RELIANCE", "NSE:INFY")
    run_sql(
        day.database,
        "UPDATE broker_instruments SET valid_to = '2026-11-20' WHERE instrument_id = %(id)s",
        id=day.ids["NSE:RELIANCE"],
    )
    assert day.repair().gaps == 1
    assert str(day.gaps()[0]["repaired_by"]).endswith("1 of them are no longer offered")
