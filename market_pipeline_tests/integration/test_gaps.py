"""Every time in which packets may have been missed has a row that says so."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from market_pipeline.brokers import kite_wire
from market_pipeline.brokers.decoding import Stateless
from market_pipeline.storage.database import Database
from market_pipeline.storage.ticks import TickStore
from market_pipeline.streaming import journal, writer
from market_pipeline.streaming.journal import Journal
from market_pipeline.streaming.meaning import Source
from market_pipeline.streaming.outages import NOT_RUNNING, NOT_WANTED, SESSION_CLOSED
from market_pipeline.streaming.records import RecordKind
from market_pipeline.streaming.writer import Writer
from market_pipeline_tests.builders import OPEN, TCS, Known, Packet, fetch, frame
from market_pipeline_tests.journals import drain

Event = tuple[RecordKind, int, bytes]
Gap = tuple[int, int | None, str]


def started(at: int) -> Event:
    return RecordKind.STARTED, at, b"run"


def connected(at: int) -> Event:
    return RecordKind.CONNECTED, at, b""


def ticked(at: int) -> Event:
    return RecordKind.FRAME, at, frame(Packet(volume=100 + at, at=at))


def disconnected(at: int, cause: str = "line lost") -> Event:
    return RecordKind.DISCONNECTED, at, cause.encode()


def stopped(at: int, reason: str) -> Event:
    return RecordKind.STOPPED, at, reason.encode()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "journal"


def receive(folder: Path, *events: Event) -> None:
    with Journal(folder, 10**9) as opened:
        for kind, at, payload in events:
            opened.append(kind, payload, (OPEN + at) * 10**9)


def store(database: Database, folder: Path) -> None:
    ticks = TickStore(database.url, "test-0", "run")
    opened = Writer(ticks, folder, [Source(Stateless(kite_wire.decode), Known())])
    opened.open()
    drain(opened)
    opened.close()
    ticks.close()


def gaps(database: Database) -> list[Gap]:
    query = "SELECT started_at, ended_at, cause FROM gaps ORDER BY started_at"
    return [
        (int(begin.timestamp()) - OPEN, end and int(end.timestamp()) - OPEN, cause)
        for begin, end, cause in fetch(database, query)
    ]


def gaps_of(database: Database, folder: Path, *events: Event) -> list[Gap]:
    receive(folder, *events)
    store(database, folder)
    return gaps(database)


def test_an_undisturbed_stream_has_no_gap(database: Database, folder: Path) -> None:
    assert gaps_of(database, folder, started(0), connected(1), ticked(2), ticked(3)) == []


def test_a_lost_line_is_a_gap_from_the_last_frame_to_the_next(
    database: Database, folder: Path
) -> None:
    events = started(0), connected(0), ticked(1), disconnected(9), connected(11), ticked(12)
    assert gaps_of(database, folder, *events) == [(1, 12, "line lost")]


def test_a_gap_lasts_until_a_frame_arrives(database: Database, folder: Path) -> None:
    before = started(0), connected(0), ticked(1), disconnected(5)
    assert gaps_of(database, folder, *before, connected(6)) == [(1, None, "line lost")]
    assert gaps_of(database, folder, disconnected(7), connected(8)) == [(1, None, "line lost")]
    assert gaps_of(database, folder, ticked(9)) == [(1, 9, "line lost")]


def test_the_death_of_a_process_is_a_gap_from_the_last_record(
    database: Database, folder: Path
) -> None:
    before = started(0), connected(0), ticked(4)
    after = started(30), connected(31), ticked(32)
    assert gaps_of(database, folder, *before, *after) == [
        (4, 32, "the process ended without notice")
    ]


@pytest.mark.parametrize("checkpoint_seconds", [0, 1000])
def test_the_death_of_a_process_is_a_gap_also_when_all_was_stored(
    database: Database, folder: Path, monkeypatch: pytest.MonkeyPatch, checkpoint_seconds: float
) -> None:
    monkeypatch.setattr(writer, "_CHECKPOINT_SECONDS", checkpoint_seconds)
    assert gaps_of(database, folder, started(0), connected(0), ticked(4)) == []
    assert gaps_of(database, folder, started(30), connected(31), ticked(32)) == [
        (4, 32, "the process ended without notice")
    ]


def test_a_stop_is_a_gap_that_says_why(database: Database, folder: Path) -> None:
    before = started(0), connected(0), ticked(4), stopped(6, "asked to stop")
    assert gaps_of(database, folder, *before) == [(4, None, "asked to stop")]
    assert gaps_of(database, folder, started(30), connected(31), ticked(32)) == [
        (4, 32, "asked to stop")
    ]


def test_nothing_is_missed_while_the_session_is_closed(database: Database, folder: Path) -> None:
    before = started(0), connected(0), ticked(4), stopped(6, SESSION_CLOSED)
    assert gaps_of(database, folder, *before, started(99), connected(99), ticked(99)) == []


@pytest.mark.parametrize("reason", [SESSION_CLOSED, NOT_WANTED])
def test_who_begins_while_there_is_trading_has_missed_what_was_since_the_end(
    database: Database, folder: Path, reason: str
) -> None:
    before = started(0), connected(0), ticked(4), stopped(6, reason)
    late = disconnected(98, NOT_RUNNING), started(99), connected(99), ticked(99)
    assert gaps_of(database, folder, *before, *late) == [(6, 99, NOT_RUNNING)]


def test_the_first_start_of_all_has_missed_nothing(database: Database, folder: Path) -> None:
    first = disconnected(0, NOT_RUNNING), started(0), connected(1), ticked(2)
    assert gaps_of(database, folder, *first) == []


def test_a_late_start_after_a_death_says_that_the_process_died(
    database: Database, folder: Path
) -> None:
    before = started(0), connected(0), ticked(4)
    late = disconnected(8, NOT_RUNNING), started(9), connected(9), ticked(9)
    assert gaps_of(database, folder, *before, *late) == [(4, 9, "the process ended without notice")]


def test_a_line_that_was_not_there_since_the_start_is_a_gap_from_then_on(
    database: Database, folder: Path
) -> None:
    yesterday = started(0), connected(0), ticked(4), stopped(6, SESSION_CLOSED)
    assert gaps_of(database, folder, *yesterday, started(20), disconnected(35, "no login")) == [
        (20, None, "no login")
    ]
    assert gaps_of(database, folder, connected(40), ticked(41)) == [(20, 41, "no login")]


def test_a_damaged_journal_is_a_gap(database: Database, folder: Path) -> None:
    receive(folder, started(0), connected(0), ticked(1), ticked(2), ticked(3))
    ((_, file),) = journal.segments(folder)
    data = bytearray(file.read_bytes())
    data[-300] ^= 1  # in the last but one
    file.write_bytes(data)
    store(database, folder)
    assert gaps(database) == [(1, 3, "damaged journal")]
    assert fetch(database, "SELECT reason, length(payload) FROM rejected") == [
        ("damaged journal", 213)
    ]


def test_a_connection_after_damage_counts_as_a_new_one(database: Database, folder: Path) -> None:
    index = [frame(Packet(token=256265, at=at)) for at in (1, 1, 1)]
    first, lost, again = ((RecordKind.FRAME, at, f) for at, f in enumerate(index))
    receive(folder, connected(0), first, lost, again)
    ((_, file),) = journal.segments(folder)
    data = bytearray(file.read_bytes())
    data[-90] ^= 1  # in the last but one
    file.write_bytes(data)
    store(database, folder)
    assert fetch(database, "SELECT is_trade FROM ticks ORDER BY seq") == [(False,), (False,)]


def test_a_cause_with_a_zero_byte_is_still_a_gap(database: Database, folder: Path) -> None:
    events = started(0), connected(0), ticked(1), (RecordKind.DISCONNECTED, 2, b"\0lost")
    assert gaps_of(database, folder, *events) == [(1, None, "\ufffdlost")]


def test_a_gap_names_the_instruments_that_the_connection_carried(
    database: Database, folder: Path
) -> None:
    both = RecordKind.FRAME, 1, frame(Packet(volume=1, at=1), Packet(token=TCS, volume=1, at=1))
    one = RecordKind.FRAME, 12, frame(Packet(volume=2, at=12))
    events = started(0), connected(0), both, disconnected(9), connected(11), one
    receive(folder, *events, disconnected(20))
    store(database, folder)
    carried = fetch(database, "SELECT instruments FROM gaps ORDER BY started_at")
    assert carried == [([1, 2],), ([1],)]
