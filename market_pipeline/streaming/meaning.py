"""What a stretch of the journal means: ticks, gaps and what could not be understood. Pure."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from market_pipeline import sessions
from market_pipeline.brokers.decoding import Decoder
from market_pipeline.market import DAMAGED_JOURNAL, PACKET_COLUMNS, Decoded
from market_pipeline.storage.ticks import Batch, GapEvent, Rejected
from market_pipeline.streaming.observations import Arrivals, Observer
from market_pipeline.streaming.records import Damage, Record, RecordKind

SESSION_CLOSED = "session closed"
NOT_WANTED = "not wanted"
NOTHING_MISSED = {SESSION_CLOSED, NOT_WANTED}
"""The reasons of a STOPPED record after which there is nothing to be missed."""

_WITH_DECODER = b"MPD1"
"""Begins a state in which a decoder's stands before the observer's, which is Arrow."""

_LENGTH = struct.Struct(">I")
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()


class Tokens(Protocol):
    def on(self, day: date) -> pl.DataFrame:
        """Return columns token (sorted), instrument_id and is_index, valid that day."""


@dataclass
class Memory:
    """All that one record's meaning may depend on."""

    decoder: Decoder
    observer: Observer
    connection: int = -1
    last_received_at: int | None = None
    is_stopped: bool = True
    is_first_frame: bool = True
    blind_since: int | None = None
    """The end of damage after which frames cannot be understood until a new connection begins."""

    def copy(self) -> "Memory":
        return Memory(
            self.decoder.copy(),
            self.observer.copy(),
            self.connection,
            self.last_received_at,
            self.is_stopped,
            self.is_first_frame,
            self.blind_since,
        )

    def dump(self) -> bytes:
        """Write down what is known of packets and instruments; see load."""
        decoder, observer = self.decoder.state(), self.observer.dump()
        if not decoder:
            return observer
        return _WITH_DECODER + _LENGTH.pack(len(decoder)) + decoder + observer

    def load(self, state: bytes | None, arrivals: int) -> None:
        """Read what dump has written; None forgets everything of the instruments."""
        if state is not None and state.startswith(_WITH_DECODER):
            begin = len(_WITH_DECODER) + _LENGTH.size
            (length,) = _LENGTH.unpack_from(state, len(_WITH_DECODER))
            self.decoder.load(state[begin : begin + length])
            state = state[begin + length :]
        self.observer.load(state, arrivals)


class Interpreter:
    """Works out what records mean, given how a broker's tokens are named."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    def batch(self, start: int, items: Sequence[Record | Damage], memory: Memory) -> Batch:
        """Work out what these items mean, carrying `memory` along."""
        frames: list[Record] = []
        connections: list[int] = []
        begins: list[int] = []  # the places among the frames at which connections begin
        gaps: list[tuple[GapEvent, int]] = []  # and the connection that it befell
        rejected: list[Rejected] = []
        for item in items:
            if isinstance(item, Damage):
                at = memory.last_received_at or 0
                rejected.append(Rejected(item.position, at, DAMAGED_JOURNAL, item.payload))
                gaps.append((GapEvent(at, DAMAGED_JOURNAL), memory.connection))
                memory.is_first_frame = not memory.decoder.remembers
                memory.connection = item.position  # the line may have been lost and back in there
                if memory.decoder.remembers:  # rather nothing than what may have changed since
                    begins.append(len(frames))
                    memory.blind_since = item.end
                continue
            gaps += [(event, memory.connection) for event in _gap_events(item, memory)]
            if item.kind is RecordKind.CONNECTED:
                memory.connection = item.position
                memory.blind_since = None
                begins.append(len(frames))
            elif item.kind is RecordKind.FRAME:
                frames.append(item)
                connections.append(memory.connection)
            memory.last_received_at = item.received_at
        decoded = _decoded([frame.payload for frame in frames], begins, memory.decoder)
        arrivals, faults = self._arrivals(decoded, frames, connections)
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
        self, decoded: Decoded, frames: list[Record], connections: list[int]
    ) -> tuple[Arrivals, list[Rejected]]:
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


def _decoded(frames: Sequence[bytes], begins: Sequence[int], decoder: Decoder) -> Decoded:
    """Decode frames, among which new connections begin at some places."""
    edges = [0, *begins, len(frames)]
    parts: list[Decoded] = []
    for number, (start, end) in enumerate(pairwise(edges)):
        if number:
            decoder.reset()
        if end > start or not parts:
            parts.append(_shifted(decoder.decode(frames[start:end]), start))
    if len(parts) == 1:
        return parts[0]
    return Decoded(
        {name: np.concatenate([part.packets[name] for part in parts]) for name in PACKET_COLUMNS},
        np.concatenate([part.frame for part in parts]),
        [fault for part in parts for fault in part.faults],
    )


def _shifted(part: Decoded, by: int) -> Decoded:
    """Count the frames of a part from the first of all."""
    if not by:
        return part
    faults = [fault._replace(frame=fault.frame + by) for fault in part.faults]
    return Decoded(part.packets, part.frame + by, faults)


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
