"""Each check of a day's candles passes on a sound day and finds its fault, and no other, in one."""

from datetime import datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from market_pipeline.config import Settings
from market_pipeline.orchestration import candle_checks as checks
from market_pipeline.sessions import Calendar
from market_pipeline.storage.database import Database
from market_pipeline_tests import candle_days as days
from market_pipeline_tests import dagster_cases as cases
from market_pipeline_tests.dagster_cases import instance as instance
from market_pipeline_tests.dagster_cases import store as store

WARN, ERROR = dg.AssetCheckSeverity.WARN, dg.AssetCheckSeverity.ERROR


def test_a_sound_day_passes_every_check(instance: dg.DagsterInstance, store: Database) -> None:
    days.store_day(store)
    assert not days.failed_checks(instance, store)


def test_a_candle_that_a_liquid_instrument_lacks_is_found(
    instance: dg.DagsterInstance, store: Database
) -> None:
    days.store_day(store, quiet=[45])
    assert days.failed_checks(instance, store) == {"candles_1m: candles_are_complete"}
    found = days.look(instance, store, checks.candles_are_complete)
    assert (found.severity, days.value(found, "missing")) == (WARN, 1)
    assert [row[0] for row in days.worst(found)] == ["NSE:SYMBOL1"]


def test_the_instrument_that_lacks_most_is_the_worst(
    instance: dg.DagsterInstance, store: Database
) -> None:
    days.store_day(store, quiet=[45])
    days.damage(store, "candles_1m", where="instrument_id = 1 OR extract(minute FROM time) <> 7")
    found = days.look(instance, store, checks.candles_are_complete)
    assert [row[0] for row in days.worst(found)] == ["NSE:SYMBOL2", "NSE:SYMBOL1"]


@pytest.mark.parametrize(
    ("ids", "missing", "explained"), [("{}", 0, 1), ("{1}", 0, 1), ("{2}", 1, 0)]
)
def test_a_candle_missing_in_a_recorded_gap_of_the_instrument_is_no_fault(
    instance: dg.DagsterInstance, store: Database, ids: str, missing: int, explained: int
) -> None:
    days.store_day(store, quiet=[45])
    days.store_gap(store, days.minute(44), days.minute(45) + timedelta(seconds=1), ids)
    found = days.look(instance, store, checks.candles_are_complete)
    assert found.passed is (missing == 0)
    assert days.value(found, "missing") == missing
    assert days.value(found, "missing, in a recorded gap") == explained


def test_a_gap_that_lasts_explains_what_is_missing_since(
    instance: dg.DagsterInstance, store: Database
) -> None:
    days.store_day(store, minutes=200)
    days.store_gap(store, days.minute(200), None)
    found = days.look(instance, store, checks.candles_are_complete)
    assert found.passed
    assert days.value(found, "missing, in a recorded gap") == 2 * 175


def test_an_instrument_that_trades_now_and_then_lacks_nothing(
    instance: dg.DagsterInstance, store: Database
) -> None:
    days.store_day(store, quiet=range(0, 375, 3))
    assert not days.failed_checks(instance, store)


def test_an_instrument_with_few_trades_a_minute_lacks_nothing(
    instance: dg.DagsterInstance, store: Database
) -> None:
    days.store_day(store, quiet=[45])
    days.damage(store, "candles_1m", trades="9::bigint")
    assert days.look(instance, store, checks.candles_are_complete).passed


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE subscriptions SET is_active = false WHERE instrument_id = 1",
        "UPDATE subscriptions SET since = now() WHERE instrument_id = 1",
        "UPDATE instruments SET expiry = '2026-01-22' WHERE instrument_id = 1",
    ],
)
def test_an_instrument_that_was_not_subscribed_or_listed_lacks_nothing(
    instance: dg.DagsterInstance, store: Database, change: str
) -> None:
    days.store_day(store, quiet=[45])
    cases.run_sql(store, change)
    found = days.look(instance, store, checks.candles_are_complete)
    assert (found.passed, days.value(found, "expected")) == (True, 375)


def test_an_instrument_subscribed_that_day_lacks_nothing_before_its_first_candle(
    instance: dg.DagsterInstance, store: Database
) -> None:
    days.store_day(store, quiet=range(30))
    cases.run_sql(store, "UPDATE subscriptions SET since = (SELECT min(time) FROM ticks)")
    found = days.look(instance, store, checks.candles_are_complete)
    assert (found.passed, days.value(found, "expected")) == (True, 375 + 345)


