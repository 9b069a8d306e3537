"""A real PostgreSQL for the tests: the embedded one, or MARKET_PIPELINE_TEST_DATABASE_URL."""

import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql

from market_pipeline.storage import embedded, schema
from market_pipeline.storage.database import Database


@pytest.fixture(scope="session")
def shared_home() -> Iterator[Path]:
    """A folder that PostgreSQL's account can enter; those of pytest are closed to it."""
    home = Path(tempfile.mkdtemp(prefix="market_pipeline_", dir="/tmp"))
    home.chmod(0o755)
    yield home
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def server_url(shared_home: Path) -> Iterator[str]:
    """A PostgreSQL server; the tests make databases of their own on it."""
    url = os.environ.get("MARKET_PIPELINE_TEST_DATABASE_URL")
    if url:
        yield url
        return
    with embedded.running(shared_home) as url:
        yield url


@pytest.fixture(scope="session")
def template(server_url: str) -> str:
    """The name of a database with the schema, to copy."""
    name = f"template_{uuid.uuid4().hex[:8]}"
    _administer(server_url, "CREATE DATABASE {}", name)
    schema.prepare(_sibling(server_url, name))
    return name


@pytest.fixture
def new_database(server_url: str) -> Iterator[Callable[..., str]]:
    """Make empty databases, or copies of another; they are dropped after the test."""
    made: list[str] = []

    def make(template: str = "template1") -> str:
        name = f"test_{uuid.uuid4().hex[:8]}"
        _administer(server_url, "CREATE DATABASE {} TEMPLATE {}", name, template)
        made.append(name)
        return _sibling(server_url, name)

    yield make
    for name in made:
        _administer(server_url, "DROP DATABASE {} WITH (FORCE)", name)


@pytest.fixture
def database(new_database: Callable[..., str], template: str) -> Database:
    """A database with the whole schema and nothing in it."""
    return Database(new_database(template))


def _administer(url: str, statement: str, *names: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        text = sql.SQL(statement).format(*(sql.Identifier(name) for name in names))
        connection.execute(text)


def _sibling(url: str, database: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{database}"))
