"""For tests of rebuilding: decoders with a fault, and streams that were stored with one."""

import shutil
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from market_pipeline.brokers import kite_wire
from market_pipeline.brokers.decoding import Stateless
from market_pipeline.market import Decoded, Fault
from market_pipeline.storage.database import Database
from market_pipeline.storage.ticks import TickStore
from market_pipeline.streaming.meaning import Source
from market_pipeline.streaming.rebuild import Order, Outcome, rebuild
from market_pipeline.streaming.records import RecordKind
from market_pipeline.streaming.writer import Writer
from market_pipeline_tests.builders import INFY, NIFTY, OPEN, TCS, Known, Packet, fetch, frame
from market_pipeline_tests.journals import Line, drain

Decode = Callable[[Sequence[bytes]], Decoded]


def doubling(frames: Sequence[bytes]) -> Decoded:
    decoded = kite_wire.decode(frames)
    for name in ("last_price", "day_high", "day_low"):
        decoded.packets[name] = decoded.packets[name] * 2
    return decoded


def without_indices(frames: Sequence[bytes]) -> Decoded:
    decoded = kite_wire.decode(frames)
    rows = decoded.packets["token"] != NIFTY
    packets = {name: column[rows] for name, column in decoded.packets.items()}
    return Decoded(packets, decoded.frame[rows], decoded.faults)


def rejecting(frames: Sequence[bytes]) -> Decoded:
    """Understand no frame of an index."""
    decoded = without_indices(frames)
    faults = [
        Fault(number, "what is this?", payload)
        for number, payload in enumerate(frames)
        if kite_wire.decode([payload]).packets["token"].tolist() == [NIFTY]
    ]
    return Decoded(decoded.packets, decoded.frame, faults)


def stamping_late(frames: Sequence[bytes]) -> Decoded:
    """Take the exchange's clock for two hours fast."""
    decoded = kite_wire.decode(frames)
    for name in ("last_trade_time", "exchange_time"):
        stamps = decoded.packets[name]
        decoded.packets[name] = (stamps > 0) * 7200 + stamps
    return decoded


def mixing_up(frames: Sequence[bytes]) -> Decoded:
    """Take one instrument for another."""
    decoded = kite_wire.decode(frames)
    tokens = decoded.packets["token"]
    tokens[tokens == INFY] = TCS
    return decoded


FAULTS = [doubling, without_indices, rejecting, stamping_late, mixing_up]


def receive(line: Line, seconds: int = 120, first: int = 0, connect: bool = True) -> None:
    """Receive a packet of each of three instruments each second, with trades in most."""
    if connect:
        line.say(RecordKind.CONNECTED, at=first)
    for at in range(first, first + seconds):
        for token in (INFY, TCS, NIFTY):
            packet = Packet(token=token, price=100 + at % 7, volume=10 + at // 2, at=at)
            line.frames(frame(packet), at=at)


def store(
    line: Line,
    decode: Decode = kite_wire.decode,
    batch_bytes: int = 4000,
    stream: str = "test-0",
) -> None:
    """Store what the journal holds, with a decoder."""
    ticks = TickStore(line.database.url, stream, "run")
    writer = Writer(ticks, line.folder, [Source(Stateless(decode), Known())], batch_bytes)
    with closing(ticks), closing(writer):
        writer.open()
        drain(writer)
        writer.checkpoint()


def ordered(line: Line, since: float = 0, until: float | None = None, **rest: Any) -> Order:
    return Order("test-0", line.folder, at(since), None if until is None else at(until), **rest)


def at(second: float) -> datetime:
    return datetime.fromtimestamp(OPEN + second, UTC)


def rebuilt(line: Line, order: Order | None = None, decode: Decode = kite_wire.decode) -> Outcome:
    sources = [Source(Stateless(decode), Known())]
    return rebuild(line.database.url, order or ordered(line), sources)


def stored_rightly(line: Line, database: Database, folder: Path) -> Database:
    """Store a copy of the journal in a database of its own, with a decoder that has no fault."""
    shutil.copytree(line.folder, folder)
    with closing(Line(database, folder)) as other:
        store(other)
    return database


def tables(database: Database) -> tuple[list[Any], ...]:
    """Return what a rebuild may change and a run with the right decoder makes the same."""
    return (
        fetch(database, "SELECT * FROM ticks ORDER BY instrument_id, seq, received_at"),
        fetch(database, "SELECT * FROM rejected ORDER BY position, reason"),
        fetch(database, "SELECT stream, position, arrivals FROM journal_positions ORDER BY 1"),
    )
