"""The journal keeps every acknowledged record, whatever is killed, cut or damaged."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import pytest

from market_pipeline.streaming import journal
from market_pipeline.streaming.journal import Journal
from market_pipeline.streaming.records import Damage, Record, RecordKind, encode
from market_pipeline_tests.journals import (
    GIGABYTE,
    everything,
    payloads,
    placed,
    segment,
    write,
)

REPOSITORY = Path(__file__).parents[2]
APPENDER = """
import pathlib, sys
from market_pipeline.streaming.journal import Journal
from market_pipeline.streaming.records import RecordKind
with Journal(pathlib.Path(sys.argv[1]), 10**9, segment_bytes=20_000) as journal:
    for number in range(10**9):
        end = journal.append(RecordKind.FRAME, b"%d" % number * 10)
        print(number, end, flush=True)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "kite-0"


def test_what_was_appended_is_read_in_order(folder: Path) -> None:
    write(folder, b"a", b"bb", b"")
    assert payloads(folder) == [b"a", b"bb", b""]


def test_a_record_keeps_its_kind_and_time(folder: Path) -> None:
    with Journal(folder, GIGABYTE) as opened:
        opened.append(RecordKind.DISCONNECTED, b"why", received_at=123)
    (record,) = everything(folder)
    assert isinstance(record, Record)
    assert (record.kind, record.received_at) == (RecordKind.DISCONNECTED, 123)


def test_a_record_is_stamped_with_the_time_of_its_arrival(folder: Path) -> None:
    before = time.time_ns()
    write(folder, b"a")
    (record,) = everything(folder)
    assert isinstance(record, Record)
    assert before <= record.received_at <= time.time_ns()


def test_reading_begins_at_a_position(folder: Path) -> None:
    positions = write(folder, b"a", b"b", b"c")
    assert payloads(folder, positions[0]) == [b"b", b"c"]
    assert payloads(folder, positions[2]) == []


def test_a_record_larger_than_the_portion_is_read_whole(folder: Path) -> None:
    large = random.Random(1).randbytes(50_000)
    write(folder, large, b"next")
    assert next(journal.read(folder, 0, 10)).payload == large
    assert payloads(folder) == [large, b"next"]


def test_reading_stops_at_about_the_portion_asked_for(folder: Path) -> None:
    write(folder, *[bytes(75)] * 20)
    assert len(list(journal.read(folder, 0, 500))) == 5


def test_a_folder_without_a_journal_holds_nothing(folder: Path) -> None:
    assert everything(folder) == []


def test_a_tail_torn_at_any_byte_leaves_the_records_before_it(folder: Path) -> None:
    positions = write(folder, b"kept", b"also kept", b"torn")
    whole = segment(folder).read_bytes()
    for length in range(positions[1], positions[2]):
        segment(folder).write_bytes(whole[:length])
        assert payloads(folder) == [b"kept", b"also kept"], f"cut to {length} bytes"
        with Journal(folder, GIGABYTE) as opened:
            assert opened.end == positions[1]
        assert segment(folder).read_bytes() == whole[: positions[1]], f"cut to {length} bytes"


def test_appending_goes_on_after_a_torn_tail(folder: Path) -> None:
    first, _ = write(folder, b"kept", b"torn")
    os.truncate(segment(folder), first + 10)
    write(folder, b"next")
    assert payloads(folder) == [b"kept", b"next"]


def test_a_flipped_byte_anywhere_loses_only_its_record(folder: Path) -> None:
    first, second, third = write(folder, b"first", b"second", b"third")
    whole = segment(folder).read_bytes()
    for offset in range(first, second):
        flipped = bytearray(whole)
        flipped[offset] ^= 0x10
        segment(folder).write_bytes(flipped)
        one, damage, three = everything(folder)
        assert (one.payload, three.payload) == (b"first", b"third"), f"byte {offset}"
        assert damage == Damage(first, second, bytes(flipped[first:second])), f"byte {offset}"


def test_damage_in_the_middle_survives_reopening(folder: Path) -> None:
    first, *_ = write(folder, b"first", b"second", b"third")
    data = bytearray(segment(folder).read_bytes())
    data[first] ^= 1
    segment(folder).write_bytes(data)
    write(folder, b"fourth")
    kinds = [type(item) for item in everything(folder)]
    assert kinds == [Record, Damage, Record, Record]


def test_positions_go_on_across_segments(folder: Path) -> None:
    ends = write(folder, *[b"%d" % n for n in range(20)], segment_bytes=60)
    assert len(journal.segments(folder)) > 5
    assert [item.end for item in everything(folder)] == ends
    assert [item.position for item in everything(folder)] == [0, *ends[:-1]]


