"""What the tests of Dagster's side share: a database with subscriptions, resources, ticks."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest

from market_pipeline.config import Settings
from market_pipeline.definitions import defs
from market_pipeline.orchestration import instruments, ticks
from market_pipeline.orchestration.resources import MarketBroker, MarketDatabase
from market_pipeline.sessions import Calendar, bounds
from market_pipeline.storage.database import Database

DAY = date(2026, 1, 23)


class Simulator(MarketBroker):
    """The broker of an empty environment."""

    @property
    def settings(self) -> Settings:
        return Settings(_env_file=None)


class Archiving(Simulator):
    """One with a home of its own, and the archive in it."""

    home: str

    @property
    def settings(self) -> Settings:
        return Settings(_env_file=None, market_pipeline_home=Path(self.home))


class ClosedExchange(Simulator):
    """An exchange that never opens."""

    @property
    def settings(self) -> Settings:
        return _ClosedSettings(_env_file=None)


class _Closed(Calendar):
    def is_open(self, exchange: str, instant: datetime, margin: timedelta = timedelta(0)) -> bool:
        return False


class _ClosedSettings(Settings):
    @property
    def calendar(self) -> Calendar:
        return _Closed()


def run_sql(store: Database, *statements: str, **values: Any) -> None:
    with psycopg.connect(store.url) as connection:
        for statement in statements:
            connection.execute(statement.encode(), values or None)


def rows(store: Database, statement: str, **values: Any) -> list[dict[str, Any]]:
    with psycopg.connect(store.url, row_factory=psycopg.rows.dict_row) as connection:
        return connection.execute(statement.encode(), values or None).fetchall()


def resources(store: Database, broker: MarketBroker | None = None) -> dict[str, Any]:
    return {"database": MarketDatabase(url=store.url), "broker": broker or Simulator()}


@pytest.fixture
def store(database: Database) -> Database:
    """A database with two subscribed instruments."""
    run_sql(
        database,
        "INSERT INTO instruments (exchange, segment, exchange_token, symbol, name, kind)"
        " SELECT 'NSE', 'CM', n::text, 'SYMBOL' || n, 'Name', 'EQ' FROM generate_series(1, 2) AS n",
        "INSERT INTO broker_instruments (broker, token, broker_symbol, instrument_id)"
        " SELECT 'simulator', instrument_id, symbol, instrument_id FROM instruments",
        "INSERT INTO subscriptions (instrument_id) SELECT instrument_id FROM instruments",
    )
    return database


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def store_ticks(store: Database, day: date, minutes: int = 30) -> None:
    """Two ticks a second of each instrument from 10:00 in India, committed up to the last."""
    start = bounds(day)[0] + timedelta(hours=10)
    store.execute("ensure_tick_day", day=day)
    run_sql(
        store,
        "INSERT INTO ticks (time, instrument_id, seq, last_price, volume, high, low, received_at,"
        " is_trade) SELECT at, instrument_id, n, 100 + n / 9, 5, 100 + n / 9, 100 + n / 9, at, true"
        " FROM subscriptions, generate_series(0, %(count)s - 1) AS n,"
        " LATERAL (SELECT %(start)s::timestamptz + n * interval '500 ms' AS at) AS _",
        "INSERT INTO journal_positions (stream, run_id, position, arrivals, is_stopped,"
        " checkpoint_position, checkpoint_arrivals, checkpoint_connection, last_event_at,"
        " last_received_at) SELECT 'simulator-0', '', 0, 0, false, 0, 0, -1, max(time), now()"
        " FROM ticks ON CONFLICT (stream) DO UPDATE SET last_event_at = excluded.last_event_at",
        start=start,
        count=minutes * 120,
    )


def look_at_candles(
    instance: dg.DagsterInstance,
    store: Database,
    day: date = DAY,
    broker: MarketBroker | None = None,
) -> dg.ExecuteInProcessResult:
    job = defs.resolve_job_def("candles")
    return job.execute_in_process(
        partition_key=day.isoformat(), instance=instance, resources=resources(store, broker)
    )


def failed_checks(result: dg.ExecuteInProcessResult) -> set[str]:
    return {
        f"{each.asset_key.to_user_string()}: {each.check_name}"
        for each in result.get_asset_check_evaluations()
        if not each.passed
    }


def evaluate_checks(
    instance: dg.DagsterInstance,
    store: Database,
    check: dg.AssetChecksDefinition,
    broker: MarketBroker | None = None,
) -> dict[str, bool]:
    result = dg.materialize(
        [instruments.instruments, ticks.ticks, check],
        selection=dg.AssetSelection.checks(check),
        instance=instance,
        resources=resources(store, broker),
    )
    return {each.check_name: each.passed for each in result.get_asset_check_evaluations()}