def test_a_candle_outside_the_session_is_an_error(
    instance: dg.DagsterInstance, store: Database
) -> None:
    days.store_trade(store, days.minute(-90))
    days.store_day(store)
    found = days.look(instance, store, checks.candles_are_complete)
    assert (found.passed, found.severity) == (False, ERROR)
    assert days.value(found, "outside the session") == 1


def test_a_candle_of_the_opening_auction_is_counted_and_no_fault(
    instance: dg.DagsterInstance, store: Database
) -> None:
    days.store_trade(store, days.minute(-7))
    days.store_day(store)
    found = days.look(instance, store, checks.candles_are_complete)
    assert (found.passed, days.value(found, "in the auctions before and after it")) == (True, 1)


def test_the_simulated_exchange_has_no_time_outside_the_session(
    instance: dg.DagsterInstance, store: Database
) -> None:
    days.store_trade(store, days.minute(-90))
    days.store_day(store)
    found = days.look(instance, store, checks.candles_are_complete, cases.Simulator())
    assert (found.passed, days.value(found, "expected")) == (True, 2 * 1440)


class _AtHalfPastTen(datetime):
    @classmethod
    def now(cls, tz: Any = None) -> Any:
        return days.minute(75) + timedelta(seconds=30)


def test_only_minutes_that_are_over_are_expected(
    instance: dg.DagsterInstance, store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "datetime", _AtHalfPastTen)
    days.store_day(store, minutes=74)
    found = days.look(instance, store, checks.candles_are_complete)
    assert (found.passed, days.value(found, "expected")) == (True, 2 * 74)


class _WithoutHolidays(cases.Simulator):
    @property
    def settings(self) -> Settings:
        return _Unknowing(_env_file=None)


class _Unknowing(Settings):
    @property
    def calendar(self) -> Calendar:
        calendar = Calendar()
        calendar.knows = lambda exchange, day: False  # type: ignore[method-assign]
        return calendar


def test_a_year_whose_holidays_are_not_known_is_said_to_be_so(
    instance: dg.DagsterInstance, store: Database
) -> None:
    found = days.look(instance, store, checks.candles_are_complete, _WithoutHolidays())
    assert (found.passed, found.severity) == (False, WARN)
    assert "CALENDAR_FILE" in str(found.description)


@pytest.mark.parametrize("column", ["open", "low", "close", "volume", "open_interest", "trades"])
def test_a_candle_that_its_ticks_do_not_make_is_found(
    instance: dg.DagsterInstance, store: Database, column: str
) -> None:
    days.store_day(store)
    second = "instrument_id = 2 AND extract(minute FROM time) = 16"
    change = f"CASE WHEN {second} THEN {column} + 1 ELSE {column} END"
    days.damage(store, "candles_1m", **{column: change})
    found = days.look(instance, store, checks.candles_agree_with_ticks)
    assert (found.passed, found.severity) == (False, ERROR)
    assert days.worst(found) == [["NSE:SYMBOL2", "6", "09:46", column]]


def test_a_candle_that_no_tick_made_is_found(instance: dg.DagsterInstance, store: Database) -> None:
    days.store_day(store)
    days.damage(store, "candles_1m", open="high")
    assert days.failed_checks(instance, store) == {
        "candles_1m: candles_agree_with_ticks",
        "candles_5m: aggregates_agree",
        "candles_1d: aggregates_agree",
    }


def test_a_volume_that_is_in_no_candle_is_found(
    instance: dg.DagsterInstance, store: Database
) -> None:
    days.store_day(store)
    days.damage(store, "candles_1m", where="instrument_id = 1 OR extract(minute FROM time) <> 16")
    found = days.look(instance, store, checks.volume_of_the_day_adds_up)
    assert (found.passed, found.severity) == (False, ERROR)
    traded = 375 * 12 * 5 - 5  # of the first trade nobody knows how much it was
    lost = 6 * 12 * 5
    expected = ["NSE:SYMBOL2", str(traded - lost), str(traded), str(-lost)]
    assert days.worst(found) == [expected]


