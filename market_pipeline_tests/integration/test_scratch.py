"""A replay's schema is apart from the pipeline's, and nothing else is ever dropped for it."""

from collections.abc import Iterator

import pytest

from market_pipeline.errors import ReplayRefused
from market_pipeline.replay.order import Order
from market_pipeline.storage import scratch
from market_pipeline.storage.database import Database, in_schema
from market_pipeline.storage.scratch import Contents, Scratch
from market_pipeline_tests.builders import TODAY, fetch
from market_pipeline_tests.stream_cases import prepare

CONTENTS = Order(TODAY).contents(has_gaps=True)


@pytest.fixture(scope="module")
def source(shared_database: Database) -> Database:
    prepare(shared_database)
    gap = "INSERT INTO gaps (stream, started_at, cause) VALUES ('simulator-0', '2026-11-20', '')"
    fetch(shared_database, gap)
    return shared_database


@pytest.fixture(scope="module")
def made(source: Database) -> Iterator[Scratch]:
    with scratch.making(source, TODAY, CONTENTS) as opened:
        yield opened
    scratch.drop(source, TODAY)


def test_names_mean_the_tables_of_the_replay_alone(source: Database, made: Scratch) -> None:
    names = """
        SELECT c.relname, c.relnamespace::regnamespace::text FROM pg_class AS c
        WHERE c.oid IN (to_regclass('ticks'), to_regclass('candles_1m'), to_regclass('gaps'))
    """
    assert {schema for _, schema in fetch(made.database, names)} == {made.schema}
    assert fetch(made.database, "SELECT current_schemas(false)::text[]") == [([made.schema],)]
    ours = "SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace"
    tables = f"{ours} AND relkind IN ('r', 'p', 'v') AND relname !~ '_(aggregate|kept)$'"
    assert set(fetch(source, tables)) <= set(fetch(made.database, tables))


def test_what_a_day_needs_is_copied_as_it_is(source: Database, made: Scratch) -> None:
    for query in (
        "SELECT * FROM instruments ORDER BY 1",
        "SELECT * FROM broker_instruments ORDER BY 1, 2",
        "SELECT * FROM subscriptions",
        "SELECT * FROM gaps",
    ):
        assert fetch(made.database, query) == fetch(source, query) != []


def test_a_connection_that_does_not_search_the_schema_alone_is_refused(made: Scratch) -> None:
    astray = Scratch(Database(in_schema(made.url, f"{made.schema},{made.source}")), *made_of(made))
    with pytest.raises(ReplayRefused, match="ignores search_path"):
        astray.require_apart()


def test_the_pipelines_own_schema_is_refused(source: Database, made: Scratch) -> None:
    same = Scratch(Database(in_schema(source.url, made.source)), made.source, made.source)
    with pytest.raises(ReplayRefused, match="searches"):
        same.require_apart()


def test_a_table_that_is_missing_is_not_looked_for_elsewhere(made: Scratch) -> None:
    fetch(made.database, "ALTER TABLE rejected RENAME TO moved")
    found = fetch(made.database, "SELECT to_regclass('rejected') IS NULL")
    fetch(made.database, "ALTER TABLE moved RENAME TO rejected")
    assert found == [(True,)]


def made_of(made: Scratch) -> tuple[str, str]:
    return made.schema, made.source


@pytest.mark.needs_real_server("two connections at once")
def test_a_schema_that_a_replay_uses_is_not_given_to_another(
    source: Database, made: Scratch
) -> None:
    with pytest.raises(ReplayRefused, match="is used by another replay"):
        with scratch.making(source, TODAY, CONTENTS):
            pass
    with pytest.raises(ReplayRefused, match="is used by another replay"):
        scratch.drop(source, TODAY)


def test_a_replay_of_a_replay_is_refused(made: Scratch) -> None:
    with pytest.raises(ReplayRefused, match="was made for a replay"):
        scratch.source_of(made.database)


def test_a_schema_that_is_something_else_is_not_dropped(source: Database) -> None:
    day = TODAY.replace(day=19)
    name = scratch.name_of(scratch.source_of(source), day)
    fetch(source, f"CREATE SCHEMA {name}")
    with pytest.raises(ReplayRefused, match="was not made for a replay of .*: rename it"):
        with scratch.making(source, day, Contents(CONTENTS.starts_at, CONTENTS.ends_at)):
            pass
    with pytest.raises(ReplayRefused, match="rename it"):
        scratch.drop(source, day)
    fetch(source, f"DROP SCHEMA {name}")


def test_what_was_kept_is_found_again(source: Database, made: Scratch) -> None:
    assert scratch.kept(source, TODAY).schema == made.schema
    with pytest.raises(ReplayRefused, match="no replay of 2026-11-18 was kept"):
        scratch.kept(source, TODAY.replace(day=18))


def test_dropping_what_is_not_there_says_so(source: Database) -> None:
    assert not scratch.drop(source, TODAY.replace(day=18))
