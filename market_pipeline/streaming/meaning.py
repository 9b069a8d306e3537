"""What a stretch of the journal means: ticks, gaps and what could not be understood. Pure."""

from collections.abc import Iterator, Sequence
from datetime import date
from itertools import pairwise
from typing import NamedTuple, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from market_pipeline import sessions
from market_pipeline.brokers.decoding import Decoder
from market_pipeline.market import PACKET_COLUMNS, Columns, Decoded, empty_ticks
from market_pipeline.storage.ticks import Batch, GapEvent, Rejected
from market_pipeline.streaming import grouped
from market_pipeline.streaming.arrivals import Arrivals
from market_pipeline.streaming.memory import Memory
from market_pipeline.streaming.outages import COUNTS, HELD, OVERLAP_SECONDS, Reading
from market_pipeline.streaming.records import Damage, Record

_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()


class Tokens(Protocol):
    def on(self, day: date) -> pl.DataFrame:
        """Return columns token (sorted), instrument_id and is_index, valid that day."""


class Source(NamedTuple):
    """How the frames of one broker are read, and what its tokens mean."""

    decoder: Decoder
    tokens: Tokens


class _Part(NamedTuple):
    ticks: Columns
    standby: Columns
    gaps: list[GapEvent]
    rejected: list[Rejected]


class Interpreter:
    """Works out what records mean, given how each broker's tokens are named."""

    def __init__(self, tokens: Sequence[Tokens]) -> None:
        self._tokens = tokens

    def batch(self, start: int, items: Sequence[Record | Damage], memory: Memory) -> Batch:
        """Work out what these items mean, carrying `memory` along.

        Raises:
            JournalError: one is of a feed that is not listened to.
        """
        parts = [self._part(reading, memory) for reading in _readings(items, memory)]
        return Batch(
            start=start,
            end=items[-1].end if items else start,
            ticks=_joined([part.ticks for part in parts]),
            standby=_joined([part.standby for part in parts]),
            arrivals=memory.observer.arrivals,
            last_received_at=memory.last_received_at,
            is_stopped=memory.is_stopped,
            gaps=[gap for part in parts for gap in part.gaps],
            rejected=[each for part in parts for each in part.rejected],
        )

    def _part(self, reading: Reading, memory: Memory) -> "_Part":
        again = [memory.observer.observe(each) for each in _retold(reading, memory)]
        arrivals, fates, faults = self._arrivals(reading, memory)
        ticks, standby = _observed(arrivals, fates, memory)
        ticks = _joined([*again, ticks])
        return _Part(ticks, standby, reading.gap_events(), reading.rejected + faults)

    def _arrivals(
        self, reading: Reading, memory: Memory
    ) -> tuple[Arrivals, NDArray[np.int64], list[Rejected]]:
        """Return the packets in order of arrival, what becomes of each, and what is no packet.

        Those that were held before come first.
        """
        fates = np.array(reading.fates, np.int64)
        parts, own, rejected = [], [], []
        for place, feed in enumerate(memory.feeds):
            chosen = [row for row, frame in enumerate(reading.frames) if frame.feed == place]
            payloads = [reading.frames[row].payload for row in chosen]
            decoded = _decoded(payloads, reading.begins[place], feed.decoder)
            frames = _Frames(reading, np.array(chosen, np.int64), place)
            arrivals, rows, faults = frames.arrivals(decoded, self._tokens[place])
            parts.append(arrivals)
            own.append(rows)
            rejected += faults
        arrivals, rows = Arrivals.joined(parts), np.concatenate(own)
        if len(memory.feeds) > 1:
            order = np.argsort(rows, kind="stable")
            arrivals, rows = arrivals.taken(order), rows[order]
        if memory.held is not None:
            held = np.full(len(memory.held), reading.fate_of_held, np.int64)
            arrivals = Arrivals.joined([memory.held, arrivals])
            return arrivals, np.concatenate([held, fates[rows]]), rejected
        return arrivals, fates[rows], rejected


def _readings(items: Sequence[Record | Damage], memory: Memory) -> Iterator[Reading]:
    """Read items in stretches of which each can be understood by what was seen before it."""
    reading = Reading(memory)
    for item in items:
        reading.take(item)
        if reading.ends:
            yield reading
            reading = Reading(memory, retells=reading.takes_over)
    yield reading


