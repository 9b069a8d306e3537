"""What Dagster makes of the broker's candles: assets, checks, schedules, gaps filled by itself."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from market_pipeline.config import Settings
from market_pipeline.definitions import defs
from market_pipeline.orchestration import history, reconciled
from market_pipeline.orchestration.resources import MarketBroker
from market_pipeline.sessions import EXCHANGE_TZ
from market_pipeline.storage.database import Database
from market_pipeline_tests import dagster_cases as cases
from market_pipeline_tests.dagster_cases import run_sql
from market_pipeline_tests.history_days import DAY, Day, simulated_day

instance = cases.instance
HOLE = range(60, 62)


@pytest.fixture
def day(database: Database, tmp_path: Path) -> Iterator[Day]:
    with simulated_day(database, tmp_path) as made:
        yield made


def resources(day: Day) -> dict[str, Any]:
    class Simulated(MarketBroker):
        @property
        def settings(self) -> Settings:
            return day.settings

    return cases.resources(day.database, Simulated())


def run_day(
    day: Day, instance: dg.DagsterInstance, config: dict[str, Any] | None = None
) -> dg.ExecuteInProcessResult:
    job = defs.resolve_job_def("daily_history")
    return job.execute_in_process(
        partition_key=DAY.isoformat(),
        instance=instance,
        resources=resources(day),
        run_config={"ops": {"broker_candles": {"config": config or {}}}},
    )


def metadata(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, Any]:
    (made,) = result.asset_materializations_for_node(asset)
    return {name: value.value for name, value in made.metadata.items()}


def check(result: dg.ExecuteInProcessResult, name: str) -> dg.AssetCheckEvaluation:
    (found,) = [each for each in result.get_asset_check_evaluations() if each.check_name == name]
    return found


def test_a_day_is_fetched_compared_and_reported(day: Day, instance: dg.DagsterInstance) -> None:
    day.store_ticks()
    result = run_day(day, instance)
    fetched = metadata(result, "broker_candles")
    assert (fetched["requests"], fetched["failed"]) == (3, 0)
    found = metadata(result, "reconciled_candles")
    assert found["instruments"] == 3
    assert found["compared"] == found["agreeing"] > 700
    assert "agree with those of simulator" in found["report"]
    assert cases.failed_checks(result) == set()


def test_the_worst_differences_are_shown_by_the_check(
    day: Day, instance: dg.DagsterInstance
) -> None:
    day.store_ticks({"NSE:RELIANCE": HOLE})
    result = run_day(day, instance)
    found = check(result, "candles_agree_with_broker")
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "NSE:RELIANCE" in str(found.metadata["worst instruments"].value)
    assert "NSE:RELIANCE" in metadata(result, "reconciled_candles")["report"]


def test_a_difference_in_a_recorded_gap_is_explained(
    day: Day, instance: dg.DagsterInstance
) -> None:
    day.store_ticks({"NSE:RELIANCE": HOLE})
    day.gap(day.minute(60), day.minute(62), "NSE:RELIANCE")
    result = run_day(day, instance)
    assert check(result, "candles_agree_with_broker").passed
    assert [row["repaired_by"] for row in day.repairs()] == [f"reconciliation of {DAY}"] * 2


def test_a_second_run_of_a_day_asks_for_nothing(day: Day, instance: dg.DagsterInstance) -> None:
    day.store_ticks()
    run_day(day, instance)
    result = run_day(day, instance)
    assert metadata(result, "broker_candles")["requests"] == 0
    assert metadata(result, "reconciled_candles")["compared before"] == 3


def test_many_days_are_fetched_together(day: Day, instance: dg.DagsterInstance) -> None:
    result = dg.materialize(
        [history.broker_candles],
        selection=[history.broker_candles],
        instance=instance,
        resources=resources(day),
        tags={
            "dagster/asset_partition_range_start": "2026-11-02",
            "dagster/asset_partition_range_end": DAY.isoformat(),
        },
    )
    made = result.asset_materializations_for_node("broker_candles")
    assert len(made) == 19  # partitions are those of an exchange that is always open
    assert day.history_requests() == 3


def test_instruments_can_be_named_for_a_run(day: Day, instance: dg.DagsterInstance) -> None:
    result = run_day(day, instance, {"instruments": ["NSE:TCS"]})
    assert metadata(result, "broker_candles")["requests"] == 1


def test_a_broker_that_refuses_the_login_fails_the_run_and_says_so(
    day: Day, instance: dg.DagsterInstance
) -> None:
    day.exchange.fault("expire_tokens")
    with pytest.raises(dg.Failure, match="access_token"):
        run_day(day, instance)


def test_instruments_that_were_not_fetched_are_named(
    day: Day, instance: dg.DagsterInstance
) -> None:
    day.exchange.fault("fail_history", count=1, status=400)
    found = check(run_day(day, instance), "all_were_fetched")
    assert (found.passed, found.metadata["missing"].value) == (False, 1)


def test_gaps_are_filled_by_the_job(day: Day, instance: dg.DagsterInstance) -> None:
    day.store_ticks({"NSE:RELIANCE": HOLE})
    day.gap(day.minute(60), day.minute(62), "NSE:RELIANCE")
    defs.resolve_job_def("gap_repair").execute_in_process(
        instance=instance, resources=resources(day)
    )
    assert day.is_true("NSE:RELIANCE")
    assert day.gaps()[0]["repaired_by"].startswith("simulator: 2 candles replaced")


def evaluate(
    day: Day, instance: dg.DagsterInstance, cursor: str | None = None
) -> dg.SensorResult | dg.SkipReason:
    with dg.build_sensor_context(
        instance=instance, cursor=cursor, resources=resources(day)
    ) as context:
        found = reconciled.gap_sensor(context)
    assert isinstance(found, dg.SensorResult | dg.SkipReason)
    return found


def test_the_sensor_waits_while_there_is_no_gap(day: Day, instance: dg.DagsterInstance) -> None:
    assert isinstance(evaluate(day, instance), dg.SkipReason)


def test_the_sensor_starts_a_run_for_a_gap(day: Day, instance: dg.DagsterInstance) -> None:
    day.gap(day.minute(60), day.minute(62))
    found = evaluate(day, instance)
    assert isinstance(found, dg.SensorResult)
    assert len(found.run_requests or []) == 1


def test_the_sensor_does_not_storm_when_a_run_fills_nothing(
    day: Day, instance: dg.DagsterInstance
) -> None:
    day.gap(day.minute(60), day.minute(62))
    found = evaluate(day, instance)
    assert isinstance(found, dg.SensorResult)
    assert isinstance(evaluate(day, instance, found.cursor), dg.SkipReason)
    day.gap(day.minute(70), day.minute(72))
    assert isinstance(evaluate(day, instance, found.cursor), dg.SensorResult)


def look(day: Day, instance: dg.DagsterInstance, wanted: dg.AssetChecksDefinition) -> Any:
    result = dg.materialize(
        [history.broker_candles, history.expiring_contracts, reconciled.reconciled_candles, wanted],
        selection=dg.AssetSelection.checks(wanted),
        instance=instance,
        resources=resources(day),
    )
    (found,) = result.get_asset_check_evaluations()
    return found


def test_a_gap_that_waits_for_an_hour_is_reported(day: Day, instance: dg.DagsterInstance) -> None:
    day.gap(day.minute(60), day.minute(62))
    assert not look(day, instance, reconciled.gaps_are_filled).passed
    day.repair()
    assert look(day, instance, reconciled.gaps_are_filled).passed


def expire(day: Day, kind: str, on: date) -> None:
    """Let the nearest contracts on NIFTY of a kind expire on a day."""
    run_sql(
        day.database,
        "UPDATE instruments SET expiry = %(on)s WHERE kind = %(kind)s AND underlying = 'NIFTY'"
        " AND expiry = (SELECT min(expiry) FROM instruments WHERE underlying = 'NIFTY')",
        on=on,
        kind=kind,
    )


def test_contracts_about_to_expire_are_saved_and_missing_ones_reported(
    day: Day, instance: dg.DagsterInstance
) -> None:
    today = datetime.now(UTC).astimezone(EXCHANGE_TZ).date()
    run_sql(
        day.database,
        "INSERT INTO subscriptions (instrument_id) SELECT instrument_id FROM instruments"
        " WHERE symbol = 'NIFTY 50'",
    )
    expire(day, "FUT", today)
    expire(day, "FUT", today - timedelta(days=1))
    assert not look(day, instance, history.expired_contracts_are_saved).passed
    expire(day, "FUT", today)
    job = defs.resolve_job_def("expiring_contracts_job")
    result = job.execute_in_process(instance=instance, resources=resources(day))
    saved = metadata(result, "expiring_contracts")
    assert saved["requests"] > 0
    assert saved["candles"] > 1000


@pytest.mark.parametrize(
    ("at", "day_of_run"),
    [
        (datetime(2026, 11, 20, 16, 15, tzinfo=EXCHANGE_TZ), date(2026, 11, 20)),
        (datetime(2026, 11, 21, 0, 30, tzinfo=EXCHANGE_TZ), date(2026, 11, 20)),
        (datetime(2026, 11, 21, 16, 15, tzinfo=EXCHANGE_TZ), None),  # Saturday
    ],
)
def test_a_day_is_compared_after_its_close_and_again_at_night(
    day: Day, instance: dg.DagsterInstance, at: datetime, day_of_run: date | None
) -> None:
    with dg.build_schedule_context(
        instance=instance, scheduled_execution_time=at, resources=resources(day)
    ) as context:
        found = reconciled.reconcile_candles(context)
    if day_of_run is None:
        assert isinstance(found, dg.SkipReason)
    else:
        assert isinstance(found, dg.RunRequest)
        assert found.partition_key == str(day_of_run)
