"""However frames are divided into batches and runs, the same rows are stored."""

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from market_pipeline.market import Mode
from market_pipeline.storage.database import Database
from market_pipeline.streaming.journal import Journal
from market_pipeline.streaming.records import HEADER_BYTES, RecordKind
from market_pipeline_tests.builders import DAY, INFY, NIFTY, TCS, Packet, fetch, frame
from market_pipeline_tests.journals import GIGABYTE, Line, drain, segment

ROWS = """
    SELECT instrument_id, seq, volume, is_trade, high, low, exchange_time, day_volume
    FROM ticks ORDER BY 1, 2
"""
EMPTY = "TRUNCATE ticks, journal_positions, gaps, rejected, candle_invalidations"
NEVER = float("inf")

PACKET = st.builds(
    Packet,
    price=st.sampled_from([99.0, 100.0, 101.0]),
    volume=st.integers(0, 8).map(lambda volume: volume * 10),
    at=st.sampled_from([0, 0, 0, 0, -1, -5, -DAY]),  # after the record's own time
    traded_at=st.sampled_from([None, None, -2, 0, 3]),
    quantity=st.sampled_from([0, 10, 20]),
    high=st.sampled_from([None, 101.0, 105.0]),
    low=st.sampled_from([None, 0.0, 95.0]),
    token=st.sampled_from([INFY, INFY, TCS, NIFTY]),
)
MODE = st.sampled_from([Mode.FULL, Mode.FULL, Mode.FULL, Mode.QUOTE, Mode.LTP])


@dataclass(frozen=True)
class Event:
    """What arrives: packets of one mode in a frame, or a line that is found again."""

    mode: Mode
    packets: list[Packet]
    seconds: int  # since the event before
    is_reconnected: bool


@dataclass(frozen=True)
class Decision:
    """How a writer goes on."""

    records: int  # that arrive meanwhile
    steps: int
    batch_bytes: int
    is_restarted: bool
    is_checkpointed: bool


EVENTS = st.lists(
    st.builds(
        Event,
        mode=MODE,
        packets=st.lists(PACKET, min_size=1, max_size=3),
        seconds=st.sampled_from([0, 1, 1, 1, 1, 1, 2, DAY]),
        is_reconnected=st.sampled_from([False] * 7 + [True]),
    ),
    min_size=15,
    max_size=60,
)
DECISIONS = st.lists(
    st.builds(
        Decision,
        records=st.integers(0, 20),
        steps=st.integers(0, 3),
        batch_bytes=st.sampled_from([1, 150, 600, 2000]),
        is_restarted=st.booleans(),
        is_checkpointed=st.booleans(),
    ),
    min_size=2,
    max_size=12,
)
Said = tuple[RecordKind, bytes, int]


def said(events: list[Event]) -> list[Said]:
    """Lay events out as what a journal is told."""
    made: list[Said] = [(RecordKind.STARTED, b"run", 0), (RecordKind.CONNECTED, b"", 0)]
    now = 0
    for event in events:
        now += event.seconds
        if event.is_reconnected:
            made += [(RecordKind.DISCONNECTED, b"lost", now), (RecordKind.CONNECTED, b"", now)]
        packets = [replace(p, at=p.at + now, mode=event.mode) for p in event.packets]
        traded = [None if p.traded_at is None else p.traded_at + now for p in packets]
        packets = [replace(p, traded_at=t) for p, t in zip(packets, traded, strict=True)]
        made.append((RecordKind.FRAME, frame(*packets), now))
    return made


@contextmanager
def empty_line(database: Database) -> Iterator[Line]:
    """A line that stores in a database in which no tick is left of the last example."""
    fetch(database, EMPTY)
    with TemporaryDirectory() as folder, closing(Line(database, Path(folder) / "journal")) as line:
        yield line


def receive(line: Line, records: list[Said]) -> None:
    for kind, payload, at in records:
        line.say(kind, payload, at)


def rows(line: Line) -> list[tuple[Any, ...]]:
    return fetch(line.database, ROWS)


def stored_at_once(database: Database, records: list[Said]) -> list[tuple[Any, ...]]:
    with empty_line(database) as line:
        receive(line, records)
        line.store()
        return rows(line)


def store_bit_by_bit(line: Line, records: list[Said], decisions: list[Decision]) -> None:
    opened = line.writer("first", decisions[0].batch_bytes)
    for number, decision in enumerate(decisions):
        receive(line, records[: decision.records])
        records = records[decision.records :]
        if decision.is_restarted:
            opened = line.writer(f"run-{number}", decision.batch_bytes)
        # A batch stores a checkpoint where one is due, and the next is due much later.
        opened._checkpoint_due = 0.0 if decision.is_checkpointed else NEVER
        for _ in range(decision.steps):
            opened.step()
    receive(line, records)
    drain(opened)


@settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # each example empties it
)
@given(events=EVENTS, decisions=DECISIONS)
def test_any_batches_and_restarts_store_the_rows_of_a_single_batch(
    database: Database, events: list[Event], decisions: list[Decision]
) -> None:
    records = said(events)
    expected = stored_at_once(database, records)
    with empty_line(database) as line:
        store_bit_by_bit(line, records, decisions)
        assert rows(line) == expected


def test_a_record_torn_at_every_byte_is_neither_stored_nor_in_the_way(database: Database) -> None:
    kept, torn, later = (frame(Packet(volume=n, at=n)) for n in (10, 20, 30))
    short = frame(Packet(mode=Mode.LTP, at=2))
    expected = stored_at_once(database, [(RecordKind.FRAME, kept, 1), (RecordKind.FRAME, later, 3)])
    for payload, step in ((short, 1), (torn, 10)):
        for left in range(0, HEADER_BYTES + len(payload), step):
            with empty_line(database) as line:
                line.frames(kept, at=1)
                line.store()
                tear_last(line, payload, left)
                line.frames(later, at=3)
                line.store("next")
                assert rows(line) == expected, f"{left} bytes of {len(payload)} are left"
                assert fetch(database, "SELECT * FROM rejected") == []


def tear_last(line: Line, payload: bytes, left: int) -> None:
    """Append a frame, leave the first bytes of its record and open the journal again."""
    end = line.journal.end
    line.frames(payload, at=2)
    line.journal.close()
    os.truncate(segment(line.folder), end + left)
    line.journal = Journal(line.folder, GIGABYTE)