def test_positions_go_on_after_a_restart(folder: Path) -> None:
    ends = [end for n in range(10) for end in write(folder, b"%d" % n, segment_bytes=60)]
    assert ends == sorted(set(ends))
    assert [item.end for item in everything(folder)] == ends


def test_reading_begins_in_the_middle_of_any_segment(folder: Path) -> None:
    ends = write(folder, *[b"%02d" % n for n in range(20)], segment_bytes=60)
    for number, end in enumerate(ends):
        assert payloads(folder, end) == [b"%02d" % n for n in range(number + 1, 20)]


@pytest.mark.parametrize("lost", [1, 20, 26])
def test_the_damaged_end_of_a_full_segment_is_reported(folder: Path, lost: int) -> None:
    _, second, *_ = write(folder, b"1", b"2", b"3", segment_bytes=50)
    data = segment(folder).read_bytes()
    segment(folder).write_bytes(data[:-lost] + bytes(lost))
    one, damage, three = everything(folder)
    assert (one.payload, three.payload) == (b"1", b"3")
    assert isinstance(damage, Damage)
    assert (damage.position, damage.end) == (one.end, second)


def test_a_segment_in_the_place_of_another_is_damage_alone(folder: Path) -> None:
    ends = write(folder, *[b"%d" % n for n in range(6)], segment_bytes=50)
    misplaced = segment(folder, 2).read_bytes()
    segment(folder).write_bytes(misplaced)
    damage, *rest = everything(folder)
    assert damage == Damage(0, ends[1], misplaced)
    assert [item.payload for item in rest] == [b"2", b"3", b"4", b"5"]


def test_reading_from_a_forgotten_position_reports_the_missing_stretch(folder: Path) -> None:
    ends = write(folder, *[b"%d" % n for n in range(6)], segment_bytes=50)
    segment(folder).unlink()
    damage, *rest = everything(folder)
    assert damage == Damage(0, ends[1], b"")
    assert [item.payload for item in rest] == [b"2", b"3", b"4", b"5"]


def test_a_lost_journal_goes_on_after_the_position_that_was_stored(folder: Path) -> None:
    write(folder, b"a")
    with Journal(folder, GIGABYTE) as opened:
        opened.skip_to(5000)
        assert opened.append(RecordKind.FRAME, b"b") > 5000
    write(folder, b"c")
    assert payloads(folder, 5000) == [b"b", b"c"]


def test_skipping_to_what_is_there_already_does_nothing(folder: Path) -> None:
    with Journal(folder, GIGABYTE) as opened:
        end = opened.append(RecordKind.FRAME, b"a")
        opened.skip_to(end)
        opened.skip_to(0)
    assert [file.name for _, file in journal.segments(folder)] == [f"{0:020d}.journal"]


def test_waiting_ends_when_something_is_appended(folder: Path) -> None:
    with Journal(folder, GIGABYTE) as opened:
        waiter = threading.Thread(target=opened.wait_for_more, args=(0, 60))
        waiter.start()
        opened.append(RecordKind.FRAME, b"a")
        waiter.join(10)
        assert not waiter.is_alive()


def test_a_killed_process_loses_no_acknowledged_record(folder: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", APPENDER, str(folder)], cwd=REPOSITORY, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(2000)]
        process.send_signal(signal.SIGKILL)
        lines += [line for line in process.stdout if line.endswith(b"\n")]
    ends = {int(number): int(end) for number, end in (line.split() for line in lines)}
    found = everything(folder)
    assert [item.payload for item in found] == [b"%d" % n * 10 for n in range(len(found))]
    assert [item.end for item in found][: len(ends)] == list(ends.values())
    assert len(journal.segments(folder)) > 1


def test_a_reader_beside_the_appender_sees_each_record_once(folder: Path) -> None:
    wanted = placed(partial(encode, RecordKind.TEXT, n, b"%d" % n) for n in range(2000))
    seen: list[bytes] = []
    with Journal(folder, GIGABYTE, segment_bytes=5000) as opened:
        appender = threading.Thread(
            target=lambda: [opened.append(RecordKind.FRAME, payload) for payload in wanted]
        )
        appender.start()
        position, deadline = 0, time.monotonic() + 30
        while len(seen) < len(wanted):
            assert time.monotonic() < deadline, f"{len(seen)} of {len(wanted)} records were read"
            for item in journal.read(folder, position, 3000):
                seen.append(item.payload)
                position = item.end
        appender.join()
    assert seen == wanted


@pytest.mark.parametrize("beyond", [1, 2, 1000])
def test_nothing_is_read_beyond_the_end(folder: Path, beyond: int) -> None:
    (end,) = write(folder, b"a")
    assert everything(folder, end + beyond) == []
