"""TimescaleDB does for ticks and candles what is done by hand on plain PostgreSQL, and no harm."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from market_pipeline.archive.dropping import drop_expired
from market_pipeline.archive.store import FolderStore
from market_pipeline.config import Settings
from market_pipeline.errors import DatabaseError
from market_pipeline.storage import candles, dialect, schema, timescaledb
from market_pipeline.storage.database import Database
from market_pipeline.storage.timescaledb import Policies
from market_pipeline_tests.builders import DAY, OPEN, Tick, fetch
from market_pipeline_tests.candle_feed import Feed
from market_pipeline_tests.plain_candles import MINUTE

pytestmark = pytest.mark.needs_timescale

AGGREGATES = [f"{definition.name}_aggregate" for definition in dialect.definitions()]
WANTED = Policies(keep_days=7, compress_after_days=1)


@pytest.fixture
def feed(database: Database) -> Iterator[Feed]:
    opened = Feed(database)
    yield opened
    opened.close()


def an_hour(first: int = 0) -> list[Tick]:
    return [Tick(at=first + at, volume=2) for at in range(0, 60 * MINUTE, 20)]


def count(database: Database, query: str = "SELECT count(*) FROM candles_1m") -> int:
    with psycopg.connect(database.url) as connection:
        row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return int(row[0])


def set_policies(database: Database, wanted: Policies = WANTED) -> None:
    with database.transaction() as connection:
        timescaledb.set_policies(connection, wanted)


def run_jobs(database: Database, procedure: str) -> None:
    """Do what the server's scheduler does by itself, which WebAssembly has none of."""
    jobs = fetch(
        database,
        "SELECT j.job_id FROM timescaledb_information.jobs AS j"
        " WHERE j.proc_name = %s ORDER BY j.job_id",
        procedure,
    )
    assert jobs
    with psycopg.connect(database.url, autocommit=True) as connection:
        for (job,) in jobs:
            connection.execute(f"CALL run_job({job})".encode())


def test_ticks_are_a_hypertable_of_chunks_of_a_day(database: Database) -> None:
    found = fetch(
        database,
        "SELECT time_interval FROM timescaledb_information.dimensions"
        " WHERE format('%I.%I', hypertable_schema, hypertable_name)::regclass = 'ticks'::regclass",
    )
    assert found == [(timedelta(days=1),)]


def test_candles_are_shown_before_anything_is_refreshed(database: Database, feed: Feed) -> None:
    feed.send(*an_hour())
    assert count(database) == 60
    assert count(database, "SELECT count(*) FROM candles_15m") == 4


def test_a_refresh_of_days_whose_ticks_were_dropped_leaves_their_candles(
    database: Database, feed: Feed, tmp_path: Path
) -> None:
    for day in (0, 1, 3):
        feed.send(*an_hour(day * DAY))
    candles.refresh(database)
    today = datetime.fromtimestamp(OPEN + 3 * DAY, UTC).date()
    archive = FolderStore(tmp_path)
    assert len(drop_expired(database, archive, today - timedelta(days=1)).dropped) == 2
    assert count(database, "SELECT count(*) FROM ticks") == 180
    for _ in range(2):
        candles.refresh(database)
        assert count(database) == 180
        assert count(database, "SELECT count(*) FROM candles_15m") == 12
        assert count(database, "SELECT count(*) FROM candles_1d") == 3


def may_drop_while_it_runs(database: Database, job: int, began_at: datetime) -> bool:
    """Tell whether days up to the day before yesterday may be dropped while a job runs."""
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute(
            "CREATE OR REPLACE FUNCTION candle_refresh_runs()"
            " RETURNS TABLE (job_id int, began_at timestamptz) LANGUAGE sql AS"
            f" $$ SELECT {job}, '{began_at}'::timestamptz $$".encode()
        )
        before = datetime.now(UTC) - timedelta(days=2)
        try:
            connection.execute("SELECT require_short_candle_refresh(%s)", [before])
        except psycopg.errors.LockNotAvailable:
            return False
    return True


def test_days_that_are_kept_shorter_than_before_leave_their_candles(
    database: Database, feed: Feed, tmp_path: Path
) -> None:
    today = int(datetime.now(UTC).timestamp()) // DAY * DAY + 6 * 3600 - OPEN
    for days in (5, 4, 1):
        feed.send(*an_hour(today - days * DAY))
    set_policies(database)
    candles.refresh(database)
    before = datetime.now(UTC).date() - timedelta(days=2)
    assert len(drop_expired(database, FolderStore(tmp_path), before).dropped) == 2
    run_jobs(database, "policy_refresh_continuous_aggregate")
    candles.refresh(database)
    assert count(database) == 180
    assert timescaledb.problems(database, WANTED) == []


def test_a_day_is_not_dropped_that_the_server_looks_back_to_for_candles(
    database: Database, feed: Feed
) -> None:
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    set_policies(database)
    with pytest.raises(psycopg.errors.RaiseException, match="looks back past it for candles"):
        fetch(database, "SELECT remove_tick_day(%s)", yesterday)
    with pytest.raises(psycopg.errors.RaiseException, match="stay until an hour later"):
        fetch(database, "SELECT shorten_candle_refresh(now())")


