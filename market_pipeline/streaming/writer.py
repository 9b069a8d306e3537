"""Moves what the journal holds into the database, each record exactly once and in order.

What is remembered between records (see observations.py) is stored as a checkpoint now and then;
after a restart the records between the checkpoint and the committed position are read again to
bring the memory up to date, and only those after the position are stored. So ticks do not depend
on when the process stopped, nor on how the journal was divided into batches.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Protocol

import numpy as np
import polars as pl

from market_pipeline import sessions
from market_pipeline.errors import DatabaseError, is_transient
from market_pipeline.market import Decoded
from market_pipeline.storage.ticks import Batch, Checkpoint, GapEvent, Rejected, TickStore
from market_pipeline.streaming import journal
from market_pipeline.streaming.observations import Arrivals, Observer
from market_pipeline.streaming.records import Damage, Record, RecordKind

log = logging.getLogger(__name__)

BATCH_BYTES = 8 * 1024 * 1024  # some 40,000 full packets
_CHECKPOINT_SECONDS = 30.0
SESSION_CLOSED = "session closed"
"""The reason of a STOPPED record after which nothing is missed."""


class Tokens(Protocol):
    def on(self, day: date) -> pl.DataFrame:
        """Return columns token (sorted), instrument_id and is_index, valid that day."""


@dataclass
class Progress:
    """What a writer has done since it was opened."""

    position: int = 0
    ticks: int = 0
    faults: int = 0
    anomalies: int = 0
    lags_ms: list[float] = field(default_factory=list)


@dataclass
class _Memory:
    """All that one record's meaning may depend on."""

    observer: Observer
    connection: int = -1
    last_received_at: int | None = None
    is_stopped: bool = True
    is_first_frame: bool = True

    def copy(self) -> "_Memory":
        return _Memory(
            self.observer.copy(),
            self.connection,
            self.last_received_at,
            self.is_stopped,
            self.is_first_frame,
        )


