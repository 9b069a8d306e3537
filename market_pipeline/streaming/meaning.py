"""What a stretch of the journal means: ticks, gaps and what could not be understood. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from market_pipeline import sessions
from market_pipeline.market import DAMAGED_JOURNAL, Decoded
from market_pipeline.storage.ticks import Batch, GapEvent, Rejected
from market_pipeline.streaming.observations import Arrivals, Observer
from market_pipeline.streaming.records import Damage, Record, RecordKind

SESSION_CLOSED = "session closed"
NOT_WANTED = "not wanted"
NOTHING_MISSED = {SESSION_CLOSED, NOT_WANTED}
"""The reasons of a STOPPED record after which there is nothing to be missed."""

_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()


class Tokens(Protocol):
    def on(self, day: date) -> pl.DataFrame:
        """Return columns token (sorted), instrument_id and is_index, valid that day."""


@dataclass
class Memory:
    """All that one record's meaning may depend on."""

    observer: Observer
    connection: int = -1
    last_received_at: int | None = None
    is_stopped: bool = True
    is_first_frame: bool = True

    def copy(self) -> "Memory":
        return Memory(
            self.observer.copy(),
            self.connection,
            self.last_received_at,
            self.is_stopped,
            self.is_first_frame,
        )


class Interpreter:
    """Works out what records mean, given how a broker's frames are decoded and its tokens named."""

    def __init__(self, decode: Callable[[Sequence[bytes]], Decoded], tokens: Tokens) -> None:
        self._decode, self._tokens = decode, tokens

    def batch(self, start: int, items: Sequence[Record | Damage], memory: Memory) -> Batch:
        """Work out what these items mean, carrying `memory` along."""
        frames: list[Record] = []
        connections: list[int] = []
        gaps: list[tuple[GapEvent, int]] = []  # and the connection that it befell
        rejected: list[Rejected] = []
        for item in items:
            if isinstance(item, Damage):
                at = memory.last_received_at or 0
                rejected.append(Rejected(item.position, at, DAMAGED_JOURNAL, item.payload))
                gaps.append((GapEvent(at, DAMAGED_JOURNAL), memory.connection))
                memory.is_first_frame = True
                memory.connection = item.position  # the line may have been lost and back in there
                continue
            gaps += [(event, memory.connection) for event in _gap_events(item, memory)]
            if item.kind is RecordKind.CONNECTED:
                memory.connection = item.position
            elif item.kind is RecordKind.FRAME:
                frames.append(item)
                connections.append(memory.connection)
            memory.last_received_at = item.received_at
        arrivals, faults = self._arrivals(frames, connections)
        ticks = memory.observer.observe(arrivals)
        return Batch(
            start=start,
            end=items[-1].end if items else start,
            ticks=ticks,
            arrivals=memory.observer.arrivals,
            last_received_at=memory.last_received_at,
            is_stopped=memory.is_stopped,
            gaps=[
                event._replace(instruments=memory.observer.carried(connection))
                for event, connection in gaps
            ],
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
        for day in sessions.distinct_trading_dates(received_at // 1_000_000):
            rows = sessions.trading_dates(packet_received // 1_000_000) == day
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


def _match(
    tokens: NDArray[np.int64], known: pl.DataFrame
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the instrument of each token, -1 where it is unknown, and whether it is an index."""
    if known.is_empty():
        return np.full(len(tokens), -1, np.int64), np.zeros(len(tokens), bool)
    keys = known["token"].to_numpy()
    slots = np.minimum(np.searchsorted(keys, tokens), len(keys) - 1)
    found = keys[slots] == tokens
    instrument_id = np.where(found, known["instrument_id"].to_numpy()[slots], -1)
    return instrument_id, found & known["is_index"].to_numpy()[slots]


def _text(record: Record) -> str:
    """Read a payload as text that PostgreSQL takes."""
    return record.payload.decode(errors="replace").replace("\0", "\ufffd")


def _gap_events(record: Record, memory: Memory) -> list[GapEvent]:
    """Say whether a record begins or ends a time in which packets may have been missed."""
    events: list[GapEvent] = []
    since = memory.last_received_at
    match record.kind:
        case RecordKind.STARTED:
            if not memory.is_stopped and since is not None:
                events.append(GapEvent(since, "the process ended without notice"))
            memory.is_stopped = False
        case RecordKind.DISCONNECTED:
            cause = _text(record)
            events.append(GapEvent(since or record.received_at, cause))
        case RecordKind.STOPPED:
            memory.is_stopped = True
            reason = _text(record)
            if reason not in NOTHING_MISSED:
                events.append(GapEvent(since or record.received_at, reason))
        case RecordKind.CONNECTED:
            memory.is_first_frame = True
        case RecordKind.FRAME if memory.is_first_frame:
            memory.is_first_frame = False
            events.append(GapEvent(record.received_at, None))
    return events
