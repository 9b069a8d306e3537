"""The pipeline notes what dashboards and alerts look at: samples of streams, checks, limits."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import dagster as dg
import pytest

from market_pipeline.config import Settings
from market_pipeline.errors import DatabaseError
from market_pipeline.orchestration import checks, ticks
from market_pipeline.orchestration.resources import MarketDatabase
from market_pipeline.storage import schema
from market_pipeline.storage.database import Database
from market_pipeline.streaming.heartbeat import Heartbeat, StreamReport
from market_pipeline_tests import dagster_cases as cases
from market_pipeline_tests.builders import fetch
from market_pipeline_tests.dagster_cases import instance as instance

REPORT = StreamReport(
    "simulator-0", "streaming", 2, 10, 20, 10.0, 3.0, 500, 0, 0, 0, [7], [], 40.0, 600.0, 900.0
)
LATER = replace(
    REPORT,
    ticks_per_second=20.0,
    lag_ms=None,
    lag_max_ms=30.0,
    exchange_lag_ms=500.0,
    exchange_lag_max_ms=None,
    backlog_bytes=400,
    stale_instruments=[],
)


@pytest.fixture
def heartbeat(database: Database) -> Iterator[Heartbeat]:
    made = Heartbeat(database, "simulator", "simulator-0", "run")
    yield made
    made.close()


def samples(database: Database, columns: str) -> list[tuple[Any, ...]]:
    return fetch(database, f"SELECT {columns} FROM stream_samples ORDER BY time")  # noqa: S608


def test_each_heartbeat_is_in_a_sample(database: Database, heartbeat: Heartbeat) -> None:
    for _ in range(3):
        heartbeat.beat(REPORT, "")
    assert sum(n for (n,) in samples(database, "heartbeats")) == 3
    assert set(samples(database, "stream, state, instruments, silent_instruments")) == {
        ("simulator-0", "streaming", 2, 1)
    }


def test_sample_keeps_the_worst_of_its_heartbeats(database: Database, heartbeat: Heartbeat) -> None:
    with database.transaction() as connection:  # whose now() stays, so both are in one sample
        heartbeat.take_lease()
        heartbeat._connection, own = connection, heartbeat._connection
        heartbeat.beat(REPORT, "")
        heartbeat.beat(LATER, "")
        heartbeat._connection = own
    columns = "heartbeats, ticks_per_second, backlog_bytes, silent_instruments, lag_ms, lag_max_ms"
    assert samples(database, columns) == [(2, 15.0, 500, 1, 3.0, 40.0)]
    assert samples(database, "exchange_lag_ms, exchange_lag_max_ms") == [(500.0, 900.0)]


def test_samples_of_a_stream_go_after_two_weeks(database: Database, heartbeat: Heartbeat) -> None:
    for stream in ("simulator-0", "simulator-1"):
        cases.run_sql(
            database,
            "INSERT INTO stream_samples SELECT now() - n * interval '13 days', %(stream)s,"
            " 'stopped', 0, 0, 1, 0, NULL, NULL, NULL, NULL, 0, 0 FROM generate_series(1, 2) AS n",
            stream=stream,
        )
    heartbeat.beat(REPORT, "")
    found = fetch(database, "SELECT stream, count(*) FROM stream_samples GROUP BY 1 ORDER BY 1")
    assert found == [("simulator-0", 2), ("simulator-1", 2)]


class Outcome:
    """What the next evaluation of a check finds."""

    def __init__(self) -> None:
        self.passed = True
        self.error: Exception | None = None

    def check(self) -> dg.AssetChecksDefinition:
        @checks.asset_check(asset=ticks.ticks.key)
        def all_is_well(database: MarketDatabase) -> dg.AssetCheckResult:
            if self.error:
                raise self.error
            return dg.AssetCheckResult(
                passed=self.passed,
                severity=dg.AssetCheckSeverity.WARN,
                metadata={"missing": 3, "names": ["A", "B"], "table": dg.MetadataValue.md("| a |")},
            )

        return all_is_well


def results(database: Database, columns: str) -> list[tuple[Any, ...]]:
    return fetch(database, f"SELECT {columns} FROM check_results ORDER BY asset, name")  # noqa: S608


def test_outcome_of_a_check_is_a_row(instance: dg.DagsterInstance, database: Database) -> None:
    outcome = Outcome()
    assert cases.evaluate_checks(instance, database, outcome.check()) == {"all_is_well": True}
    assert results(database, "asset, name, passed, severity, message, failing_since") == [
        ("ticks", "all_is_well", True, "WARN", "missing: 3; names: A, B", None)
    ]


def test_row_says_since_when_a_check_fails(
    instance: dg.DagsterInstance, database: Database
) -> None:
    outcome = Outcome()
    since = []
    for outcome.passed in (True, False, False, True):
        cases.evaluate_checks(instance, database, outcome.check())
        [(passed, failing_since)] = results(database, "passed, failing_since")
        assert passed is outcome.passed
        since.append(failing_since)
    assert since[0] is since[3] is None
    assert since[1] is not None
    assert since[1] == since[2]


def test_check_that_cannot_be_made_has_failed(
    instance: dg.DagsterInstance, database: Database
) -> None:
    outcome = Outcome()
    outcome.error = DatabaseError("no such table")
    with pytest.raises(DatabaseError):
        cases.evaluate_checks(instance, database, outcome.check())
    assert results(database, "passed, severity, message") == [
        (False, "ERROR", "could not be made: no such table")
    ]


def test_each_of_several_checks_is_a_row(instance: dg.DagsterInstance, database: Database) -> None:
    @checks.multi_asset_check(
        specs=[dg.AssetCheckSpec(name, asset=ticks.ticks.key) for name in ("first", "second")]
    )
    def both(database: MarketDatabase) -> Iterator[dg.AssetCheckResult]:
        yield dg.AssetCheckResult(check_name="first", passed=True)
        yield dg.AssetCheckResult(check_name="second", passed=False, description="It is late.")

    cases.evaluate_checks(instance, database, both)
    assert results(database, "name, passed, message") == [
        ("first", True, ""),
        ("second", False, "It is late."),
    ]


def test_what_is_found_is_dagsters_even_if_it_cannot_be_noted(
    instance: dg.DagsterInstance, database: Database
) -> None:
    cases.run_sql(database, "ALTER TABLE check_results RENAME TO check_results_gone")
    assert cases.evaluate_checks(instance, database, Outcome().check()) == {"all_is_well": True}


def test_limits_are_those_of_the_settings(database: Database) -> None:
    for days, gigabytes, stored in ((7, None, None), (9, 2.5, 2_500_000_000)):
        settings = Settings(
            tick_retention_days=days, database_max_gigabytes=gigabytes, _env_file=None
        )
        schema.prepare(database.url, settings)
        found = fetch(
            database, "SELECT tick_retention_days, database_max_bytes FROM operating_limits"
        )
        assert found == [(days, stored)]
