"""What the programs do works with the rights of their roles, though none owns the tables."""

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from market_pipeline import services
from market_pipeline.archive.dropping import drop_expired
from market_pipeline.archive.restoring import restore_day
from market_pipeline.archive.store import FolderStore
from market_pipeline.errors import OwnerNeeded
from market_pipeline.market import Mode
from market_pipeline.storage import candles, instruments, schema, timescaledb
from market_pipeline.storage.database import Database
from market_pipeline.storage.sql_files import sql_folder
from market_pipeline.storage.timescaledb import Policies
from market_pipeline_tests import rebuilds
from market_pipeline_tests.api_cases import serving, settings_of
from market_pipeline_tests.builders import DAY, OPEN, Tick, fetch
from market_pipeline_tests.candle_feed import Feed
from market_pipeline_tests.history_days import NAMES, simulated_day
from market_pipeline_tests.journals import Line
from market_pipeline_tests.role_cases import WRITER_LOGS_IN, acting_as
from market_pipeline_tests.role_cases import pipeline as pipeline


@pytest.fixture
def writer(pipeline: Database) -> Database:
    return acting_as(pipeline, "market_writer")


@pytest.fixture(scope="module")
def api(pipeline: Database) -> Iterator[Database]:
    yield acting_as(pipeline, "market_api")


def test_the_writer_stores_ticks_refreshes_candles_archives_and_drops_and_restores_days(
    writer: Database, tmp_path: Path
) -> None:
    feed = Feed(writer)
    for day in (0, 1, 3):
        feed.send(*[Tick(at=day * DAY + at) for at in range(0, 600, 20)])
    feed.close()
    assert candles.refresh(writer)
    archive = FolderStore(tmp_path / "archive")
    today = datetime.fromtimestamp(OPEN + 3 * DAY, UTC).date()
    found = drop_expired(writer, archive, today - timedelta(days=1))
    assert (len(found.dropped), found.kept) == (2, {})
    candles.refresh(writer)
    counted = "SELECT count(*) FROM candles_1m WHERE instrument_id = 1"
    assert fetch(writer, counted) == [(30,)]
    restore_day(writer, archive, found.dropped[0], keep_days=1)
    assert fetch(writer, "SELECT count(*) FROM ticks WHERE instrument_id = 1") == [(60,)]


def test_the_writer_builds_ticks_anew_from_a_journal(database: Database, tmp_path: Path) -> None:
    schema.prepare(database.url, WRITER_LOGS_IN)
    line = Line(acting_as(database, "market_writer"), tmp_path / "journal")
    rebuilds.receive(line)
    rebuilds.store(line, rebuilds.doubling)
    rebuilds.rebuilt(line)
    line.close()
    assert fetch(database, "SELECT max(last_price) FROM ticks") == [(106.0,)]


def test_the_writer_syncs_backfills_reconciles_and_fills_gaps(
    database: Database, tmp_path: Path
) -> None:
    schema.prepare(database.url, WRITER_LOGS_IN)
    with simulated_day(acting_as(database, "market_writer"), tmp_path) as day:
        day.store_ticks(without={NAMES[0]: range(10, 20)})
        day.gap(day.minute(10), day.minute(20), NAMES[0])
        day.repair()
        assert day.fetch().candles
        day.reconcile()
        assert day.is_true(NAMES[0])
    (counted,) = fetch(
        database, "SELECT reltuples FROM pg_class WHERE oid = 'instruments'::regclass"
    )
    assert counted[0] > 0, "the planner was not told how many instruments there are"


@pytest.mark.needs_timescale
def test_the_server_refreshes_what_the_writer_owns_as_settings_say(database: Database) -> None:
    schema.prepare(database.url, WRITER_LOGS_IN)
    changed = WRITER_LOGS_IN.model_copy(update={"tick_retention_days": 5})
    schema.prepare(database.url, changed)
    assert timescaledb.problems(database, Policies.of(changed)) == []
    jobs = fetch(
        database,
        "SELECT job_id FROM timescaledb_information.jobs"
        " WHERE proc_name = 'policy_refresh_continuous_aggregate' ORDER BY job_id DESC LIMIT 4",
    )
    with acting_as(database, "market_writer").session() as connection:
        for (job,) in jobs:
            connection.execute(f"CALL run_job({job})".encode())


