"""What the journal holds is in the database exactly once, whatever happens to either."""

import random
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from market_pipeline.brokers import kite_wire
from market_pipeline.errors import DatabaseError, DatabaseUnavailable, StreamTakenOver
from market_pipeline.storage.database import Database
from market_pipeline.storage.ticks import TickStore
from market_pipeline.streaming import journal, writer
from market_pipeline.streaming.journal import Journal
from market_pipeline.streaming.records import RecordKind
from market_pipeline_tests.builders import (
    NIFTY,
    TCS,
    TODAY,
    Packet,
    fetch,
    frame,
    outage,
)
from market_pipeline_tests.journals import Line, drain, ticks
from market_pipeline_tests.journals import line as line


def count(line: Line) -> int:
    return len(ticks(line))


def rejected(line: Line) -> list[tuple[str, bytes]]:
    return [
        (str(reason), bytes(payload))
        for reason, payload in fetch(
            line.database, "SELECT reason, payload FROM rejected ORDER BY position"
        )
    ]


def test_frames_become_rows_once(line: Line) -> None:
    line.say(RecordKind.CONNECTED)
    line.packets(Packet(volume=50), Packet(volume=60, at=1), Packet(token=NIFTY, at=1))
    opened = line.store()
    assert not opened.step()
    assert [row[2] for row in ticks(line)] == [None, 10, None]
    assert (opened.progress.ticks, opened.progress.position) == (3, line.journal.end)


def test_texts_and_heartbeats_are_no_ticks(line: Line) -> None:
    line.say(RecordKind.TEXT, b'{"type": "order"}')
    line.frames(kite_wire.HEARTBEAT)
    line.store()
    assert (count(line), rejected(line)) == (0, [])


def test_a_run_that_was_replaced_stores_nothing_more(line: Line) -> None:
    first = line.writer("first")
    line.say(RecordKind.CONNECTED)
    line.packets(Packet(volume=50))
    second = line.writer("second")
    with pytest.raises(StreamTakenOver):
        first.step()
    assert count(line) == 0
    assert second.step()
    assert count(line) == 1


def test_a_frame_cut_short_keeps_its_whole_packets(line: Line) -> None:
    cut = frame(Packet(volume=50), Packet(token=TCS))[:-1]
    line.frames(cut, frame(Packet(volume=60, at=1)))
    line.store()
    assert rejected(line) == [("cut short: 1 of 2 packets are whole", cut)]
    assert count(line) == 2


def test_a_packet_of_unknown_length_is_set_aside(line: Line) -> None:
    line.frames(b"\0\1\0\3abc", frame(Packet()))
    opened = line.store()
    assert rejected(line) == [("a packet of 3 bytes", b"abc")]
    assert (count(line), opened.progress.faults) == (1, 1)


def test_a_frame_with_an_unknown_token_is_kept_and_the_others_in_it_are_stored(
    line: Line,
) -> None:
    mixed = frame(Packet(volume=50), Packet(token=257))
    line.frames(mixed)
    line.store()
    assert rejected(line) == [("unknown tokens 257", mixed)]
    assert [row[0] for row in ticks(line)] == [1]


@pytest.fixture
def refusing(line: Line) -> Line:
    """A database that takes no price above a thousand."""
    line.database.execute("ensure_tick_day", day=TODAY)
    fetch(line.database, "ALTER TABLE ticks ADD CHECK (last_price < 1000)")
    line.say(RecordKind.CONNECTED)
    return line


def test_a_record_that_the_database_refuses_is_set_aside(refusing: Line) -> None:
    bad = frame(Packet(price=2000, volume=55, at=5))
    refusing.packets(*[Packet(volume=50 + at, at=at) for at in range(5)])
    refusing.frames(bad, at=5)
    refusing.packets(*[Packet(volume=56 + at, at=6 + at) for at in range(5)])
    opened = refusing.store()
    assert [row[2] for row in ticks(refusing)][1:] == [1, 1, 1, 1, 2, 1, 1, 1, 1]
    ((reason, payload),) = rejected(refusing)
    assert payload == bad and "violates check constraint" in reason
    assert opened.progress.position == refusing.journal.end


def test_a_database_that_is_not_as_it_must_be_sets_nothing_aside(line: Line) -> None:
    line.packets(Packet(volume=50))
    fetch(line.database, "ALTER TABLE candle_progress RENAME TO elsewhere")
    with pytest.raises(DatabaseError, match="candle_progress"):
        line.store()
    fetch(line.database, "ALTER TABLE elsewhere RENAME TO candle_progress")
    line.store("later")
    assert (count(line), rejected(line)) == (1, [])


def test_a_restart_does_not_count_what_was_refused(refusing: Line) -> None:
    refusing.packets(Packet(volume=50), Packet(price=2000, volume=70, at=1))
    refusing.store("first")
    refusing.packets(Packet(volume=71, at=2))
    refusing.store("second")
    assert [row[2] for row in ticks(refusing)] == [None, 21]


