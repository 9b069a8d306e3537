"""When a rebuild refuses, and what it leaves alone."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from market_pipeline.brokers import kite_wire
from market_pipeline.errors import DatabaseError, JournalError, StreamTakenOver
from market_pipeline.storage.database import Database, run
from market_pipeline.storage.rebuild import Difference, Replacement
from market_pipeline.storage.ticks import Batch, TickStore
from market_pipeline.streaming import checkpoints, journal, writer
from market_pipeline.streaming.journal import Journal
from market_pipeline.streaming.records import RecordKind
from market_pipeline_tests.builders import Packet, Tick, fetch, frame, tick_columns
from market_pipeline_tests.journals import Line
from market_pipeline_tests.rebuilds import (
    at,
    doubling,
    mixing_up,
    ordered,
    rebuilt,
    receive,
    store,
    tables,
    without_indices,
)

LATE = -40 * 86_400
DROPPED_BEFORE = "UPDATE candle_progress SET ticks_dropped_before = %s"


@pytest.fixture(autouse=True)
def many_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep a checkpoint with every batch."""
    monkeypatch.setattr(writer, "_CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(checkpoints, "_SECONDS_BETWEEN", 0.0)


@pytest.fixture
def line(database: Database, tmp_path: Path) -> Iterator[Line]:
    opened = Line(database, tmp_path / "journal")
    opened.journal.close()
    opened.journal = Journal(opened.folder, 10**9, segment_bytes=20_000)
    yield opened
    opened.close()


@pytest.mark.needs_real_server("two sessions contend for a lock")
def test_a_running_stream_refuses(line: Line) -> None:
    receive(line)
    store(line)
    with psycopg.connect(line.database.url, cursor_factory=psycopg.RawCursor) as other:
        run(other, "take_stream_lease", stream="test-0")
        with pytest.raises(StreamTakenOver, match="test-0 is run by another process: stop it"):
            rebuilt(line)


def test_a_journal_that_does_not_reach_back_says_from_when_it_does(line: Line) -> None:
    receive(line)
    store(line, doubling)
    line.journal.forget(30_000, float("inf"))
    with pytest.raises(JournalError, match=r"from 2026-11-20T09:15:\d\d on") as caught:
        rebuilt(line)
    second = int(str(caught.value).split(":")[-1].removesuffix(" on"))
    outcome = rebuilt(line, ordered(line, second))
    assert outcome.start == checkpoints.marks(line.folder)[0].position
    assert outcome.difference.deleted == outcome.frames > 200


def test_a_broken_checkpoint_is_passed_over(line: Line, caplog: pytest.LogCaptureFixture) -> None:
    receive(line)
    store(line, doubling)
    start = rebuilt(line, ordered(line, 60, is_dry_run=True)).start
    (file,) = line.folder.glob(f"*{start}.checkpoint")
    file.write_bytes(file.read_bytes()[:-5])
    assert 0 < rebuilt(line, ordered(line, 60)).start < start
    assert "is broken and is passed over" in caplog.text


def test_a_stream_without_a_journal_is_refused(line: Line, tmp_path: Path) -> None:
    receive(line)
    store(line)
    line.folder = tmp_path / "elsewhere"
    with pytest.raises(JournalError, match="there is no journal of test-0"):
        rebuilt(line)


def test_a_time_after_all_that_is_stored_is_refused(line: Line) -> None:
    receive(line)
    store(line)
    with pytest.raises(JournalError, match="nothing is stored"):
        rebuilt(line, ordered(line, 1000))


def test_damage_that_was_none_when_it_was_stored_is_refused(line: Line) -> None:
    receive(line)
    store(line)
    before = tables(line.database)
    file = journal.segments(line.folder)[1][1]
    damaged = bytearray(file.read_bytes())
    damaged[5000] ^= 1
    file.write_bytes(damaged)
    with pytest.raises(JournalError, match=r"damaged at \d+: it can be rebuilt from 2026-11-20T"):
        rebuilt(line)
    assert tables(line.database) == before


def test_damage_that_was_met_when_it_was_stored_is_met_again(line: Line) -> None:
    receive(line)
    file = journal.segments(line.folder)[1][1]
    damaged = bytearray(file.read_bytes())
    damaged[5000] ^= 1
    file.write_bytes(damaged)
    store(line)
    before = tables(line.database)
    assert rebuilt(line).difference[2:] == (0, 0)
    assert tables(line.database) == before


def test_an_end_before_which_the_count_differs_is_refused(line: Line) -> None:
    receive(line)
    store(line, without_indices)
    with pytest.raises(JournalError, match="leave --to out"):
        rebuilt(line, ordered(line, 0, 60))


def test_days_whose_ticks_were_dropped_are_refused(line: Line) -> None:
    receive(line)
    store(line)
    fetch(line.database, DROPPED_BEFORE, at(1))
    with pytest.raises(DatabaseError, match="were dropped"):
        rebuilt(line)
    fetch(line.database, DROPPED_BEFORE, at(0))
    rebuilt(line)


def test_another_stream_that_received_in_the_same_microseconds_is_left_alone(line: Line) -> None:
    receive(line)
    store(line, doubling)
    foreign(line, [Tick(at=second, instrument=77, price=1) for second in range(5, 120)])
    rebuilt(line)
    assert fetch(line.database, "SELECT count(*) FROM ticks WHERE last_price = 1") == [(115,)]
    assert fetch(line.database, "SELECT count(*) FROM ticks WHERE last_price > 150") == [(0,)]


def test_ticks_that_cannot_be_told_from_another_streams_are_left_alone(line: Line) -> None:
    line.packets(*[Packet(volume=second, at=second) for second in range(5)])
    store(line, mixing_up)
    foreign(line, [Tick(instrument=77, price=1)])
    before = tables(line.database)
    with pytest.raises(DatabaseError, match="cannot be told"):
        rebuilt(line)
    assert tables(line.database) == before


def foreign(line: Line, ticks: list[Tick]) -> None:
    with closing(TickStore(line.database.url, "other-0", "run")) as store:
        store.open()
        store.commit(Batch(0, 1, len(ticks), tick_columns(ticks)))


def test_ticks_that_were_deleted_come_back(line: Line) -> None:
    receive(line)
    store(line)
    before = tables(line.database)
    fetch(line.database, "DELETE FROM ticks WHERE time > %s", at(50))
    assert rebuilt(line, decode=kite_wire.decode).difference.deleted == 0
    assert tables(line.database) == before


def test_a_tick_that_came_late_to_a_dropped_day_stays_as_it_was_stored(line: Line) -> None:
    dropped_before(line, LATE + 1)
    assert rebuilt(line).difference[2:] == (0, 0)
    assert fetch(line.database, "SELECT last_price FROM ticks") == [(200,)]


def test_a_tick_that_the_archive_of_a_dropped_day_has_does_not_come_back(line: Line) -> None:
    dropped_before(line, LATE + 1)
    fetch(line.database, "DELETE FROM ticks")
    assert rebuilt(line).difference.inserted == 0
    assert fetch(line.database, "SELECT count(*) FROM ticks") == [(0,)]


@pytest.mark.needs_real_server("a session commits while another's transaction is open")
def test_a_day_that_is_dropped_meanwhile_is_noticed(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    dropped_before(line, LATE - 1)
    compare = Replacement.compare

    def dropping(self: Replacement, first: int, count: int) -> Difference:
        fetch(line.database, DROPPED_BEFORE, at(LATE + 1))
        return compare(self, first, count)

    monkeypatch.setattr(Replacement, "compare", dropping)
    with pytest.raises(DatabaseError, match="dropped meanwhile: rebuild once more"):
        rebuilt(line)


def dropped_before(line: Line, second: float) -> None:
    """Have a tick stored wrongly that was traded at second LATE and came at 0."""
    line.say(RecordKind.CONNECTED)
    line.frames(frame(Packet(volume=5, at=LATE)))
    store(line, doubling)
    fetch(line.database, DROPPED_BEFORE, at(second))