@pytest.mark.needs_timescale
def test_the_writer_keeps_the_server_from_emptying_candles_of_days_that_it_drops(
    database: Database,
) -> None:
    schema.prepare(database.url, WRITER_LOGS_IN)
    before = datetime.now(UTC) - timedelta(days=2)
    writer = acting_as(database, "market_writer")
    writer.execute("shorten_candle_refresh", dropped_before=before)
    is_short = "SELECT now() - looks_back >= %s FROM candle_refresh_policies()"
    assert fetch(database, is_short, before) == [(True,)]


def test_the_writer_finds_the_database_up_to_date(writer: Database) -> None:
    assert schema.prepare(writer.url, WRITER_LOGS_IN) == []


def test_the_writer_is_told_who_must_apply_what_is_pending(
    writer: Database, tmp_path: Path
) -> None:
    folder = tmp_path / "migrations"
    shutil.copytree(sql_folder() / "migrations", folder)
    number = len(list(folder.glob("*.sql"))) + 1
    (folder / f"{number:04}_more.sql").write_text("CREATE TABLE more (x int)")
    with pytest.raises(OwnerNeeded, match=rf"{number:04}_more.sql: run `market-pipeline db init`"):
        schema.prepare(writer.url, folder=folder)


def test_the_writer_is_told_of_a_function_that_is_not_of_this_version(database: Database) -> None:
    schema.prepare(database.url, WRITER_LOGS_IN)
    fetch(database, "UPDATE candle_definitions SET sha256 = 'older' WHERE name = 'candle_minutes'")
    with pytest.raises(OwnerNeeded, match=r"definitions of candle_minutes .* db init` as \w+"):
        schema.prepare(acting_as(database, "market_writer").url)


def test_the_writer_owns_the_schema_of_dagster(writer: Database) -> None:
    writer.execute("create_dagster_schema")
    fetch(writer, "CREATE TABLE dagster.mine (x int)")
    fetch(writer, "DROP TABLE dagster.mine")


@pytest.mark.needs_real_server("Dagster's driver asks for a connection of its own")
def test_dagster_s_address_works_for_the_writer(writer: Database, tmp_path: Path) -> None:
    settings = settings_of(writer, tmp_path)
    engine = create_engine(services.dagster_url(settings, None))
    with engine.connect() as connection:
        assert connection.execute(text("SELECT current_schema(), current_user")).one() == (
            "dagster",
            "market_writer",
        )
    engine.dispose()


def test_the_api_changes_what_is_to_be_streamed(pipeline: Database, api: Database) -> None:
    fetch(
        pipeline,
        "INSERT INTO instruments (exchange, segment, exchange_token, symbol, name, kind)"
        " VALUES ('NSE', 'CM', '7', 'OURS', 'OURS', 'EQ')",
    )
    fetch(
        pipeline,
        "INSERT INTO broker_instruments (broker, token, broker_symbol, instrument_id)"
        " SELECT 'simulator', 1793, 'OURS', instrument_id FROM instruments WHERE symbol = 'OURS'",
    )
    instruments.subscribe(api, "simulator", ["NSE:OURS"], Mode.FULL)
    instruments.unsubscribe(api, "simulator", ["NSE:OURS"])
    api.execute("set_desired_state", is_streaming=False)
    api.execute("set_desired_state", is_streaming=True)
    api.execute("keep_tick_listener", listener="test")
    api.execute("listen_to_ticks")
    subscribed = "SELECT is_active FROM subscriptions JOIN instruments USING (instrument_id)"
    assert fetch(api, subscribed + " WHERE symbol = 'OURS'") == [(False,)]


@pytest.mark.needs_real_server("the API keeps several connections")
def test_the_api_serves_with_its_role(pipeline: Database, api: Database, tmp_path: Path) -> None:
    with simulated_day(pipeline, tmp_path) as day:
        day.store_ticks()
        settings = settings_of(api, tmp_path, simulator_url=day.exchange.url)
        with serving(settings) as client:
            asked = {"instrument": NAMES[0], "interval": "7m", "from": "2026-11-20"}
            for path, query in [
                ("/api/historical/candles", {**asked, "to": "2026-11-20"}),
                ("/api/watchlist", {}),
                ("/api/instruments/search", {"q": "infy"}),
                (f"/api/instruments/{NAMES[0]}", {}),
                ("/api/ws/status", {}),
                ("/metrics", {}),
            ]:
                assert client.get(path, params=query).status_code == 200, path
            for path in ("stop", "start"):
                assert client.post(f"/api/ws/{path}").status_code == 200
            body = {"names": [NAMES[0]]}
            assert client.post("/api/instruments/unsubscribe", json=body).status_code == 200
            assert client.post("/api/instruments/subscribe", json=body).status_code == 200
