"""Candles as Dagster's assets: stored, described, checked, and looked at in time."""

import json
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from market_pipeline.orchestration import candle_checks, candles
from market_pipeline.sessions import bounds
from market_pipeline.storage import candles as candle_store
from market_pipeline.storage.database import Database
from market_pipeline_tests import candle_days
from market_pipeline_tests import dagster_cases as cases
from market_pipeline_tests.dagster_cases import instance as instance
from market_pipeline_tests.dagster_cases import store as store


def test_candles_are_stored_described_and_found_sane(
    instance: dg.DagsterInstance, store: Database
) -> None:
    cases.store_ticks(store, cases.DAY)
    result = cases.look_at_candles(instance, store)
    rows = {
        name: result.asset_materializations_for_node(name)[0].metadata["dagster/row_count"].value
        for name in ("candles_1m", "candles_5m", "candles_15m", "candles_1d")
    }
    assert rows == {"candles_1m": 60, "candles_5m": 12, "candles_15m": 4, "candles_1d": 2}
    assert len(result.get_asset_check_evaluations()) == 13
    assert not cases.failed_checks(result)


def test_a_day_without_ticks_has_no_candles_and_no_faults(
    instance: dg.DagsterInstance, store: Database
) -> None:
    assert not cases.failed_checks(cases.look_at_candles(instance, store))


@pytest.mark.parametrize(
    ("name", "shown", "found"),
    [
        (
            "candles_1m",
            {"volume": "volume + 1"},
            {
                "candles_1m: candles_agree_with_ticks",
                "candles_5m: aggregates_agree",
                "candles_1d: aggregates_agree",
            },
        ),
        (
            "candles_1m",
            {"where": "false"},
            {
                "candles_1m: rows_arrive",
                "candles_1m: candles_agree_with_ticks",
                "candles_5m: aggregates_agree",
                "candles_1d: aggregates_agree",
            },
        ),
        (
            "candles_5m",
            {"close": "'NaN'::double precision"},
            {
                "candles_5m: aggregates_agree",
                "candles_5m: ohlc_is_sane",
                "candles_15m: aggregates_agree",
            },
        ),
        ("candles_15m", {"where": "false"}, {"candles_15m: aggregates_agree"}),
        (
            "candles_15m",
            {"low": "high + 1"},
            {"candles_15m: aggregates_agree", "candles_15m: ohlc_is_sane"},
        ),
        ("candles_1d", {"trades": "trades + 1"}, {"candles_1d: aggregates_agree"}),
        (
            "candles_1d",
            {"volume": "-volume"},
            {"candles_1d: aggregates_agree", "candles_1d: ohlc_is_sane"},
        ),
    ],
)
def test_damaged_candles_are_found(
    instance: dg.DagsterInstance, store: Database, name: str, shown: dict[str, str], found: set[str]
) -> None:
    cases.store_ticks(store, cases.DAY)
    candle_store.refresh(store)
    candle_days.damage(store, name, **shown)
    assert cases.failed_checks(cases.look_at_candles(instance, store)) == found


def test_a_late_tick_that_is_not_yet_in_its_candle_is_no_fault(
    instance: dg.DagsterInstance, store: Database
) -> None:
    cases.store_ticks(store, cases.DAY)
    candle_store.refresh(store)
    cases.run_sql(
        store,
        "INSERT INTO candle_invalidations"
        " SELECT instrument_id, date_trunc('minute', time) FROM ticks ORDER BY time LIMIT 1",
        "UPDATE ticks SET volume = 9 WHERE time = (SELECT min(time) FROM ticks)",
    )
    found = candle_days.look(instance, store, candle_checks.candles_agree_with_ticks)
    assert candle_days.value(found, "differing") == 1  # of the other instrument, nobody noted it


def look_for_candles(
    instance: dg.DagsterInstance, store: Database, cursor: str | None
) -> dg.SensorResult | dg.SkipReason:
    with dg.build_sensor_context(
        instance, cursor=cursor, resources=cases.resources(store)
    ) as context:
        result = candles.candles_sensor(context)
    assert isinstance(result, dg.SensorResult | dg.SkipReason)
    return result


def test_candles_and_ticks_are_looked_at_as_soon_as_the_first_candle_is_stored(
    instance: dg.DagsterInstance, store: Database
) -> None:
    assert isinstance(look_for_candles(instance, store, None), dg.SkipReason)
    cases.store_ticks(store, cases.DAY)
    candle_store.refresh(store)
    result = look_for_candles(instance, store, None)
    assert isinstance(result, dg.SensorResult)
    requests = [(each.job_name, each.partition_key) for each in result.run_requests or []]
    assert requests == [("candles", "2026-01-23"), ("tick_checks", None)]


@pytest.mark.parametrize(
    ("minutes_ago", "candles_since", "is_launched"),
    [(6, True, True), (6, False, False), (4, True, False)],
)
def test_candles_are_looked_at_again_when_there_are_new_ones_but_not_at_once(
    instance: dg.DagsterInstance,
    store: Database,
    minutes_ago: int,
    candles_since: bool,
    is_launched: bool,
) -> None:
    cases.store_ticks(store, cases.DAY)
    candle_store.refresh(store)
    watermark = store.query("candle_progress")["watermark"][0]
    seen = {
        "watermark": (watermark - timedelta(minutes=candles_since)).isoformat(),
        "launched_at": (datetime.now(UTC) - timedelta(minutes=minutes_ago)).isoformat(),
    }
    result = look_for_candles(instance, store, json.dumps(seen))
    assert isinstance(result, dg.SensorResult) is is_launched


def test_after_midnight_the_last_day_is_looked_at_once_more(
    instance: dg.DagsterInstance, store: Database
) -> None:
    cases.store_ticks(store, cases.DAY)
    candle_store.refresh(store)
    cursor = {
        "watermark": bounds(cases.DAY)[0].isoformat(),
        "launched_at": datetime(2026, 1, 23, tzinfo=UTC).isoformat(),
    }
    result = look_for_candles(instance, store, json.dumps(cursor))
    assert isinstance(result, dg.SensorResult)
    days = [request.partition_key for request in result.run_requests or []]
    assert days == ["2026-01-22", "2026-01-23"]