def test_an_outage_while_setting_aside_stores_nothing_twice(
    refusing: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    prices = [100.0, 2000.0, 100.0, 2000.0, 100.0, 100.0]
    refusing.packets(*[Packet(price=p, volume=n, at=n) for n, p in enumerate(prices)])
    opened = refusing.writer()
    commit, chance = TickStore.commit, random.Random(2)

    def interrupted(store: TickStore, batch: Any) -> None:
        if chance.random() < 0.4:
            raise DatabaseUnavailable
        commit(store, batch)

    monkeypatch.setattr(TickStore, "commit", interrupted)
    while opened.progress.position < refusing.journal.end:
        with suppress(DatabaseUnavailable):
            opened.step()
    assert count(refusing) == 4
    assert len(rejected(refusing)) == 2


def test_a_commit_notifies_those_who_listen(line: Line) -> None:
    with psycopg.connect(line.database.url, autocommit=True) as listener:
        listener.execute("LISTEN ticks")
        line.packets(Packet(), Packet(at=1))
        line.store()
        (notification,) = listener.notifies(timeout=10, stop_after=1)
    assert notification.payload == '{"stream" : "test-0", "arrivals" : 2}'


@pytest.fixture
def half_checkpointed(line: Line, monkeypatch: pytest.MonkeyPatch) -> Line:
    """A stream with a checkpoint after the first of two packets that are stored."""
    line.say(RecordKind.CONNECTED)
    for volume, seconds in ((50, 0), (60, 1000)):
        line.packets(Packet(volume=volume))
        monkeypatch.setattr(writer, "_CHECKPOINT_SECONDS", seconds)
        line.store(f"run {volume}")
    return line


def test_a_lost_journal_makes_the_next_volume_unknown(
    half_checkpointed: Line, tmp_path: Path
) -> None:
    with closing(Line(half_checkpointed.database, tmp_path / "elsewhere")) as other:
        for number, volume in enumerate((90, 95, 99), 1):
            opened = other.writer(f"run {number}")
            other.journal.skip_to(opened.progress.position)
            other.packets(Packet(volume=volume, at=number))
            drain(opened)
    assert [row[2] for row in ticks(half_checkpointed)] == [None, 10, None, 5, 4]


def test_damage_in_what_was_stored_makes_the_next_volume_unknown(half_checkpointed: Line) -> None:
    ((_, file),) = journal.segments(half_checkpointed.folder)
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    half_checkpointed.packets(Packet(volume=90, at=2), Packet(volume=95, at=3))
    half_checkpointed.store("later")
    assert [row[2] for row in ticks(half_checkpointed)] == [None, 10, None, 5]


def test_damage_in_what_was_not_stored_leaves_the_volume_known(half_checkpointed: Line) -> None:
    half_checkpointed.packets(Packet(volume=70, at=2))
    ((_, file),) = journal.segments(half_checkpointed.folder)
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    for number, volume in enumerate((90, 95), 3):
        half_checkpointed.packets(Packet(volume=volume, at=number))
        half_checkpointed.store(f"run {number}")
    assert [row[2] for row in ticks(half_checkpointed)] == [None, 10, 30, 5]


def test_a_stretch_that_was_forgotten_is_reported(line: Line) -> None:
    line.packets(Packet(volume=50))
    line.journal.close()
    line.journal = Journal(line.folder, 10**9, segment_bytes=10)
    line.packets(Packet(volume=60, at=1), Packet(volume=70, at=2))
    journal.segments(line.folder)[0][1].unlink()
    line.store()
    assert [reason for reason, _ in rejected(line)] == ["damaged journal"]
    assert count(line) == 1


@pytest.mark.needs_real_server("it ends the connections of others")
def test_a_database_that_may_only_be_read_is_waited_for(line: Line) -> None:
    opened = line.writer()
    line.packets(Packet())
    set_read_only(line.database, "on")
    with pytest.raises(DatabaseUnavailable, match="terminating connection"):
        opened.step()
    with pytest.raises(DatabaseUnavailable, match="read-only transaction"):
        opened.step()
    set_read_only(line.database, "off")
    assert opened.step()
    assert count(line) == 1


def set_read_only(database: Database, setting: str) -> None:
    """Change it for new connections, and end the others."""
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute("SET default_transaction_read_only = off")
        name = sql.Identifier(connection.info.dbname)
        statement = "ALTER DATABASE {} SET default_transaction_read_only = {}"
        connection.execute(sql.SQL(statement).format(name, sql.SQL(setting)))
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def test_what_is_received_during_an_outage_is_stored_after_it(tmp_path: Path) -> None:
    with outage() as server:
        with closing(Line(server.database, tmp_path / "journal")) as line:
            line.say(RecordKind.CONNECTED)
            line.packets(Packet(volume=50))
            opened = line.store()
            server.begin()
            line.packets(Packet(volume=60, at=1))
            for _ in range(2):
                with pytest.raises(DatabaseUnavailable):
                    opened.step()
            line.packets(Packet(volume=65, at=2))
            server.end()
            drain(opened)
            assert [row[2] for row in ticks(line)] == [None, 10, 5]
