"""Every driver encrypts its line to the database, and talks to no server it cannot check."""

from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from market_pipeline import services
from market_pipeline.errors import DatabaseUnavailable
from market_pipeline.storage import schema
from market_pipeline.storage.database import Database
from market_pipeline_tests import tls_proxy
from market_pipeline_tests.api_cases import settings_of
from market_pipeline_tests.certificates import self_signed

pytestmark = pytest.mark.needs_real_server("each driver has a connection of its own")


@pytest.fixture(scope="module")
def encrypted(
    shared_database: Database, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Database]]:
    """Make addresses of the database behind TLS, with an authority that is trusted."""
    folder = tmp_path_factory.mktemp("certificates")
    right, wrong = folder / "right.pem", folder / "wrong.pem"
    context = self_signed(right)
    self_signed(wrong)
    with tls_proxy.listening(shared_database.url, context) as url:

        def make(is_trusted: bool = True, host: str = "localhost") -> Database:
            root = quote(str(right if is_trusted else wrong), safe="")
            chosen = url.replace("@localhost:", f"@{host}:")
            return Database(f"{chosen}?sslmode=verify-full&sslrootcert={root}")

        yield make


def test_both_drivers_of_market_data_encrypt(encrypted: Callable[..., Database]) -> None:
    database = encrypted()
    assert schema.prepare(database.url) == []
    assert database.query("count_ticks").height == 1
    with database.session() as connection:
        assert connection.pgconn.ssl_in_use


def test_dagster_s_driver_encrypts(encrypted: Callable[..., Database], tmp_path: Path) -> None:
    engine = create_engine(services.dagster_url(settings_of(encrypted(), tmp_path), None))
    with engine.connect() as connection:
        assert connection.execute(text("SELECT current_schema()")).scalar() == "dagster"
        driver = connection.connection.driver_connection
        assert driver is not None
        assert driver.info.ssl_in_use
    engine.dispose()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"is_trusted": False}, "certificate verify failed"),
        ({"host": "127.0.0.1"}, "does not match host name"),
    ],
)
def test_a_server_that_cannot_be_checked_is_refused(
    encrypted: Callable[..., Database], tmp_path: Path, wrong: dict[str, object], message: str
) -> None:
    database = encrypted(**wrong)
    with pytest.raises(DatabaseUnavailable, match=message):
        database.execute("ensure_tick_day", day=None)
    with pytest.raises(DatabaseUnavailable, match=message):
        database.query("server_status")
    dagster = services._for_psycopg2(database.url)
    with pytest.raises(OperationalError, match=message), create_engine(dagster).connect():
        pass


def test_a_server_without_tls_is_refused(shared_database: Database) -> None:
    database = Database(f"{shared_database.url}?sslmode=verify-full&sslrootcert=system")
    with pytest.raises(DatabaseUnavailable, match="does not support SSL"):
        database.query("server_status")
