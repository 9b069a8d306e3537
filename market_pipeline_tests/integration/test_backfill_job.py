"""The job that fetches candles of given instruments, days and length."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import dagster as dg
import pytest

from market_pipeline import config
from market_pipeline.config import Settings
from market_pipeline.definitions import defs
from market_pipeline.orchestration.resources import MarketBroker
from market_pipeline.storage.database import Database
from market_pipeline_tests.dagster_cases import instance as instance
from market_pipeline_tests.dagster_cases import resources, rows
from market_pipeline_tests.history_days import DAY, Day, simulated_day


class _Broker(MarketBroker):
    """The broker of the settings that are in force, read anew."""

    @property
    def settings(self) -> Settings:
        return config.settings()


@pytest.fixture
def day(database: Database, tmp_path: Path) -> Iterator[Day]:
    with simulated_day(database, tmp_path) as made:
        with mock.patch.object(config, "settings", lambda: made.settings):
            yield made


def run(day: Day, instance: dg.DagsterInstance, **order: Any) -> dg.ExecuteInProcessResult:
    wanted = {"first": str(DAY), "last": str(DAY), **order}
    return defs.resolve_job_def("history_backfill").execute_in_process(
        run_config={"ops": {"fetch_history": {"config": wanted}}},
        resources=resources(day.database, _Broker()),
        instance=instance,
        raise_on_error=False,
    )


def failure(result: dg.ExecuteInProcessResult) -> str:
    (event,) = (event for event in result.all_events if event.is_step_failure)
    error = event.step_failure_data.error
    assert error is not None
    return error.message


def fetched(day: Day) -> dict[tuple[str, int], int]:
    found = rows(
        day.database,
        "SELECT symbol, minutes, count(*) AS n FROM broker_candles"
        " JOIN instruments USING (instrument_id) GROUP BY symbol, minutes",
    )
    return {(row["symbol"], row["minutes"]): row["n"] for row in found}


def test_without_names_it_is_what_is_subscribed(day: Day, instance: dg.DagsterInstance) -> None:
    assert run(day, instance).success
    assert set(fetched(day)) == {("INFY", 1), ("RELIANCE", 1), ("SBIN", 1)}


def test_named_instruments_are_fetched_in_the_length_that_is_wanted(
    day: Day, instance: dg.DagsterInstance
) -> None:
    assert run(day, instance, instruments=["NSE:TCS"], interval="15m").success
    assert set(fetched(day)) == {("TCS", 15)}


def test_what_was_fetched_is_not_asked_for_again(day: Day, instance: dg.DagsterInstance) -> None:
    assert run(day, instance).success
    before = day.history_requests()
    assert run(day, instance).success
    assert day.history_requests() == before
    assert run(day, instance, again=True).success
    assert day.history_requests() == before + 3


def test_a_run_of_which_a_request_failed_fails_and_says_how_many(
    day: Day, instance: dg.DagsterInstance
) -> None:
    day.exchange.fault("fail_history", count=1, status=400)
    result = run(day, instance)
    assert not result.success
    assert "1 of 3 requests failed, the first:" in failure(result)
    assert len(fetched(day)) == 2


@pytest.mark.parametrize(
    ("order", "told"),
    [
        ({"instruments": ["NSE:NOSUCH"]}, "no instrument NSE:NOSUCH"),
        ({"interval": "7m"}, "no candles of 7 minutes"),
        ({"interval": "long"}, "write it as 1m, 5m, 1h or 1d"),
    ],
)
def test_an_order_that_cannot_be_met_fails_with_the_reason(
    day: Day, instance: dg.DagsterInstance, order: dict[str, Any], told: str
) -> None:
    assert told in failure(run(day, instance, **order))
    assert day.history_requests() == 0
