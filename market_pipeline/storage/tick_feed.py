"""What an API process hears of the ticks: one connection that waits for commits and reads them.

Guarantee: between two calls of `new`, whatever became of the connection or the server, no tick is
yielded twice, and none is left out silently: what is not in table tick_batches any more is a hole.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
import psycopg

from market_pipeline.storage.database import GIVE_UP, load_query, translated_errors
from market_pipeline.storage.tick_batches import TickBatch, unpacked

_CONNECT_SECONDS = 5
_KEEP_SECONDS = 20.0
_WRITERS_LOOK_SECONDS = 2.0
"""After so long every writer knows that it is listened to: see tick_batches.Outbox."""

_STREAM_COLUMNS = ("stream", "state", "instruments", "ticks", "ticks_per_second", "lag_ms")

_Connection = psycopg.AsyncConnection[tuple[Any, ...]]


@dataclass
class Position:
    """How far a stream was read: the number of the next tick, and what came before it."""

    next: int
    received_at: int  # microseconds since 1970, of the newest tick; 0 where there is none
    written_at: datetime


class Hole(NamedTuple):
    """Ticks of a stream that were committed and cannot be had from here: first up to before end.

    Where end is below first the stream's numbers have begun anew; what was missed is not known.
    """

    stream: str
    first: int
    end: int
    until: datetime
    """When the first tick that can be had was committed."""


class TickFeed:
    """Reads what writers commit, from the moment it is first opened."""

    def __init__(self, url: str, listener: str) -> None:
        self._url, self._listener = url, listener
        self._connection: _Connection | None = None
        self._keep_at = 0.0
        self.positions: dict[str, Position] = {}
        self._is_begun = False

    async def open(self) -> None:
        """Connect; the first time wait until writers know, and begin behind what is stored then.

        Raises:
            DatabaseUnavailable: call again later.
        """
        await self.close()
        with translated_errors(self._url):
            self._connection = await psycopg.AsyncConnection.connect(
                self._url,
                autocommit=True,
                connect_timeout=_CONNECT_SECONDS,
                cursor_factory=psycopg.AsyncRawCursor,
                application_name="market_pipeline_live",
                **GIVE_UP,
            )
            await self._run("listen_to_ticks")
            is_known = await self._keep()
            if not self._is_begun:
                if not is_known:
                    await asyncio.sleep(_WRITERS_LOOK_SECONDS)
                await self._begin()

    async def _begin(self) -> None:
        for stream, arrivals, received_at, written_at in await self._run("tick_positions"):
            self.positions[stream] = Position(arrivals, received_at or 0, written_at)
        self._is_begun = True

    async def wait(self, seconds: float) -> None:
        """Return once something was committed, or after a time.

        Raises:
            DatabaseUnavailable: open again.
        """
        assert self._connection is not None
        with translated_errors(self._url):
            if asyncio.get_running_loop().time() >= self._keep_at:
                await self._keep()
            async for _ in self._connection.notifies(timeout=seconds, stop_after=1):
                pass

    async def new(self) -> AsyncIterator[TickBatch | Hole]:
        """Yield what was committed since the last call, of each stream in order.

        Raises:
            DatabaseUnavailable: open, and call again.
        """
        while rows := await self._unread():
            for stream, first, written_at, payload in rows:
                for found in self._read(unpacked(stream, first, payload), written_at):
                    yield found

    async def _unread(self) -> list[tuple[Any, ...]]:
        known = self.positions
        with translated_errors(self._url):
            return await self._run(
                "new_tick_batches",
                streams=list(known),
                arrivals=[each.next for each in known.values()],
                written_at=[each.written_at for each in known.values()],
            )

    def _read(self, batch: TickBatch, written_at: datetime) -> list[TickBatch | Hole]:
        """Return what of a batch is new, after the hole before it, and go on behind it."""
        position = self.positions.get(batch.stream) or Position(batch.first, 0, written_at)
        self.positions[batch.stream] = position
        received = batch.ticks["received_at"]
        found: list[TickBatch | Hole] = []
        if batch.first < position.next and not (received > position.received_at).all():
            # A server that has forgotten its last commits gets the same ticks again.
            batch = batch.since(min(position.next, batch.end))
        elif batch.first != position.next:
            # Newer ticks under numbers that were used up: it has begun to count anew.
            found.append(Hole(batch.stream, position.next, batch.first, written_at))
            position.next = batch.first
        position.next = max(batch.end, position.next)
        position.received_at = max(int(np.max(received)), position.received_at)
        position.written_at = max(written_at, position.written_at)
        return [*found, batch] if len(batch) else found

    async def streams(self) -> list[dict[str, Any]]:
        """Return what each stream does: the rows of sql/queries/live_streams.sql.

        Raises:
            DatabaseUnavailable: open again.
        """
        with translated_errors(self._url):
            rows = await self._run("live_streams")
        return [dict(zip(_STREAM_COLUMNS, row, strict=True)) for row in rows]

    async def _keep(self) -> bool:
        """Say that somebody listens; return whether writers knew before."""
        self._keep_at = asyncio.get_running_loop().time() + _KEEP_SECONDS
        rows = await self._run("keep_tick_listener", listener=self._listener)
        return bool(rows[0][0])

    async def _run(self, name: str, /, **values: Any) -> list[tuple[Any, ...]]:
        assert self._connection is not None
        query = load_query(name)
        cursor = await self._connection.execute(query.text, query.arguments(values) or None)
        return await cursor.fetchall() if cursor.description else []

    async def close(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(psycopg.Error):
                await self._connection.close()
            self._connection = None
