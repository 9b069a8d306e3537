"""A server on which nobody may make roles, as managed ones are: everything works without them."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from market_pipeline.storage import candles, embedded, roles, schema
from market_pipeline.storage.database import Database
from market_pipeline_tests.builders import Tick
from market_pipeline_tests.candle_feed import Feed
from market_pipeline_tests.role_cases import acting_as

pytestmark = pytest.mark.needs_plain_server("a server of its own")


@pytest.fixture(scope="module")
def managed() -> Iterator[Database]:
    """A database whose owner may do nothing beyond it, on a server without our roles."""
    home = Path(tempfile.mkdtemp(prefix="market_pipeline_roles_", dir="/tmp"))
    home.chmod(0o755)  # for PostgreSQL's account, where root runs the tests
    with embedded.running(home) as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE ROLE customer")
            connection.execute("ALTER DATABASE market OWNER TO customer")
        yield acting_as(Database(url), "customer")
    shutil.rmtree(home, ignore_errors=True)


def test_the_database_is_set_up_and_says_what_is_missing(managed: Database) -> None:
    schema.prepare(managed.url)
    assert set(roles.states(managed).values()) == {"missing"}
    assert roles.problems(managed) == []
    assert schema.prepare(managed.url) == []


def test_ticks_become_candles(managed: Database) -> None:
    schema.prepare(managed.url)
    feed = Feed(managed)
    feed.send(*[Tick(at=at) for at in range(0, 600, 20)])
    feed.close()
    assert candles.refresh(managed) >= 9