class Writer:
    """Reads one stream's journal and commits what it means."""

    def __init__(
        self,
        store: TickStore,
        folder: Path,
        decode: Callable[[Sequence[bytes]], Decoded],
        tokens: Tokens,
        batch_bytes: int = BATCH_BYTES,
    ) -> None:
        self._store, self._folder = store, folder
        self._decode, self._tokens = decode, tokens
        self._batch_bytes = batch_bytes
        self._memory = _Memory(Observer())
        self._checkpoint_due = time.monotonic() + _CHECKPOINT_SECONDS
        self.progress = Progress()
        self.checkpoint_position = 0

    def open(self) -> None:
        """Take over the stream where the last writer left it.

        Raises:
            DatabaseUnavailable: call again later.
        """
        found = self._store.open()
        observer = Observer()
        observer.load(found.checkpoint, found.checkpoint_arrivals)
        self._memory = _Memory(observer, found.checkpoint_connection)
        position = found.checkpoint_position
        while position < found.position:
            wanted = min(self._batch_bytes, found.position - position)
            items = [i for i in self._read(position, wanted) if i.end <= found.position]
            if not items:
                break
            self._batch(position, items, self._memory)
            position = items[-1].end
        if found.last_received_at is not None:
            self._memory.last_received_at = int(found.last_received_at.timestamp() * 1e6) * 1000
        self._memory.observer.arrivals = found.arrivals
        self._memory.is_stopped = found.is_stopped
        self._memory.is_first_frame = True  # to end a gap that is open, should there be one
        self.progress.position = found.position
        self.checkpoint_position = found.checkpoint_position

    def _read(self, position: int, max_bytes: int) -> Iterator[Record | Damage]:
        return journal.read(self._folder, position, max_bytes)

    def step(self) -> bool:
        """Store what the journal has, up to a batch; return whether there was anything.

        Raises:
            DatabaseUnavailable: nothing was stored; call again.
            StreamTakenOver: another process writes this stream now.
        """
        items = list(self._read(self.progress.position, self._batch_bytes))
        if not items:
            return False
        self._commit(items)
        return True

    def _commit(self, items: list[Record | Damage]) -> None:
        memory = self._memory.copy()
        start = self.progress.position
        batch = self._batch(start, items, memory)
        if time.monotonic() >= self._checkpoint_due:
            batch.checkpoint = Checkpoint(
                batch.end, batch.arrivals, memory.connection, memory.observer.dump()
            )
        try:
            self._store.commit(batch)
        except DatabaseError as error:
            if is_transient(error):
                raise
            self._commit_around(items, start, error)
            return
        self._adopt(memory, batch)

    def _commit_around(
        self, items: list[Record | Damage], start: int, error: DatabaseError
    ) -> None:
        """Find the record the database refuses by halving; store the rest, set that one aside."""
        if len(items) > 1:
            half = len(items) // 2
            self._commit(items[:half])
            self._commit(items[half:])
            return
        log.error("record at %d refused by the database: %s", start, error)
        item = items[0]
        memory = self._memory.copy()
        batch = self._batch(start, [], memory)
        batch.end = item.end
        received_at = getattr(item, "received_at", 0)
        batch.rejected.append(Rejected(item.position, received_at, str(error), item.payload))
        self._store.commit(batch)
        self._adopt(memory, batch)

    def _adopt(self, memory: _Memory, batch: Batch) -> None:
        self._memory = memory
        progress = self.progress
        progress.position = batch.end
        progress.ticks += len(batch.ticks["time"])
        progress.faults += len(batch.rejected)
        progress.anomalies = memory.observer.anomalies
        if len(batch.ticks["time"]):
            oldest = int(batch.ticks["received_at"].min())
            progress.lags_ms.append(time.time() * 1000 - oldest / 1000)
        if batch.checkpoint is not None:
            self.checkpoint_position = batch.checkpoint.position
            self._checkpoint_due = time.monotonic() + _CHECKPOINT_SECONDS

    def _batch(self, start: int, items: Sequence[Record | Damage], memory: _Memory) -> Batch:
        """Work out what these items mean, carrying `memory` along."""
        frames: list[Record] = []
        connections: list[int] = []
        gaps: list[GapEvent] = []
        rejected: list[Rejected] = []
        for item in items:
            if isinstance(item, Damage):
                at = memory.last_received_at or 0
                rejected.append(Rejected(item.position, at, "damaged journal", item.payload))
                gaps += [GapEvent(at, "damaged journal")]
                memory.is_first_frame = True
                continue
            gaps += _gap_events(item, memory)
            if item.kind is RecordKind.CONNECTED:
                memory.connection = item.position
            elif item.kind is RecordKind.FRAME:
                frames.append(item)
                connections.append(memory.connection)
            memory.last_received_at = item.received_at
        arrivals, faults = self._arrivals(frames, connections)
        return Batch(
            start=start,
            end=items[-1].end if items else start,
            ticks=memory.observer.observe(arrivals),
            arrivals=memory.observer.arrivals,
            last_received_at=memory.last_received_at,
            is_stopped=memory.is_stopped,
            gaps=gaps,
            rejected=rejected + faults,
        )

    def _arrivals(
        self, frames: list[Record], connections: list[int]
    ) -> tuple[Arrivals, list[Rejected]]:
        decoded = self._decode([frame.payload for frame in frames])
        received_at = np.array([frame.received_at for frame in frames], np.int64) // 1000
        tokens = decoded.packets["token"]
        instrument_id = np.full(len(tokens), -1, np.int64)
        is_index = np.zeros(len(tokens), bool)
        packet_received = received_at[decoded.frame]
        days = sessions.trading_dates(packet_received // 1_000_000)
        for day in np.unique(days).tolist():
            rows = days == day
            known = self._tokens.on(date.fromordinal(_EPOCH_ORDINAL + day))
            instrument_id[rows], is_index[rows] = _match(tokens[rows], known)
        rejected = [
            Rejected(frames[f.frame].position, frames[f.frame].received_at, f.reason, f.payload)
            for f in decoded.faults
        ]
        unknown = instrument_id < 0
        for index in np.unique(decoded.frame[unknown]).tolist():
            strange = np.unique(tokens[unknown & (decoded.frame == index)]).tolist()
            reason = f"unknown tokens {', '.join(map(str, strange[:5]))}"
            frame = frames[index]
            rejected.append(Rejected(frame.position, frame.received_at, reason, frame.payload))
        arrivals = Arrivals(
            packets=decoded.packets,
            instrument_id=instrument_id,
            is_index=is_index,
            received_at=packet_received,
            connection=np.array(connections, np.int64)[decoded.frame],
        )
        return (arrivals.taken(~unknown) if unknown.any() else arrivals), rejected


_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()


def _match(
    tokens: np.ndarray[tuple[int], np.dtype[np.int64]], known: pl.DataFrame
) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    """Return the instrument of each token, -1 where it is unknown, and whether it is an index."""
    if known.is_empty():
        return np.full(len(tokens), -1, np.int64), np.zeros(len(tokens), bool)
    keys = known["token"].to_numpy()
    slots = np.minimum(np.searchsorted(keys, tokens), len(keys) - 1)
    found = keys[slots] == tokens
    instrument_id = np.where(found, known["instrument_id"].to_numpy()[slots], -1)
    return instrument_id, found & known["is_index"].to_numpy()[slots]


def _gap_events(record: Record, memory: _Memory) -> list[GapEvent]:
    """Say whether a record begins or ends a time in which packets may have been missed."""
    events: list[GapEvent] = []
    since = memory.last_received_at
    match record.kind:
        case RecordKind.STARTED:
            if not memory.is_stopped and since is not None:
                events.append(GapEvent(since, "the process ended without notice"))
            memory.is_stopped = False
        case RecordKind.DISCONNECTED:
            cause = record.payload.decode(errors="replace")
            events.append(GapEvent(since or record.received_at, cause))
        case RecordKind.STOPPED:
            memory.is_stopped = True
            reason = record.payload.decode(errors="replace")
            if reason != SESSION_CLOSED:
                events.append(GapEvent(record.received_at, reason))
        case RecordKind.CONNECTED:
            memory.is_first_frame = True
        case RecordKind.FRAME if memory.is_first_frame:
            memory.is_first_frame = False
            events.append(GapEvent(record.received_at, None))
    return events
