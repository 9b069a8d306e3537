"""Days of ticks come and go without losing a candle, and checks find what is not as promised."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from market_pipeline.orchestration import instruments, ticks, upkeep
from market_pipeline.sessions import bounds, trading_date
from market_pipeline.storage import candles as candle_store
from market_pipeline.storage import timescaledb
from market_pipeline.storage.database import Database
from market_pipeline_tests import dagster_cases as cases
from market_pipeline_tests.dagster_cases import instance as instance
from market_pipeline_tests.dagster_cases import store as store


def test_a_wanted_stream_that_never_ran_is_not_fresh(
    instance: dg.DagsterInstance, store: Database
) -> None:
    checked = cases.evaluate_checks(instance, store, ticks.ticks_are_fresh)
    assert checked == {"ticks_are_fresh": False}


def test_a_stream_that_lives_and_receives_is_fresh(
    instance: dg.DagsterInstance, store: Database
) -> None:
    cases.store_ticks(store, cases.DAY, minutes=1)
    cases.run_sql(
        store,
        "INSERT INTO streams (stream, broker, run_id, state, started_at, heartbeat_at)"
        " VALUES ('simulator-0', 'simulator', '', 'streaming', now(), now())",
    )
    checked = cases.evaluate_checks(instance, store, ticks.ticks_are_fresh)
    assert checked == {"ticks_are_fresh": True}


def test_ticks_need_not_be_fresh_while_the_exchange_is_closed(
    instance: dg.DagsterInstance, store: Database
) -> None:
    checked = cases.evaluate_checks(instance, store, ticks.ticks_are_fresh, cases.ClosedExchange())
    assert checked == {"ticks_are_fresh": True}


def test_a_subscription_that_no_token_stands_for_is_found(
    instance: dg.DagsterInstance, store: Database
) -> None:
    cases.run_sql(
        store, "UPDATE broker_instruments SET valid_to = current_date - 9 WHERE token = 1"
    )
    checked = cases.evaluate_checks(instance, store, instruments.instrument_checks)
    assert checked == {
        "instruments_are_known": True,
        "few_instruments_vanish": True,
        "subscriptions_are_listed": False,
        "subscriptions_have_a_standby": True,
    }


def test_instruments_that_vanish_before_they_expire_are_found(
    instance: dg.DagsterInstance, store: Database
) -> None:
    today = trading_date(datetime.now(UTC))
    cases.run_sql(
        store,
        "UPDATE broker_instruments SET valid_to = %(today)s WHERE token = 1",
        today=today,
    )
    assert not cases.evaluate_checks(instance, store, instruments.instrument_checks)[
        "few_instruments_vanish"
    ]


@pytest.fixture
def broker(tmp_path: Path) -> cases.Simulator:
    return cases.Archiving(home=str(tmp_path))


def upkeep_run(
    instance: dg.DagsterInstance, store: Database, broker: cases.Simulator
) -> dg.ExecuteInProcessResult:
    return upkeep.partition_upkeep.execute_in_process(
        instance=instance, resources=cases.resources(store, broker)
    )


def tick_days(store: Database) -> list[date]:
    days: list[date] = store.query("expired_tick_days", before=date(9999, 1, 1))["day"].to_list()
    return days


def test_upkeep_creates_the_next_days(
    instance: dg.DagsterInstance, store: Database, broker: cases.Simulator
) -> None:
    upkeep_run(instance, store, broker)
    today = trading_date(datetime.now(UTC))
    assert tick_days(store) == [today + timedelta(days=n) for n in range(4)]


def test_upkeep_drops_old_days_and_keeps_their_candles(
    instance: dg.DagsterInstance, store: Database, broker: cases.Simulator
) -> None:
    cases.store_ticks(store, cases.DAY)
    assert upkeep_run(instance, store, broker).success
    assert cases.DAY not in tick_days(store)
    start, end = bounds(cases.DAY)
    kept = store.query("candles_of_day", name="candles_1m", starts_at=start, ends_at=end)
    assert kept["candles"].to_list() == [60]


def test_days_within_retention_stay(
    instance: dg.DagsterInstance, store: Database, broker: cases.Simulator
) -> None:
    day = trading_date(datetime.now(UTC)) - timedelta(days=7)
    cases.store_ticks(store, day, minutes=1)
    upkeep_run(instance, store, broker)
    assert day in tick_days(store)


def test_candles_of_dropped_days_still_pass_their_checks(
    instance: dg.DagsterInstance, store: Database, broker: cases.Simulator
) -> None:
    cases.store_ticks(store, cases.DAY)
    upkeep_run(instance, store, broker)
    assert not cases.failed_checks(cases.look_at_candles(instance, store))


def test_candles_that_are_left_behind_are_found(
    instance: dg.DagsterInstance, store: Database
) -> None:
    cases.store_ticks(store, cases.DAY, minutes=10)
    candle_store.refresh(store)
    assert cases.evaluate_checks(instance, store, ticks.candles_are_fresh) == {
        "candles_are_fresh": True
    }
    cases.run_sql(store, "UPDATE candle_progress SET watermark = watermark - interval '10 minutes'")
    assert cases.evaluate_checks(instance, store, ticks.candles_are_fresh) == {
        "candles_are_fresh": False
    }


def test_a_plain_server_has_no_policies_that_could_be_wrong(
    instance: dg.DagsterInstance, store: Database
) -> None:
    found = cases.evaluate_checks(instance, store, ticks.server_policies)
    with store.transaction() as connection:
        assert found == {"server_policies": not timescaledb.is_used(connection)}
