"""TimescaleDB in WebAssembly does what the storage on TimescaleDB builds on."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import polars as pl
import psycopg
import pytest
from adbc_driver_postgresql import dbapi

pytestmark = [pytest.mark.needs_timescale, pytest.mark.needs_webassembly]

START = datetime(2026, 11, 20, 3, 45, tzinfo=UTC)
HOUR = """
    INSERT INTO prices
    SELECT %s::timestamptz + n * interval '1 minute', n FROM generate_series(0, 59) AS n
"""
FIVE_MINUTES = """
    CREATE MATERIALIZED VIEW five_minutes
    WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
    SELECT time_bucket('5 minutes', time) AS time, last(price, time) AS close, count(*) AS prices
    FROM prices GROUP BY 1 WITH NO DATA
"""
DAYS = """
    CREATE MATERIALIZED VIEW days
    WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
    SELECT
        time_bucket('1 day', time, 'Asia/Kolkata') AS time,
        last(close, time) AS close,
        sum(prices) AS prices
    FROM five_minutes GROUP BY 1 WITH NO DATA
"""
POLICY = """
    SELECT add_continuous_aggregate_policy(
        'five_minutes', NULL, NULL, schedule_interval => INTERVAL '1 hour'
    )
"""
COLUMNSTORE = """
    ALTER TABLE prices SET (timescaledb.enable_columnstore, timescaledb.orderby = 'time')
"""


class Server:
    """One client of the server, in a schema with a hypertable."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.connection = psycopg.connect(url, autocommit=True)
        self.run("CREATE TABLE prices (time timestamptz NOT NULL, price double precision NOT NULL)")
        self.run("SELECT create_hypertable('prices', by_range('time', INTERVAL '1 day'))")

    def run(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        cursor = self.connection.execute(statement.encode(), values or None)
        return cursor.fetchall() if cursor.description else []

    def count(self, relation: str = "prices") -> int:
        ((found,),) = self.run(f"SELECT count(*) FROM {relation}")  # noqa: S608 - names of this file
        return int(found)


@pytest.fixture
def server(new_database: Callable[..., str]) -> Iterator[Server]:
    opened = Server(new_database())
    yield opened
    opened.connection.close()


@pytest.fixture
def aggregated(server: Server) -> Server:
    """An hour of prices below an aggregate of an aggregate."""
    server.run(HOUR, START)
    server.run(FIVE_MINUTES)
    server.run(DAYS)
    return server


def test_aggregates_of_aggregates_are_stored(aggregated: Server) -> None:
    for name in ("five_minutes", "days"):
        aggregated.run(f"CALL refresh_continuous_aggregate('{name}', NULL, NULL)")
        aggregated.run(f"ALTER MATERIALIZED VIEW {name} SET (timescaledb.materialized_only = true)")
    assert aggregated.count("five_minutes") == 12
    midnight = datetime(2026, 11, 19, 18, 30, tzinfo=UTC)
    assert aggregated.run("SELECT * FROM days") == [(midnight, 59.0, 60)]


def test_what_is_not_stored_yet_is_computed_when_it_is_read(aggregated: Server) -> None:
    assert aggregated.run("SELECT close, prices FROM days") == [(59.0, 60)]
    aggregated.run("CALL refresh_continuous_aggregate('five_minutes', NULL, NULL)")
    aggregated.run("INSERT INTO prices VALUES (%s + interval '2 hours', 7)", START)
    assert aggregated.count("five_minutes") == 13
    assert aggregated.run("SELECT close, prices FROM days") == [(7.0, 61)]


def test_a_policy_does_its_work_when_it_is_called(aggregated: Server) -> None:
    ((job,),) = aggregated.run(POLICY)
    aggregated.run(f"CALL run_job({job})")
    aggregated.run("ALTER MATERIALIZED VIEW five_minutes SET (timescaledb.materialized_only)")
    assert aggregated.count("five_minutes") == 12


def test_compressed_rows_are_read_and_written(server: Server) -> None:
    server.run(HOUR, START)
    server.run(COLUMNSTORE)
    server.run("SELECT compress_chunk(chunk) FROM show_chunks('prices') AS chunk")
    assert server.count() == 60
    server.run("INSERT INTO prices VALUES (%s, 1)", START)
    assert server.count() == 61


def copy(server: Server, *rows: tuple[datetime | None, float]) -> None:
    statement = "COPY prices FROM STDIN (FORMAT binary)"
    with server.connection.cursor().copy(statement) as written:
        written.set_types(["timestamptz", "float8"])
        for row in rows:
            written.write_row(row)


def test_rows_are_copied_in_binary(server: Server) -> None:
    copy(server, *[(START, float(n)) for n in range(20_000)])
    assert server.count() == 20_000


def test_a_copy_that_fails_leaves_the_connection_usable(server: Server) -> None:
    with pytest.raises(psycopg.errors.NotNullViolation):
        copy(server, (START, 1.0), (None, 2.0))
    copy(server, (START, 3.0))
    assert server.run("SELECT price FROM prices") == [(3.0,)]


def test_arrow_is_ingested(server: Server) -> None:
    prices = pl.DataFrame({"time": [START] * 5000, "price": [1.0] * 5000})
    with closing(dbapi.connect(server.url)) as connection, closing(connection.cursor()) as cursor:
        cursor.adbc_ingest("prices", prices.to_arrow(), mode="append")
        connection.commit()
    assert server.count() == 5000


def test_transactions_of_two_clients_are_serial(server: Server) -> None:
    server.run("INSERT INTO prices VALUES (%s, 0)", START)

    def add_one_by_one(times: int) -> None:
        with psycopg.connect(server.url) as connection:
            for _ in range(times):
                ((price,),) = connection.execute("SELECT price FROM prices").fetchall()
                connection.execute("UPDATE prices SET price = %s", [price + 1])
                connection.commit()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(add_one_by_one, [50, 50]))
    assert server.run("SELECT price FROM prices") == [(100.0,)]


def test_each_client_keeps_its_settings_and_statements(server: Server) -> None:
    with psycopg.connect(server.url, autocommit=True, prepare_threshold=0) as other:
        other.execute("SET timezone TO 'Asia/Kolkata'")
        for number in range(3):
            assert other.execute("SHOW timezone").fetchone() == ("Asia/Kolkata",)
            assert other.execute("SELECT %s::int", [number]).fetchone() == (number,)
            assert server.run("SHOW timezone") == [("UTC",)]
        other.execute("RESET ALL")
        assert other.execute("SELECT current_schema()").fetchone() != ("public",)


def test_those_who_listen_are_notified(server: Server) -> None:
    server.run("LISTEN ticks")
    with psycopg.connect(server.url) as other:
        other.execute("NOTIFY ticks, 'three'")
    (notification,) = server.connection.notifies(timeout=10, stop_after=1)
    assert notification.payload == "three"


def test_a_client_that_is_gone_leaves_nothing_half_done(server: Server) -> None:
    other = psycopg.connect(server.url)
    other.execute("INSERT INTO prices VALUES (%s, 1)", [START])
    other.close()
    assert server.count() == 0


def test_a_client_keeps_its_schema_however_often_it_resets_its_settings(server: Server) -> None:
    for _ in range(3):
        server.connection.execute("RESET ALL", prepare=True)
        assert server.count() == 0
