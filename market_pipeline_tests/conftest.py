"""A real PostgreSQL for the tests: the embedded one, or MARKET_PIPELINE_TEST_DATABASE_URL.

With --timescale it has TimescaleDB. Without an address that is one in WebAssembly, which has one
database and one backend: each test has a schema in place of a database, and those that need more
are left out.
"""

import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import hypothesis
import psycopg
import pytest
from psycopg import sql

from market_pipeline.storage import embedded, schema
from market_pipeline.storage.database import Database
from market_pipeline_tests.timescale import server
from market_pipeline_tests.timescale.schemas import Schemas

_EMPTY = "template0"  # to which nobody connects, TimescaleDB's scheduler included
_MEMORY_NEEDED = 8 << 30
_END_CONNECTIONS = (
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname LIKE 'template\\_%'"
)
_GIVEN = os.environ.get("MARKET_PIPELINE_TEST_DATABASE_URL")


# The same examples on every machine, however slow that is.
hypothesis.settings.register_profile("seeded", deadline=None, derandomize=True)
hypothesis.settings.load_profile("seeded")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--timescale", action="store_true", help="run on TimescaleDB in WebAssembly")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests of the other kind of server, and on TimescaleDB those of none."""
    is_timescale = config.getoption("--timescale")
    wrong = ["needs_plain_server"] if is_timescale else ["needs_timescale"]
    if is_timescale:
        wrong.append("needs_webassembly" if _GIVEN else "needs_real_server")

    def is_left_out(item: pytest.Item) -> bool:
        uses_server = "server_url" in getattr(item, "fixturenames", ())
        is_wrong = any(item.get_closest_marker(marker) for marker in wrong)
        return is_wrong or (is_timescale and not uses_server)

    left_out = [item for item in items if is_left_out(item)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session")
def is_timescale(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--timescale"))


@pytest.fixture(scope="session")
def has_schemas(is_timescale: bool) -> bool:
    """Whether tests have schemas of the one database there is."""
    return is_timescale and not _GIVEN


@pytest.fixture(scope="session")
def shared_home() -> Iterator[Path]:
    """A folder that PostgreSQL's account can enter; those of pytest are closed to it."""
    home = Path(tempfile.mkdtemp(prefix="market_pipeline_", dir=_fast_folder()))
    home.chmod(0o755)
    yield home
    shutil.rmtree(home, ignore_errors=True)


def _fast_folder() -> str:
    """Return a folder in memory where there is much of it: each test has a database of its own."""
    memory = Path("/dev/shm")
    is_large = memory.is_dir() and shutil.disk_usage(memory).free > _MEMORY_NEEDED
    return str(memory) if is_large and os.access(memory, os.W_OK) else "/tmp"


@pytest.fixture(scope="session")
def server_url(has_schemas: bool, shared_home: Path) -> Iterator[str]:
    """A PostgreSQL server; the tests make databases of their own on it."""
    if has_schemas:
        if reason := server.missing():
            (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
        with server.running() as url:
            yield url
    elif _GIVEN:
        yield _GIVEN
    else:
        with embedded.running(shared_home) as url:
            for setting in ("fsync", "full_page_writes"):
                # Half the time went into writing out databases that are dropped again.
                _administer(url, f"ALTER SYSTEM SET {setting} = off")
            _administer(url, "SELECT pg_reload_conf()")
            yield url


@pytest.fixture(scope="session")
def template(is_timescale: bool, has_schemas: bool, server_url: str) -> str:
    """The name of a database with the schema, to copy."""
    name = f"template_{uuid.uuid4().hex[:8]}"
    if not has_schemas:
        _administer(server_url, "CREATE DATABASE {}", name)
        schema.prepare(_sibling(server_url, name))
        if is_timescale:  # whose scheduler would be in the way of copying
            _administer(server_url, "ALTER DATABASE {} ALLOW_CONNECTIONS false", name)
            _administer(server_url, _END_CONNECTIONS)
    return name


@pytest.fixture(scope="session")
def schemas(has_schemas: bool, server_url: str) -> Schemas | None:
    return Schemas(server_url) if has_schemas else None


@pytest.fixture
def new_database(schemas: Schemas | None, server_url: str) -> Iterator[Callable[..., str]]:
    """Make empty databases, or copies of another; they are gone after the test."""
    with _schemas(schemas) if schemas else _databases(server_url) as make:
        yield make


@pytest.fixture
def database(new_database: Callable[..., str], template: str) -> Database:
    """A database with the whole schema and nothing in it."""
    return Database(new_database(template))


@pytest.fixture(scope="module")
def shared_database(schemas: Schemas | None, server_url: str, template: str) -> Iterator[Database]:
    """A database for all tests of a module, which do not mind what the others leave in it."""
    with _schemas(schemas) if schemas else _databases(server_url) as make:
        yield Database(make(template))


@contextmanager
def _databases(url: str) -> Iterator[Callable[..., str]]:
    made: list[str] = []

    def make(template: str = _EMPTY) -> str:
        name = f"test_{uuid.uuid4().hex[:8]}"
        _administer(url, "CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy", name, template)
        made.append(name)
        return _sibling(url, name)

    yield make
    for name in made:
        _administer(url, "DROP DATABASE {} WITH (FORCE)", name)


@contextmanager
def _schemas(schemas: Schemas) -> Iterator[Callable[..., str]]:
    """Make schemas of the one database: those that are to have everything, or empty ones."""
    made: list[str] = []

    def make(template: str = _EMPTY) -> str:
        made.append(schemas.take(is_prepared=template != _EMPTY))
        return schemas.url(made[-1])

    yield make
    for name in made:
        schemas.give_back(name)


def _administer(url: str, statement: str, *names: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        text = sql.SQL(statement).format(*(sql.Identifier(name) for name in names))
        connection.execute(text)


def _sibling(url: str, database: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{database}"))
