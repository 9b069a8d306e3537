"""The check of retention is red when ticks stay or are not compressed, and says why."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from market_pipeline.archive.day import write_day
from market_pipeline.archive.dropping import drop_day, drop_expired
from market_pipeline.archive.restoring import restore_day
from market_pipeline.archive.store import FolderStore
from market_pipeline.orchestration import instruments, retention, ticks, upkeep
from market_pipeline.sessions import trading_date
from market_pipeline.storage import timescaledb
from market_pipeline.storage.database import Database
from market_pipeline.storage.timescaledb import Policies
from market_pipeline_tests import dagster_cases as cases
from market_pipeline_tests import retention_cases
from market_pipeline_tests.builders import fetch
from market_pipeline_tests.dagster_cases import instance as instance
from market_pipeline_tests.dagster_cases import store as store


def today() -> date:
    return trading_date(datetime.now(UTC))


@pytest.fixture
def broker(tmp_path: Path) -> cases.Archiving:
    return cases.Archiving(home=str(tmp_path))


@pytest.fixture
def folder(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "archive")


def check(
    instance: dg.DagsterInstance, store: Database, broker: cases.Archiving
) -> dg.AssetCheckEvaluation:
    result = dg.materialize(
        [instruments.instruments, ticks.ticks, retention.tick_retention],
        selection=dg.AssetSelection.checks(retention.tick_retention),
        instance=instance,
        resources=cases.resources(store, broker),
    )
    (found,) = result.get_asset_check_evaluations()
    return found


def value(found: dg.AssetCheckEvaluation, name: str) -> Any:
    return found.metadata[name].value


def test_days_that_stay_too_long_are_found_with_the_reason(
    instance: dg.DagsterInstance, store: Database, broker: cases.Archiving
) -> None:
    assert check(instance, store, broker).passed
    cases.store_ticks(store, cases.DAY, minutes=1)
    found = check(instance, store, broker)
    assert not found.passed
    assert found.description == f"{cases.DAY}: they are not archived"


def test_a_flipped_byte_blocks_upkeep_and_turns_the_check_red_with_the_files_name(
    instance: dg.DagsterInstance, store: Database, broker: cases.Archiving, folder: FolderStore
) -> None:
    damaged = today() - timedelta(days=8)
    cases.store_ticks(store, damaged, minutes=1)
    write_day(store, folder, damaged)
    path = retention_cases.flip_a_byte(folder)
    ended = upkeep.partition_upkeep.execute_in_process(
        instance=instance, resources=cases.resources(store, broker), raise_on_error=False
    )
    assert not ended.success
    found = check(instance, store, broker)
    assert not found.passed
    assert found.description is not None
    assert found.description.startswith(f"{damaged}: its archive is damaged: {path}")
    days = {row["day"] for row in cases.rows(store, "SELECT DISTINCT time::date AS day FROM ticks")}
    assert days == {damaged}


def test_a_restored_day_is_told_and_is_no_fault(
    instance: dg.DagsterInstance, store: Database, broker: cases.Archiving, folder: FolderStore
) -> None:
    cases.store_ticks(store, cases.DAY, minutes=1)
    drop_expired(store, folder, today())
    restore_day(store, folder, cases.DAY, 3)
    found = check(instance, store, broker)
    assert found.passed
    assert list(value(found, "restored until")) == [str(cases.DAY)]


def test_room_is_told_in_days(
    instance: dg.DagsterInstance, store: Database, broker: cases.Archiving, folder: FolderStore
) -> None:
    day = today() - timedelta(days=1)
    cases.store_ticks(store, day, minutes=1)
    write_day(store, folder, day)
    found = check(instance, store, broker)
    assert value(found, "bytes a day") > 0
    assert value(found, "archived bytes a day") > 0


@pytest.mark.needs_timescale
def test_a_chunk_that_was_not_compressed_in_time_is_named(
    instance: dg.DagsterInstance, store: Database, broker: cases.Archiving
) -> None:
    day = today() - timedelta(days=5)
    cases.store_ticks(store, day, minutes=1)
    assert check(instance, store, broker).passed  # it has just been made
    cases.run_sql(
        store,
        "UPDATE _timescaledb_catalog.chunk SET creation_time = now() - interval '3 days'",
    )
    found = check(instance, store, broker)
    assert found.description == f"ticks of {day}: not compressed"


@pytest.mark.needs_timescale
def test_a_server_that_drops_blindly_is_a_problem(store: Database) -> None:
    cases.run_sql(
        store,
        "SELECT add_retention_policy('ticks', INTERVAL '7 days')",
        "SELECT add_retention_policy('candles_1m_aggregate', INTERVAL '9 days')",
    )
    found = timescaledb.problems(store, Policies(7, 1))
    blind = [each for each in found if "archived or not" in each]
    assert [each.split()[3] for each in blind] == ["candles_1m_aggregate", "ticks"]


@pytest.mark.needs_timescale
def test_policies_never_look_back_to_where_ticks_were_dropped(
    store: Database, folder: FolderStore
) -> None:
    day = today() - timedelta(days=3)
    cases.store_ticks(store, day, minutes=1)
    write_day(store, folder, day)
    with store.transaction() as connection:
        timescaledb.set_policies(connection, Policies(7, 1))
    drop_day(store, folder, day)  # which shortens what the server looks back
    assert timescaledb.problems(store, Policies(7, 1)) == []
    longer = "SELECT set_refresh_policy('candles_1m_aggregate', '6 days', '1 minute')"
    fetch(store, longer)
    (problem,) = timescaledb.problems(store, Policies(7, 1))
    assert "it would empty their candles" in problem
    with store.transaction() as connection:
        timescaledb.set_policies(connection, Policies(7, 1))
    assert timescaledb.problems(store, Policies(7, 1)) == []