def _joined(parts: Sequence[Columns]) -> Columns:
    """Return the rows of all parts, sorted by instrument and then by arrival."""
    if len(parts) == 1:
        return parts[0]
    whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    order = grouped.stable_order(whole["instrument_id"])
    return {name: column[order] for name, column in whole.items()}


class _Frames:
    """The frames of one feed among those of a batch."""

    def __init__(self, reading: Reading, chosen: NDArray[np.int64], place: int) -> None:
        self._frames = [reading.frames[row] for row in chosen.tolist()]
        self._connections = np.array(reading.connections, np.int64)[chosen]
        self._chosen, self._place = chosen, place

    def arrivals(
        self, decoded: Decoded, tokens: Tokens
    ) -> tuple[Arrivals, NDArray[np.int64], list[Rejected]]:
        """Return the packets of known instruments, the frame of each, and what was not understood.

        Frames are counted among those of all feeds.
        """
        frames = self._frames
        received_at = np.array([frame.received_at for frame in frames], np.int64) // 1000
        names = decoded.packets["token"]
        instrument_id = np.full(len(names), -1, np.int64)
        is_index = np.zeros(len(names), bool)
        packet_received = received_at[decoded.frame]
        for day in sessions.distinct_trading_dates(received_at // 1_000_000):
            rows = sessions.trading_dates(packet_received // 1_000_000) == day
            known = tokens.on(date.fromordinal(_EPOCH_ORDINAL + day))
            instrument_id[rows], is_index[rows] = _match(names[rows], known)
        rejected = [
            Rejected(frames[f.frame].position, frames[f.frame].received_at, f.reason, f.payload)
            for f in decoded.faults
        ]
        unknown = instrument_id < 0
        for index in np.unique(decoded.frame[unknown]).tolist():
            strange = np.unique(names[unknown & (decoded.frame == index)]).tolist()
            reason = f"unknown tokens {', '.join(map(str, strange[:5]))}"
            frame = frames[index]
            rejected.append(Rejected(frame.position, frame.received_at, reason, frame.payload))
        arrivals = Arrivals(
            packets=decoded.packets,
            instrument_id=instrument_id,
            is_index=is_index,
            received_at=packet_received,
            connection=self._connections[decoded.frame],
            feed=np.full(len(names), self._place, np.int16),
        )
        if unknown.any():
            arrivals = arrivals.taken(~unknown)
        return arrivals, self._chosen[decoded.frame[~unknown]], rejected


def _observed(
    arrivals: Arrivals, fates: NDArray[np.int64], memory: Memory
) -> tuple[Columns, Columns]:
    """Return the ticks, and what the feed that stands by has sent; hold what is not decided."""
    if len(memory.feeds) == 1 and memory.held is None:
        return memory.observer.observe(arrivals), empty_ticks()
    is_held = fates == HELD
    memory.held = arrivals.taken(is_held) if is_held.any() else None
    arrivals, fates = arrivals.taken(~is_held), fates[~is_held]
    stands_by = (fates != COUNTS) & (memory.observer.own_connections(arrivals) >= fates)
    ticks = memory.observer.observe(arrivals.taken(~stands_by))
    of_standby = arrivals.feed > 0
    shown = arrivals.taken(of_standby)
    recent = [] if memory.recent is None else [memory.recent]
    memory.recent = _newest(Arrivals.joined([*recent, shown]))
    seen = memory.shadow.observe(shown)
    kept = stands_by[of_standby][grouped.stable_order(shown.instrument_id)]
    return ticks, {name: column[kept] for name, column in seen.items()}


def _newest(shown: Arrivals) -> Arrivals:
    """Return what came last, as long as one feed may be behind the other."""
    last = shown.received_at.max(initial=0)
    return shown.taken(shown.received_at > last - OVERLAP_SECONDS * 1e6)


def _retold(reading: Reading, memory: Memory) -> list[Arrivals]:
    """Return what stood by and says more than has become of it: the preferred feed died behind."""
    recent = memory.recent
    if not reading.retells or recent is None:
        return []
    memory.recent = None
    since = memory.feeds[0].told_at // 1000 - OVERLAP_SECONDS * 1e6
    return [recent.taken((recent.received_at > since) & memory.observer.lacks(recent))]


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
