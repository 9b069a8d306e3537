"""Reading over a pool: rows by name, and what becomes of queries that are slow or cut off."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import psycopg
import pytest

from market_pipeline.errors import DatabaseError, DatabaseUnavailable, QueryTooSlow
from market_pipeline.storage import reading
from market_pipeline.storage.database import Database, Query, load_query
from market_pipeline.storage.reading import Reader
from market_pipeline_tests.dagster_cases import rows

pytestmark = [pytest.mark.needs_real_server]

SLEEP = Query("SELECT pg_sleep($1::double precision)", ("seconds",))
NONSENSE = Query("SELECT nothing FROM nowhere", ())
WHO = Query("SELECT pg_backend_pid() AS pid", ())
COUNT = Query("SELECT n FROM generate_series(1, $1::bigint) AS n", ("last",))
STAND_INS = {"sleep": SLEEP, "nonsense": NONSENSE, "who": WHO, "count": COUNT}


@pytest.fixture(autouse=True)
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Queries that the pipeline has no use for."""
    monkeypatch.setattr(reading, "load_query", lambda name: STAND_INS.get(name) or load_query(name))


def finished(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


def test_rows_come_by_column(database: Database) -> None:
    async def read() -> None:
        async with Reader(database.url) as reader:
            assert await reader.rows("database_answers") == [{"answers": True}]
            assert await reader.row("last_tick", instrument_id=1) is None

    finished(read())


@pytest.mark.parametrize(("last", "pieces"), [(0, [0]), (3, [2, 1]), (4, [2, 2])])
def test_many_rows_are_taken_in_pieces_between_which_others_run(
    database: Database, last: int, pieces: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    taken, take = [], psycopg.AsyncRawCursor.fetchmany

    async def noting(cursor: psycopg.AsyncRawCursor[Any], size: int = 0) -> list[Any]:
        found = await take(cursor, size)
        taken.append(len(found))
        return found

    monkeypatch.setattr(psycopg.AsyncRawCursor, "fetchmany", noting)
    monkeypatch.setattr(reading, "_AT_ONCE", 2)

    async def read() -> list[reading.Row]:
        async with Reader(database.url) as reader:
            return await reader.rows("count", last=last)

    assert finished(read()) == [{"n": n} for n in range(1, last + 1)]
    assert taken == pieces


def test_a_query_that_takes_too_long_is_ended_and_the_connection_goes_on(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_STATEMENT_SECONDS", 0.2)

    async def read() -> None:
        async with Reader(database.url, size=1) as reader:
            before = await reader.row("who")
            with pytest.raises(QueryTooSlow, match="ask for less"):
                await reader.rows("sleep", seconds=30)
            assert await reader.row("who") == before

    finished(read())


def test_connections_that_were_cut_are_replaced_without_anybody_noticing(
    database: Database,
) -> None:
    async def read() -> None:
        async with Reader(database.url, size=3) as reader:
            many = [reader.rows("sleep", seconds=0.1) for _ in range(3)]
            await asyncio.gather(*many)
            cut = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            rows(database, f"{cut} WHERE application_name = 'market_pipeline_api'")
            for _ in range(5):
                assert await reader.rows("database_answers") == [{"answers": True}]

    finished(read())


def test_more_questions_than_connections_wait_for_their_turn(database: Database) -> None:
    async def read() -> list[Any]:
        async with Reader(database.url, size=2) as reader:
            asked = [reader.row("who") for _ in range(20)]
            return await asyncio.gather(*asked)

    found = finished(read())
    assert len(found) == 20
    assert len({row["pid"] for row in found}) <= 2


def test_a_wrong_query_is_an_error_of_ours(database: Database) -> None:
    async def read() -> None:
        async with Reader(database.url) as reader:
            with pytest.raises(DatabaseError, match="nowhere"):
                await reader.rows("nonsense")

    finished(read())


def test_a_server_that_is_away_is_told_of_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_WAIT_SECONDS", 0.5)

    async def read() -> None:
        async with Reader("postgresql://nobody@127.0.0.1:1/market") as reader:
            with pytest.raises(DatabaseUnavailable, match="database market at 127.0.0.1:1"):
                await reader.rows("database_answers")

    finished(read())
