"""Reading for servers: named queries over connections that stay open.

`Database` opens a connection for each call, which takes longer than most queries of the API.
"""

import asyncio
from types import TracebackType
from typing import Any, Self

import psycopg
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from market_pipeline.errors import QueryTooSlow
from market_pipeline.storage.database import GIVE_UP, load_query, translated_errors

_CONNECT_SECONDS = 5
_WAIT_SECONDS = 3.0
"""How long a request waits for a connection that is free, or a server that is back."""

_STATEMENT_SECONDS = 15
_AT_ONCE = 1_000
"""Rows that are made into dictionaries before the event loop may do anything else."""

Row = dict[str, Any]
_Pooled = psycopg.AsyncConnection[Row]


class Reader:
    """A pool of connections to one market database; use it as a context manager."""

    def __init__(self, url: str, size: int = 8) -> None:
        """Take at most `size` connections, one of them always."""
        self.url, self._size = url, size
        self._pool = AsyncConnectionPool[_Pooled](
            url,
            min_size=1,
            max_size=size,
            open=False,
            timeout=_WAIT_SECONDS,
            configure=_configure,
            kwargs={
                **GIVE_UP,
                "connect_timeout": _CONNECT_SECONDS,
                "cursor_factory": psycopg.AsyncRawCursor,
                "row_factory": dict_row,
                "autocommit": True,
                "application_name": "market_pipeline_api",
            },
        )

    async def __aenter__(self) -> Self:
        await self._pool.open(wait=False)  # the database may be away: requests say so
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._pool.close()

    async def rows(self, name: str, /, **values: Any) -> list[Row]:
        """Return the rows of a named query, by column.

        Raises:
            DatabaseUnavailable: no connection within three seconds, or it was lost.
            QueryTooSlow: it took longer than 15 seconds and was ended.
            DatabaseError: see translated_errors.
        """
        query = load_query(name)
        arguments = query.arguments(values) or None
        with translated_errors(self.url):
            # After a restart of the server each connection of the pool is dead until it is used.
            for _ in range(self._size):
                async with self._pool.connection() as connection:
                    try:
                        return await _all(await connection.execute(query.text, arguments))
                    except psycopg.errors.QueryCanceled:
                        raise QueryTooSlow(
                            f"The query took longer than {_STATEMENT_SECONDS} seconds: ask for "
                            "less, as in a shorter period"
                        ) from None
                    except psycopg.OperationalError:
                        if not connection.broken:
                            raise
            async with self._pool.connection() as connection:
                return await _all(await connection.execute(query.text, arguments))

    async def row(self, name: str, /, **values: Any) -> Row | None:
        """Return the first row of a named query: see `rows`."""
        found = await self.rows(name, **values)
        return found[0] if found else None


async def _all(cursor: psycopg.AsyncCursor[Row]) -> list[Row]:
    """Return what was read, with pauses for others."""
    rows = await cursor.fetchmany(_AT_ONCE)
    while len(rows) < cursor.rowcount:
        await asyncio.sleep(0)
        rows += await cursor.fetchmany(_AT_ONCE)
    return rows


async def _configure(connection: _Pooled) -> None:
    await connection.execute(load_query("set_reading_timeout").text, [f"{_STATEMENT_SECONDS}s"])