def test_a_day_is_not_dropped_while_a_refresh_runs_that_may_look_back_to_it(
    database: Database,
) -> None:
    set_policies(database, Policies(keep_days=1, compress_after_days=1))
    ((ours,),) = fetch(database, "SELECT job_id FROM candle_refresh_policies()")
    now, removed = datetime.now(UTC), ours + 100_000
    assert may_drop_while_it_runs(database, ours, now)
    assert not may_drop_while_it_runs(database, ours, now - timedelta(hours=30))
    assert not may_drop_while_it_runs(database, removed, now)


def test_the_policies_refresh_candles_up_to_now(database: Database, feed: Feed) -> None:
    recent = int(datetime.now(UTC).timestamp()) // 60 * 60 - OPEN - 3600
    feed.send(*an_hour(recent))
    set_policies(database)
    assert count(database, "SELECT count(*) FROM candles_1m_kept") == 0
    run_jobs(database, "policy_refresh_continuous_aggregate")
    assert count(database, "SELECT count(*) FROM candles_1m_kept") >= 59
    assert count(database, "SELECT count(*) FROM candles_15m_kept") >= 3


def test_old_ticks_are_compressed_and_their_candles_stay(database: Database, feed: Feed) -> None:
    day = int(datetime.now(UTC).timestamp()) // DAY * DAY - 3 * DAY + 6 * 3600 - OPEN
    feed.send(*an_hour(day))
    candles.refresh(database)
    set_policies(database)
    run_jobs(database, "policy_compression")
    stats = database.query("storage_status_timescaledb").row(0, named=True)
    assert stats["compressed_to_bytes"]
    assert count(database) == 60
    feed.send(Tick(at=day + 5, price=500.0))  # late, into what is compressed
    candles.refresh(database)
    assert count(database, "SELECT max(high)::bigint FROM candles_1m") == 500


def test_policies_are_set_once_and_changed_when_settings_change(database: Database) -> None:
    jobs = "SELECT max(job_id) FROM timescaledb_information.jobs"
    set_policies(database)
    first = count(database, jobs)
    set_policies(database)
    assert count(database, jobs) == first
    set_policies(database, Policies(keep_days=5, compress_after_days=2))
    assert count(database, jobs) > first
    assert timescaledb.problems(database, Policies(keep_days=5, compress_after_days=2)) == []


def test_the_policies_of_another_schema_are_not_taken_for_one_s_own(
    database: Database, new_database: Callable[..., str], template: str
) -> None:
    other, five = Database(new_database(template)), Policies(keep_days=5, compress_after_days=1)
    set_policies(other, five)
    set_policies(database)
    assert timescaledb.problems(database, WANTED) == []
    set_policies(database, five)
    set_policies(other)
    assert timescaledb.problems(database, five) == []
    assert timescaledb.problems(other, WANTED) == []


def test_sound_policies_are_no_problem(database: Database) -> None:
    set_policies(database)
    assert timescaledb.problems(database, WANTED) == []


def test_a_refresh_that_reaches_past_retention_is_a_problem(database: Database) -> None:
    set_policies(database)
    (problem, *_) = timescaledb.problems(database, Policies(keep_days=3, compress_after_days=1))
    assert "looks back 6.95833 days, but ticks are kept 3 days" in problem


def test_missing_policies_are_problems(database: Database) -> None:
    found = timescaledb.problems(database, WANTED)
    assert [each.split()[0] for each in found] == [*AGGREGATES, "ticks"]


def test_an_edited_definition_is_refused_and_says_why(database: Database) -> None:
    fetch(
        database,
        "UPDATE candle_definitions SET sha256 = 'another' WHERE name = 'candles_5m_aggregate'",
    )
    with pytest.raises(DatabaseError, match="candles_5m in sql/candles was edited"):
        schema.prepare(database.url)


def test_preparing_with_settings_sets_the_policies(database: Database) -> None:
    settings = Settings(tick_retention_days=4, compress_after_days=2, _env_file=None)
    schema.prepare(database.url, settings)
    assert timescaledb.problems(database, Policies.of(settings)) == []


@pytest.mark.needs_real_server("a database that does not have the extension yet")
@pytest.mark.parametrize("comes_late", [False, True])
def test_a_plain_database_is_converted_with_all_its_candles(
    comes_late: bool, new_database: Callable[..., str], tmp_path: Path
) -> None:
    database = Database(new_database())
    schema.prepare(database.url, is_plain=True)
    feed = Feed(database)
    for day in (0, 1, 2):
        feed.send(*an_hour(day * DAY))
    candles.refresh(database)
    archive = FolderStore(tmp_path / "archive")
    drop_expired(database, archive, datetime.fromtimestamp(OPEN + DAY, UTC).date())
    if comes_late:  # to a day that was dropped
        feed.send(Tick(at=7, price=1))
    feed.close()
    query = "SELECT * FROM candles_1m ORDER BY instrument_id, time"
    ticks = "SELECT * FROM ticks ORDER BY instrument_id, seq"
    before, stored = fetch(database, query), fetch(database, ticks)
    assert "timescaledb" in schema.prepare(database.url)
    assert fetch(database, query) == before
    candles.refresh(database)
    assert fetch(database, query) == before
    assert count(database, "SELECT count(*) FROM candles_1d") == 3
    assert fetch(database, ticks) == stored
