"""What Dagster is told: names are an interface, a changed one loses its history and its state."""

import re
from datetime import date
from pathlib import Path

import dagster as dg
import pytest

from market_pipeline.definitions import defs
from market_pipeline.orchestration import checks
from market_pipeline.orchestration.partitions import days_off, trading_days_of
from market_pipeline.sessions import AlwaysOpen, Calendar, bounds

LINEAGE = {
    "instruments": set(),
    "ticks": {"instruments"},
    "candles_1m": {"ticks"},
    "candles_5m": {"candles_1m"},
    "candles_15m": {"candles_5m"},
    "candles_1d": {"candles_1m"},
    "broker_candles": {"instruments"},
    "expiring_contracts": {"instruments"},
    "reconciled_candles": {"candles_1m", "broker_candles"},
    "tick_archive": {"ticks", "candles_1m"},
}


def test_the_definitions_are_loadable() -> None:
    dg.Definitions.validate_loadable(defs)


def test_the_assets_follow_the_ticks_journey() -> None:
    graph = defs.resolve_asset_graph()
    assert LINEAGE == {
        key.to_user_string(): {parent.to_user_string() for parent in graph.get(key).parent_keys}
        for key in graph.get_all_asset_keys()
    }


def test_ticks_are_not_for_dagster_to_make() -> None:
    assert not defs.resolve_asset_graph().get(dg.AssetKey("ticks")).is_materializable


def test_the_names_of_jobs_schedules_and_sensors_stay() -> None:
    repository = defs.get_repository_def()
    assert {job.name for job in repository.get_all_jobs()} == {
        "__ASSET_JOB",
        "archive",
        "instrument_sync",
        "tick_stream",
        "tick_checks",
        "candles",
        "daily_history",
        "expiring_contracts_job",
        "gap_repair",
        "history_backfill",
        "partition_upkeep",
        "retention_verification",
    }
    assert {each.name: each.cron_schedule for each in repository.schedule_defs} == {
        "archive_days": ["30 1 * * *", "45 8 * * *", "45 16 * * *"],
        "sync_instruments": "30 8 * * *",
        "check_ticks": "*/10 * * * *",
        "partition_upkeep_schedule": "30 0 * * *",
        "verify_retention": "30 3 * * *",
        "reconcile_candles": ["15 16 * * *", "30 0 * * *"],
        "save_expiring_contracts": ["45 16 * * *", "0 1 * * *"],
    }
    assert {each.name for each in repository.sensor_defs} == {
        "missed_sync_sensor",
        "tick_stream_sensor",
        "candles_sensor",
        "gap_sensor",
    }


def test_the_names_of_checks_stay() -> None:
    keys = defs.resolve_asset_graph().asset_check_keys
    assert {f"{key.asset_key.to_user_string()}: {key.name}" for key in keys} == {
        "instruments: instruments_are_known",
        "instruments: few_instruments_vanish",
        "instruments: subscriptions_are_listed",
        "instruments: subscriptions_have_a_standby",
        "instruments: brokers_agree_on_instruments",
        "ticks: ticks_are_fresh",
        "ticks: no_instrument_is_silent",
        "ticks: tick_retention",
        "ticks: server_policies",
        "ticks: feeds_agree",
        "candles_1m: candles_are_fresh",
        "candles_1m: rows_arrive",
        "candles_1m: candles_are_complete",
        "candles_1m: candles_agree_with_ticks",
        "candles_1m: volume_of_the_day_adds_up",
        "candles_1m: anomalies_are_few",
        "candles_1m: ohlc_is_sane",
        "candles_5m: ohlc_is_sane",
        "candles_15m: ohlc_is_sane",
        "candles_1d: ohlc_is_sane",
        "candles_5m: aggregates_agree",
        "candles_15m: aggregates_agree",
        "candles_1d: aggregates_agree",
        "broker_candles: all_were_fetched",
        "expiring_contracts: expired_contracts_are_saved",
        "reconciled_candles: candles_agree_with_broker",
        "reconciled_candles: gaps_are_filled",
        "tick_archive: archive_is_whole",
    }


def test_feeds_are_compared_by_the_job_of_the_other_checks_of_ticks() -> None:
    keys = defs.resolve_job_def("tick_checks").asset_layer.asset_graph.asset_check_keys
    assert dg.AssetCheckKey(dg.AssetKey("ticks"), "feeds_agree") in keys


def test_every_schedule_and_sensor_runs_without_being_switched_on() -> None:
    repository = defs.get_repository_def()
    assert all(each.default_status.value == "RUNNING" for each in repository.schedule_defs)
    assert all(each.default_status.value == "RUNNING" for each in repository.sensor_defs)


@pytest.mark.parametrize(
    ("day", "is_partition"),
    [
        (date(2026, 1, 23), True),  # Friday
        (date(2026, 1, 24), False),  # Saturday
        (date(2026, 1, 26), False),  # Republic Day
        (date(2026, 2, 1), True),  # Sunday, but Budget day
    ],
)
def test_partitions_are_trading_days(day: date, is_partition: bool) -> None:
    assert trading_days_of(Calendar()).has_partition_key(day.isoformat()) is is_partition


def test_days_of_a_year_whose_holidays_are_not_known_count_as_trading_days() -> None:
    assert max(days_off(Calendar())).year == 2026


def test_the_simulated_exchange_has_no_day_off() -> None:
    assert not list(days_off(AlwaysOpen()))


def test_a_trading_date_starts_at_midnight_in_india() -> None:
    start, end = bounds(date(2026, 1, 23))
    assert start.isoformat() == "2026-01-23T00:00:00+05:30"
    assert end.isoformat() == "2026-01-24T00:00:00+05:30"


def test_every_check_is_declared_such_that_its_outcome_is_recorded() -> None:
    folder = Path(checks.__file__).parent
    files = [file for file in folder.glob("*.py") if file.name != "checks.py"]
    plain = re.compile(r"^@dg\.(multi_)?asset_check", re.MULTILINE)
    assert [file.name for file in files if plain.search(file.read_text("utf-8"))] == []
