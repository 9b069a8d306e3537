"""For tests of the database's roles: acting as one, and trying what it must not be able to do."""

from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import psycopg
import pytest
from pydantic import SecretStr

from market_pipeline.config import Settings
from market_pipeline.storage import schema
from market_pipeline.storage.database import Database
from market_pipeline_tests.builders import fetch

WRITER_LOGS_IN = Settings(
    _env_file=None, simulator_always_open=True, market_writer_password=SecretStr("sesame")
)
REFUSED = psycopg.errors.InsufficientPrivilege
_CALLS = """
SELECT format('SELECT * FROM %s(%s)', p.oid::regproc, (
    SELECT string_agg('NULL::' || format_type(type, NULL), ', ') FROM unnest(p.proargtypes) AS type
))
FROM pg_proc AS p
WHERE p.pronamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'schema_migrations'::regclass)
AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.objid = p.oid AND d.deptype = 'e')
AND p.prorettype <> 'trigger'::regtype
AND p.proname NOT LIKE 'dashboard%'
"""
_RELATIONS = """
SELECT c.relname, c.relkind::text FROM pg_class AS c
WHERE c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'schema_migrations'::regclass)
AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.objid = c.oid AND d.deptype = 'e')
AND c.relkind IN ('r', 'p', 'v', 'm', 'S') ORDER BY c.relname
"""
_COLUMNS = """
SELECT c.relname, min(a.attname) FROM pg_class AS c
JOIN pg_attribute AS a
ON a.attrelid = c.oid AND attnum > 0 AND NOT attisdropped AND attidentity = '' AND attgenerated = ''
WHERE c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'schema_migrations'::regclass)
GROUP BY c.oid
"""


@pytest.fixture(scope="module")
def pipeline(shared_database: Database) -> Iterator[Database]:
    """The owner's database, once `db init` has let the writer log in."""
    schema.prepare(shared_database.url, WRITER_LOGS_IN)
    yield shared_database


def acting_as(database: Database, role: str) -> Database:
    """Return the database as a role sees it, which need not be able to log in."""
    parts = urlsplit(database.url)
    query = dict(parse_qsl(parts.query))
    query["options"] = f"-crole={role} {query.get('options', '')}".strip()
    return Database(parts._replace(query=urlencode(query, quote_via=quote)).geturl())


def relations(database: Database) -> list[tuple[str, str]]:
    """Return the name and pg_class.relkind of all that is ours and has rows."""
    return [(str(name), str(kind)) for name, kind in fetch(database, _RELATIONS)]


def calls(database: Database) -> list[str]:
    """Return statements that call each function of ours but dashboards', with NULLs."""
    return [str(statement) for (statement,) in fetch(database, _CALLS)]


def is_refused(role: Database, statement: str) -> bool:
    return bool(refused(role, [statement]))


def refused(role: Database, statements: Iterable[str]) -> list[str]:
    """Try statements, undo them, and return those that the role may not do."""
    with psycopg.connect(role.url) as connection:
        return [each for each in statements if _is_refused(connection, each)]


def _is_refused(connection: psycopg.Connection[Any], statement: str) -> bool:
    try:
        with connection.transaction(force_rollback=True):
            connection.execute(statement.encode())
    except REFUSED:
        return True
    except psycopg.Error:  # it may, but it makes no sense
        return False
    return False


def permitted_writes(role: Database, tables: list[str]) -> set[tuple[str, str]]:
    """Return the kinds of change that a role may make, with the tables."""
    tried = {
        "INSERT": "INSERT INTO {0} ({1}) VALUES (DEFAULT)",
        "UPDATE": "UPDATE {0} SET {1} = DEFAULT WHERE false",
        "DELETE": "DELETE FROM {0} WHERE false",
        "TRUNCATE": "TRUNCATE {0} CASCADE",
    }
    columns = {str(table): str(column) for table, column in fetch(role, _COLUMNS)}
    changes = {
        statement.format(name, columns[name]): (kind, name)
        for name in tables
        for kind, statement in tried.items()
    }
    impossible = set(refused(role, changes))
    return {change for statement, change in changes.items() if statement not in impossible}
