"""The asset of the instruments: what a sync against a simulated broker tells Dagster."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from market_pipeline.config import Settings
from market_pipeline.orchestration.instruments import instrument_checks, instruments
from market_pipeline.orchestration.resources import MarketBroker
from market_pipeline.sessions import trading_date
from market_pipeline.simulator import kite_server
from market_pipeline.simulator.kite_server import SimulatorOptions
from market_pipeline.storage.database import Database
from market_pipeline_tests import dagster_cases as cases
from market_pipeline_tests.builders import fetch
from market_pipeline_tests.dagster_cases import instance as instance
from market_pipeline_tests.instrument_cases import numbered, sync


class Simulated(MarketBroker):
    """The broker at an address."""

    url: str

    @property
    def settings(self) -> Settings:
        return Settings(_env_file=None, simulator_url=self.url)


@pytest.fixture(scope="module")
def broker() -> Iterator[Simulated]:
    with kite_server.running(SimulatorOptions(port=0, instruments=120)) as simulator:
        yield Simulated(url=simulator.url)


def materialize(
    instance: dg.DagsterInstance, database: Database, broker: MarketBroker
) -> dg.ExecuteInProcessResult:
    return dg.materialize(
        [instruments, instrument_checks],
        instance=instance,
        resources=cases.resources(database, broker),
        raise_on_error=False,
    )


def told(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    (event,) = result.asset_materializations_for_node("instruments")
    return {name: entry.value for name, entry in event.metadata.items()}


def changed(database: Database) -> None:
    """Make the broker's master differ from what is stored, as if it were so since yesterday."""
    yesterday = trading_date(datetime.now(UTC)) - timedelta(days=1)
    fetch(
        database,
        "WITH moved AS (UPDATE broker_instruments SET valid_from = %s)"
        " UPDATE instruments SET listed_on = %s, lot_size = lot_size + 1",
        yesterday,
        yesterday,
    )


def test_all_counts_are_told(
    instance: dg.DagsterInstance, database: Database, broker: Simulated
) -> None:
    values = told(materialize(instance, database, broker))
    assert values.pop("changes").records == []
    assert values == {
        "broker": "simulator",
        "dagster/row_count": 120,
        "added": 120,
        "renamed": 0,
        "changed": 0,
        "expired": 0,
        "delisted": 0,
        "relisted": 0,
        "tokens reused": 0,
    }


def test_changes_of_the_day_are_a_table_of_at_most_fifty_rows(
    instance: dg.DagsterInstance, database: Database, broker: Simulated
) -> None:
    materialize(instance, database, broker)
    changed(database)
    for _ in range(2):  # a second sync of the day tells them as well
        records = told(materialize(instance, database, broker))["changes"].records
        assert len(records) == 50
        assert records[0].data.keys() == {"change", "name", "field", "before", "after"}
        assert {record.data["field"] for record in records} == {"lot_size"}


def test_a_master_that_is_not_believed_fails_the_asset_and_is_not_tried_again(
    instance: dg.DagsterInstance, database: Database, broker: Simulated
) -> None:
    sync(database, *numbered("NSE", 300), broker="simulator")
    result = materialize(instance, database, broker)
    assert not result.success
    failure = result.failure_data_for_node("instruments")
    assert failure is not None and failure.error is not None
    assert "120 rows where 300 are known" in failure.error.message
    assert not result.retry_attempts_for_node("instruments")


def test_the_checks_pass_after_a_sync(
    instance: dg.DagsterInstance, database: Database, broker: Simulated
) -> None:
    checks = materialize(instance, database, broker).get_asset_check_evaluations()
    assert {check.check_name: check.passed for check in checks} == {
        "instruments_are_known": True,
        "few_instruments_vanish": True,
        "subscriptions_are_listed": True,
        "subscriptions_have_a_standby": True,
    }