def test_a_volume_that_ticks_and_candles_count_twice_is_found(
    instance: dg.DagsterInstance, store: Database
) -> None:
    days.store_day(store, change="UPDATE ticks SET volume = 10 WHERE time = %(noon)s")
    assert days.failed_checks(instance, store) == {"candles_1m: volume_of_the_day_adds_up"}
    found = days.look(instance, store, checks.volume_of_the_day_adds_up)
    assert [(row[0], row[3]) for row in days.worst(found)] == [
        ("NSE:SYMBOL1", "5"),
        ("NSE:SYMBOL2", "5"),
    ]


def test_an_instrument_whose_ticks_do_not_know_a_volume_is_not_compared(
    instance: dg.DagsterInstance, store: Database
) -> None:
    unknown = "UPDATE ticks SET volume = NULL WHERE instrument_id = 1 AND time = %(noon)s"
    days.store_day(store, change=unknown)
    assert not days.failed_checks(instance, store)
    found = days.look(instance, store, checks.volume_of_the_day_adds_up)
    assert [days.value(found, name) for name in ("compared", "not known")] == [1, 1]


def test_a_tick_that_knows_nothing_and_hides_nothing_is_compared(
    instance: dg.DagsterInstance, store: Database
) -> None:
    days.store_day(store)
    days.store_trade(store, days.minute(100))
    cases.run_sql(store, "UPDATE ticks SET day_volume = 7 WHERE volume IS NULL AND seq & 4095 = 0")
    found = days.look(instance, store, checks.volume_of_the_day_adds_up)
    assert (found.passed, days.value(found, "compared")) == (True, 2)


def test_a_late_tick_that_the_candles_do_not_know_yet_leaves_its_instrument_out(
    instance: dg.DagsterInstance, store: Database
) -> None:
    days.store_day(store)
    days.damage(store, "candles_1m", volume="0::bigint")
    cases.run_sql(
        store,
        "INSERT INTO candle_invalidations SELECT instrument_id, min(time) FROM ticks GROUP BY 1",
    )
    found = days.look(instance, store, checks.volume_of_the_day_adds_up)
    assert (found.passed, days.value(found, "compared")) == (True, 0)


def test_an_index_has_no_volume_to_add_up(instance: dg.DagsterInstance, store: Database) -> None:
    days.store_day(store)
    cases.run_sql(store, "UPDATE instruments SET kind = 'INDEX' WHERE instrument_id = 2")
    found = days.look(instance, store, checks.volume_of_the_day_adds_up)
    assert days.value(found, "compared") == 1


def test_what_could_not_be_right_is_counted_by_reason(
    instance: dg.DagsterInstance, store: Database
) -> None:
    days.store_day(store)
    cases.run_sql(
        store,
        "INSERT INTO streams (stream, broker, run_id, state, started_at, heartbeat_at, anomalies)"
        " SELECT 'simulator-0', 'simulator', '', 'stopped', min(time), max(time), 3 FROM ticks",
        "INSERT INTO rejected (stream, position, received_at, reason, payload)"
        " SELECT 'simulator-0', n, time + n * interval '1 day', 'a | b', '' FROM"
        " (SELECT min(time) AS time FROM ticks) AS _, unnest(ARRAY[0, 0, 1, -1]) AS n",
    )
    assert days.failed_checks(instance, store) == {"candles_1m: anomalies_are_few"}
    found = days.look(instance, store, checks.anomalies_are_few)
    assert (found.severity, days.value(found, "anomalies")) == (WARN, 5)
    assert str(days.value(found, "reasons")).splitlines()[2:] == [
        "| the volume of the day fell, or a stamp is impossible | 3 |",
        r"| a \| b | 2 |",
    ]


def test_a_table_shows_the_twenty_worst(instance: dg.DagsterInstance, store: Database) -> None:
    days.store_trade(store, days.minute(0))
    cases.run_sql(
        store,
        "INSERT INTO rejected (stream, position, received_at, reason, payload)"
        " SELECT 'simulator-0', n, time, 'unknown tokens ' || a, '' FROM ticks,"
        " generate_series(1, 25) AS a, generate_series(1, a) AS n",
    )
    found = days.look(instance, store, checks.anomalies_are_few)
    rows = [(f"unknown tokens {count}", str(count)) for count in range(25, 5, -1)]
    assert [tuple(row) for row in days.worst(found, "reasons")] == rows
