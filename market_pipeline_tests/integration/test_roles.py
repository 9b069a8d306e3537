"""What each role of the database may not do, tried on everything that there is."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from pydantic import SecretStr

from market_pipeline.storage import roles, schema
from market_pipeline.storage.database import Database
from market_pipeline_tests.builders import eventually, fetch
from market_pipeline_tests.role_cases import (
    REFUSED,
    WRITER_LOGS_IN,
    acting_as,
    calls,
    is_refused,
    permitted_writes,
    refused,
    relations,
)
from market_pipeline_tests.role_cases import pipeline as pipeline

API_CHANGES = {
    ("INSERT", "tick_listeners"),
    ("UPDATE", "tick_listeners"),
    ("DELETE", "tick_listeners"),
    ("INSERT", "subscriptions"),
    ("UPDATE", "subscriptions"),
    ("UPDATE", "subscription_version"),
    ("UPDATE", "desired_state"),
}
ALL = ["market_writer", "market_reader", "market_api", "market_grafana"]


def tables(database: Database) -> list[str]:
    return [name for name, kind in relations(database) if kind in "rp"]


def reading(names: Iterable[str]) -> list[str]:
    return [f"TABLE {name} LIMIT 0" for name in names]


def test_nothing_is_missing_or_too_much_after_db_init(pipeline: Database) -> None:
    assert roles.problems(pipeline) == []


@pytest.mark.parametrize("role", ["market_writer", "market_reader", "market_api"])
def test_everything_can_be_read(pipeline: Database, role: str) -> None:
    pipeline.execute("ensure_tick_day", day=date(2026, 11, 20))
    each = acting_as(pipeline, role)
    names = [name for name, _ in relations(pipeline)]
    assert len(names) > 30
    assert refused(each, reading(names)) == []


def test_grafana_reads_nothing_but_dashboards(pipeline: Database) -> None:
    pipeline.execute("ensure_tick_day", day=date(2026, 11, 20))
    grafana = acting_as(pipeline, "market_grafana")
    names = [name for name, _ in relations(pipeline)]
    secret = reading(name for name in names if not name.startswith("dashboard_"))
    assert refused(grafana, reading(names)) == secret


def test_grafana_calls_nothing_but_dashboards(pipeline: Database) -> None:
    grafana = acting_as(pipeline, "market_grafana")
    found = calls(pipeline)
    assert len(found) > 10
    assert refused(grafana, found) == found


@pytest.mark.parametrize(
    ("role", "changes"),
    [("market_grafana", set()), ("market_reader", set()), ("market_api", API_CHANGES)],
)
def test_nothing_else_can_be_changed(
    pipeline: Database, role: str, changes: set[tuple[str, str]]
) -> None:
    assert permitted_writes(acting_as(pipeline, role), tables(pipeline)) == changes


def test_the_writer_changes_all_but_what_the_schema_is(pipeline: Database) -> None:
    found = permitted_writes(acting_as(pipeline, "market_writer"), tables(pipeline))
    protected = {"schema_migrations", "candle_definitions"}
    expected = [name for name in tables(pipeline) if name not in protected]
    assert found == {(kind, name) for kind in ("INSERT", "UPDATE", "DELETE") for name in expected}


@pytest.mark.parametrize("role", ALL)
@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE mine (x int)",
        "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "DROP TABLE ticks",
        "ALTER TABLE gaps ADD COLUMN x int",
        "SELECT grant_access()",
        "SELECT set_role_login('market_grafana', 'x')",
        "ALTER ROLE market_grafana CREATEDB",
    ],
)
def test_no_role_changes_what_there_is(pipeline: Database, role: str, statement: str) -> None:
    assert is_refused(acting_as(pipeline, role), statement)


@pytest.mark.needs_plain_server("its database is a template, of which rights cannot be taken")
@pytest.mark.parametrize("role", ["market_reader", "market_api", "market_grafana"])
def test_only_the_writer_makes_temporary_tables(pipeline: Database, role: str) -> None:
    assert is_refused(acting_as(pipeline, role), "CREATE TEMPORARY TABLE mine (x int)")
    writer = acting_as(pipeline, "market_writer")
    assert not is_refused(writer, "CREATE TEMPORARY TABLE mine (x int)")


def test_a_day_of_ticks_made_later_has_the_rights_of_the_others(database: Database) -> None:
    schema.prepare(database.url, WRITER_LOGS_IN)
    acting_as(database, "market_writer").execute("ensure_tick_day", day=date(2026, 11, 23))
    assert roles.problems(database) == []


def test_what_is_made_later_has_its_rights_after_the_next_start(database: Database) -> None:
    fetch(database, "CREATE VIEW dashboard_gaps AS SELECT stream FROM gaps")
    fetch(
        database,
        "CREATE FUNCTION dashboard_count() RETURNS bigint LANGUAGE sql STABLE"
        " AS 'SELECT count(*) FROM gaps'",
    )
    fetch(database, "CREATE FUNCTION secret() RETURNS int LANGUAGE sql AS 'SELECT 1'")
    schema.prepare(database.url)
    grafana = acting_as(database, "market_grafana")
    assert fetch(grafana, "SELECT * FROM dashboard_gaps") == []
    assert fetch(grafana, "SELECT dashboard_count()") == [(0,)]
    with pytest.raises(REFUSED):
        fetch(grafana, "SELECT secret()")


def test_functions_with_the_owner_s_rights_look_into_no_other_schema(pipeline: Database) -> None:
    found = fetch(
        pipeline,
        "SELECT proname, proconfig[1] FROM pg_proc WHERE prosecdef AND pronamespace ="
        " (SELECT relnamespace FROM pg_class WHERE oid = 'schema_migrations'::regclass)",
    )
    assert {"ensure_tick_day", "drop_archived_day", "analyze_instruments"} <= {
        name for name, _ in found
    }
    assert [name for name, path in found if not str(path).endswith(", pg_temp")] == []


def test_rights_that_were_taken_or_given_by_hand_are_told_and_put_right(database: Database) -> None:
    schema.prepare(database.url)
    fetch(database, "REVOKE SELECT ON ticks FROM market_reader")
    fetch(database, "GRANT DELETE ON gaps TO market_grafana")
    problems = roles.problems(database)
    assert [each.split(" on ")[0] for each in problems] == [
        "market_grafana has DELETE",
        "market_reader lacks SELECT",
    ]
    assert all("db init" in each for each in problems)
    schema.prepare(database.url)
    assert roles.problems(database) == []


@pytest.mark.needs_real_server("logging in")
def test_a_role_logs_in_with_its_password_alone(new_database: Callable[..., str]) -> None:
    database = Database(new_database())
    schema.prepare(database.url, WRITER_LOGS_IN)
    login = make_conninfo(database.url, user="market_writer", password="sesame")
    with psycopg.connect(login) as connection:
        assert connection.info.user == "market_writer"
    with pytest.raises(psycopg.OperationalError, match="market_writer"):
        psycopg.connect(make_conninfo(login, password="simsim"))
    assert roles.states(database)["market_writer"] == "can log in"


def test_what_the_server_gets_of_a_password_is_a_verifier(database: Database) -> None:
    schema.prepare(database.url, WRITER_LOGS_IN)
    query = "SELECT rolpassword FROM pg_authid WHERE rolname = 'market_writer'"
    assert fetch(database, query)[0][0].startswith("SCRAM-SHA-256$")


@pytest.mark.needs_real_server("two transactions at once")
def test_who_sets_a_login_up_in_two_databases_at_once_succeeds_in_both(
    database: Database, new_database: Callable[..., str], template: str
) -> None:
    role, other = "market_test_two", Database(new_database(template))
    chosen = {role: SecretStr("sesame")}
    fetch(database, f"CREATE ROLE {role}")

    def set_up() -> None:
        with other.transaction() as connection:
            roles.set_logins(connection, chosen)

    def is_waiting() -> bool:
        return fetch(database, "SELECT count(*) FROM pg_locks WHERE NOT granted") == [(1,)]

    try:
        with ThreadPoolExecutor(1) as pool:
            with database.transaction() as connection:
                roles.set_logins(connection, chosen)
                second = pool.submit(set_up)
                eventually(is_waiting, "the second set-up does not wait for the first")
            second.result(30)
    finally:
        fetch(database, f"DROP ROLE {role}")
