"""Connections and named queries. Every query is a file in sql/queries; none is written here.

Rows for people and programs come back as Polars frames over ADBC (Arrow, no Python objects in
between); statements that change something go through psycopg, in a transaction.
"""

import functools
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import adbc_driver_manager
import adbc_driver_postgresql
import polars as pl
import psycopg
from adbc_driver_postgresql import dbapi

from market_pipeline.errors import DatabaseError, DatabaseUnavailable, RowsRefused
from market_pipeline.storage.sql_files import sql_folder

Connection = psycopg.Connection[tuple[Any, ...]]

_CONNECT_TIMEOUT_SECONDS = 5
# A server that vanished without a word, as behind a broken network, is given up within 15 seconds;
# one that is only slow is waited for.
GIVE_UP: dict[str, Any] = {
    "keepalives_idle": 5,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,  # milliseconds
}
_PARAMETER = re.compile(r"(?<!:):([a-z][a-z0-9_]*)")


_OUTAGES = (
    psycopg.OperationalError,  # also a full disk, a lock time-out, a server that shuts down
    psycopg.InterfaceError,  # the connection is closed
    psycopg.errors.ReadOnlySqlTransaction,  # a stand-by server, or a disk watch-dog's doing
    adbc_driver_manager.OperationalError,
)


class Query(NamedTuple):
    """A statement with numbered placeholders, and the names of its parameters in that order."""

    text: str
    parameters: tuple[str, ...]

    def arguments(self, named: dict[str, Any]) -> list[Any]:
        if set(named) != set(self.parameters):
            raise TypeError(f"query takes {self.parameters}, was given {tuple(named)}")
        return [named[name] for name in self.parameters]


@functools.cache
def load_query(name: str) -> Query:
    """Read sql/queries/<name>.sql; `:parameter` in it stands for a value."""
    text = (sql_folder() / "queries" / f"{name}.sql").read_text("utf-8")
    code = re.sub(r"^\s*--.*\n", "", text, flags=re.MULTILINE)
    parameters = tuple(dict.fromkeys(_PARAMETER.findall(code)))
    numbered = _PARAMETER.sub(lambda match: f"${parameters.index(match[1]) + 1}", code)
    return Query(numbered, parameters)


@contextmanager
def translated_errors(url: str) -> Iterator[None]:
    """Turn the drivers' errors into ours; what an outage can cause is transient.

    Raises:
        DatabaseUnavailable: no connection, or the server cannot serve now (disk, read-only, ...).
        RowsRefused: the fault is in the rows.
        DatabaseError: anything else the database refuses.
    """
    try:
        yield
    except _OUTAGES as error:
        raise DatabaseUnavailable(f"{_address(url)}: {_first_line(error)}") from error
    except (psycopg.DataError, psycopg.IntegrityError) as error:
        raise RowsRefused(f"{_address(url)}: {_first_line(error)}") from error
    except (psycopg.Error, adbc_driver_manager.Error) as error:
        raise DatabaseError(f"{_address(url)}: {_first_line(error)}") from error


def connect(url: str) -> Connection:
    """Open a psycopg connection.

    Raises:
        DatabaseUnavailable: the server does not answer within five seconds.
    """
    with translated_errors(url):
        return psycopg.connect(
            url,
            connect_timeout=_CONNECT_TIMEOUT_SECONDS,
            **GIVE_UP,
            cursor_factory=psycopg.RawCursor,
            application_name="market_pipeline",
        )


class _Known:
    """Stands for a database that is not to be closed with a connection to it."""

    def close(self) -> None:
        pass


@functools.lru_cache(maxsize=32)
def _known(url: str) -> adbc_driver_manager.AdbcDatabase:
    # It asks for all types there are, which takes some 75 ms, and holds no connection.
    known: adbc_driver_manager.AdbcDatabase = adbc_driver_postgresql.connect(url)
    return known


def connect_arrow(url: str) -> dbapi.Connection:
    """Open an ADBC connection, whose rows are Arrow's.

    Raises:
        adbc_driver_manager.Error: see translated_errors.
    """
    return dbapi.Connection(_Known(), adbc_driver_manager.AdbcConnection(_known(url)))


def run(connection: Connection, name: str, /, **values: Any) -> psycopg.Cursor[tuple[Any, ...]]:
    """Run a named query on an open connection; the caller commits."""
    query = load_query(name)
    return connection.execute(query.text, query.arguments(values) or None)


class Database:
    """One market database; opens a connection for each call, so it is safe to share and to fork."""

    def __init__(self, url: str) -> None:
        self.url = url

    def __repr__(self) -> str:
        return f"Database({_address(self.url)})"

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Open a connection, commit at the end, roll back on any error.

        Raises:
            DatabaseError: see translated_errors.
        """
        with translated_errors(self.url), connect(self.url) as connection:
            yield connection

    @contextmanager
    def session(self) -> Iterator[Connection]:
        """Open a connection on which each statement commits by itself; see Connection.transaction.

        Raises:
            DatabaseError: see translated_errors.
        """
        with translated_errors(self.url), closing(connect(self.url)) as connection:
            connection.autocommit = True
            yield connection

    def query(self, name: str, /, **values: Any) -> pl.DataFrame:
        """Return the rows of a named query.

        Raises:
            DatabaseError: see translated_errors.
        """
        query = load_query(name)
        with translated_errors(self.url), closing(connect_arrow(self.url)) as connection:
            with closing(connection.cursor()) as cursor:
                cursor.execute(query.text, query.arguments(values) or None)
                frame = pl.from_arrow(cursor.fetch_arrow_table())
        assert isinstance(frame, pl.DataFrame)
        return frame

    def execute(self, name: str, /, **values: Any) -> int:
        """Run a named statement in a transaction of its own; return the number of rows."""
        with self.transaction() as connection:
            return run(connection, name, **values).rowcount


def in_schema(url: str, schema: str) -> str:
    """Return a database's URL with which unqualified names mean those of a schema."""
    parts = urlsplit(url)
    parameters = dict(parse_qsl(parts.query))
    chosen = f"{parameters.get('options', '')} -csearch_path={schema}".strip()
    query = urlencode(parameters | {"options": chosen}, quote_via=quote)
    return parts._replace(query=query).geturl()


def _address(url: str) -> str:
    parts = urlsplit(url)
    return f"database {parts.path.lstrip('/')} at {parts.hostname}:{parts.port or 5432}"


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
