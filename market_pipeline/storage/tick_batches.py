"""Committed ticks once more, for a minute, as the API processes take them: table tick_batches.

Reading them out of `ticks` would be too slow, and by time would miss those that come late. They are
put out in the transaction that stores them, so the two cannot differ.
"""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from market_pipeline.market import TICK_COLUMNS, Columns
from market_pipeline.storage.database import Connection, run

KEPT_TICKS = 500_000
"""Of each stream at most so many are kept, roughly, however fast a backlog is stored."""

_LOOK_SECONDS = 1.0
_TRIM_SECONDS = 5.0
_ASSUMED_SECONDS = 60.0
"""For so long after a connection was made somebody is taken to listen: they may have lost theirs
with ours, and their word that they are there with a crash of the server."""

# A third of the bytes: the server takes longer to store them than this takes to save them.
_COMPRESSED = pa.ipc.IpcWriteOptions(compression="lz4")


class Outbox:
    """What one writer puts out, if anybody listens."""

    def __init__(self, stream: str) -> None:
        self._stream = stream
        self._connection: Connection | None = None
        self._is_wanted = True
        self._assumed_until = self._look_at = self._trim_at = 0.0

    def put(
        self,
        connection: Connection,
        arrivals: int,
        ticks: Columns,
        order: NDArray[np.intp] | None = None,
    ) -> None:
        """Put ticks out on an open transaction; `arrivals` counts those of the stream with them."""
        now = time.monotonic()
        if connection is not self._connection:
            self._connection = connection
            self._assumed_until = now + _ASSUMED_SECONDS
        if now >= self._look_at:
            row = run(connection, "is_listened_to").fetchone()
            self._is_wanted = bool(row and row[0]) or now < self._assumed_until
            self._look_at = now + _LOOK_SECONDS
        if not self._is_wanted:
            return
        first, payload = packed(arrivals, ticks, order)
        values: dict[str, Any] = {"arrivals": arrivals, "first_arrival": first, "payload": payload}
        run(connection, "put_tick_batch", stream=self._stream, **values)
        if now >= self._trim_at:
            before = arrivals - KEPT_TICKS
            run(connection, "trim_tick_batches", stream=self._stream, before=before)
            self._trim_at = now + _TRIM_SECONDS


@dataclass(frozen=True)
class TickBatch:
    """Ticks of one stream in the order of their arrival, by the columns of TICK_COLUMNS."""

    stream: str
    first: int
    """The number of the first of them, counted from the stream's beginning; the rest follow."""

    ticks: Columns

    def __len__(self) -> int:
        return len(self.ticks["seq"])

    @property
    def end(self) -> int:
        """The number of the tick after the last of them."""
        return self.first + len(self)

    def taken(self, rows: NDArray[Any] | slice) -> Columns:
        return {name: column[rows] for name, column in self.ticks.items()}

    def since(self, first: int) -> "TickBatch":
        """Return those that are numbered so or higher."""
        if first <= self.first:
            return self
        return TickBatch(self.stream, first, self.taken(slice(first - self.first, None)))

    def until(self, end: int) -> "TickBatch":
        """Return those that are numbered lower."""
        if end >= self.end:
            return self
        return TickBatch(self.stream, self.first, self.taken(slice(max(end - self.first, 0))))


def packed(
    arrivals: int, ticks: Columns, order: NDArray[np.intp] | None = None
) -> tuple[int, bytes]:
    """Return the number of the first tick, and all in the order of their arrival as Arrow IPC."""
    first = arrivals - len(ticks["seq"])
    if order is None:
        order = arrival_order(arrivals, ticks)
    columns = [pa.array(ticks[name][order]) for name in TICK_COLUMNS]
    batch = pa.record_batch(columns, names=list(TICK_COLUMNS))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema, options=_COMPRESSED) as writer:
        writer.write_batch(batch)
    return first, sink.getvalue().to_pybytes()


def arrival_order(arrivals: int, ticks: Columns) -> NDArray[np.intp]:
    """Return the rows of a stream's newest ticks in the order in which they arrived."""
    first = arrivals - len(ticks["seq"])
    return np.argsort((ticks["seq"] - first) & 0xFFFFFFFF, kind="stable")


def unpacked(stream: str, first: int, payload: bytes) -> TickBatch:
    """Read what `packed` has written."""
    batch = pa.ipc.open_stream(payload).read_next_batch()
    names = batch.schema.names
    columns = zip(names, batch.columns, strict=True)
    return TickBatch(
        stream, first, {name: column.to_numpy(zero_copy_only=False) for name, column in columns}
    )
