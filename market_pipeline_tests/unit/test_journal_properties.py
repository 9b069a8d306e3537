"""What holds for every journal: cut or damaged anywhere, read in portions of any size."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from market_pipeline.streaming import journal
from market_pipeline.streaming.journal import Journal
from market_pipeline.streaming.records import HEADER_BYTES, Damage, Record, RecordKind, encode
from market_pipeline_tests import fuzz
from market_pipeline_tests.journals import GIGABYTE, everything, payloads, placed, segment, write

MAGIC = encode(RecordKind.FRAME, 0, b"", 0)[:4]
START_OF_A_JOURNAL = encode(RecordKind.FRAME, 1, b"not a record of its own", 0)


class Nested(NamedTuple):
    """A payload that holds a record for a place `off` by so much from where it lies."""

    off: int
    before: bytes = b""
    after: bytes = b""
    torn: int = 0
    copies: int = 1

    def at(self, position: int) -> bytes:
        for_position = position + len(self.before) + self.off
        inner = encode(RecordKind.TEXT, 7, b"not a record of its own", for_position)
        return self.before + inner[: len(inner) - self.torn] * self.copies + self.after


PLAIN = st.binary(max_size=60)
WITH_MAGIC = st.one_of(
    PLAIN,
    st.lists(st.one_of(st.just(MAGIC), st.binary(max_size=9)), max_size=6).map(b"".join),
)
# One header too early is a record for the position of the one around it.
ELSEWHERE = st.sampled_from([-(10**6), -HEADER_BYTES, -1, 1, HEADER_BYTES, 4096, 2**31])
# A payload that knows its position can hold what is a record there, which is read as one if the
# header before it is damaged. Nobody who sends us payloads knows; all else holds for these, too.
ANYWHERE = st.one_of(ELSEWHERE, st.just(0))


def contents(off: st.SearchStrategy[int], min_size: int = 1) -> st.SearchStrategy[list[bytes]]:
    """Payloads of a new journal, some of which hold records that are so much off their place."""
    nested = st.builds(Nested, off, PLAIN, PLAIN, st.integers(0, 1), st.integers(1, 2))
    alone = st.one_of(WITH_MAGIC, st.just(START_OF_A_JOURNAL)).map(
        lambda payload: lambda _: payload
    )
    payloads = st.one_of(alone, nested.map(lambda made: made.at))
    return st.lists(payloads, min_size=min_size, max_size=8).map(placed)


WRITTEN = contents(ANYWHERE)
SEGMENT_BYTES = st.sampled_from([GIGABYTE, 40, 100, 250])
quickly = settings(max_examples=100, deadline=None, derandomize=True)


@contextmanager
def empty_folder() -> Iterator[Path]:
    """A folder for one example; tmp_path is one for all of them."""
    with tempfile.TemporaryDirectory() as scratch:
        yield Path(scratch) / "kite-0"


def in_portions(folder: Path, portion: int) -> list[Record | Damage]:
    items: list[Record | Damage] = []
    position = 0
    while found := list(journal.read(folder, position, portion)):
        items += found
        position = found[-1].end
    return items


def flip(folder: Path, position: int, bits: int) -> None:
    """Change one byte of the segment that holds a position."""
    base, path = [found for found in journal.segments(folder) if found[0] <= position][-1]
    data = bytearray(path.read_bytes())
    data[position - base] ^= bits
    path.write_bytes(data)


def tear(data: st.DataObject, folder: Path) -> None:
    last = segment(folder, -1)
    os.truncate(last, data.draw(st.integers(0, last.stat().st_size), "bytes that are left"))


@quickly
@given(WRITTEN, SEGMENT_BYTES)
def test_any_payloads_read_back_as_they_were_written(
    written: list[bytes], segment_bytes: int
) -> None:
    with empty_folder() as folder:
        write(folder, *written, segment_bytes=segment_bytes)
        assert payloads(folder) == written


@quickly
@given(
    st.lists(st.tuples(st.sampled_from(list(RecordKind)), st.integers(0, 2**64 - 1), WITH_MAGIC))
)
def test_any_kinds_and_times_read_back_as_they_were_written(
    written: list[tuple[RecordKind, int, bytes]],
) -> None:
    with empty_folder() as folder:
        with Journal(folder, GIGABYTE, segment_bytes=100) as opened:
            for kind, received_at, payload in written:
                opened.append(kind, payload, received_at)
        found = [item for item in everything(folder) if isinstance(item, Record)]
        assert [(item.kind, item.received_at, item.payload) for item in found] == written


@quickly
@given(WRITTEN, SEGMENT_BYTES, st.data())
def test_a_journal_torn_anywhere_holds_the_first_records_and_no_damage(
    written: list[bytes], segment_bytes: int, data: st.DataObject
) -> None:
    with empty_folder() as folder:
        write(folder, *written, segment_bytes=segment_bytes)
        tear(data, folder)
        found = payloads(folder)
        assert found == written[: len(found)]


@quickly
@given(WRITTEN, WRITTEN, SEGMENT_BYTES, st.data())
def test_a_torn_journal_goes_on_after_its_last_whole_record(
    written: list[bytes], later: list[bytes], segment_bytes: int, data: st.DataObject
) -> None:
    with empty_folder() as folder:
        write(folder, *written, segment_bytes=segment_bytes)
        tear(data, folder)
        kept = payloads(folder)
        write(folder, *later, segment_bytes=segment_bytes)
        assert payloads(folder) == kept + later


def test_a_record_torn_at_every_byte_leaves_the_others_and_room_for_the_next() -> None:
    torn = Nested(off=0, before=MAGIC, after=b"between" + START_OF_A_JOURNAL, copies=2)
    written = placed([lambda _: b"kept", Nested(off=0).at, torn.at])
    with empty_folder() as folder:
        _, before, end = write(folder, *written)
        whole = segment(folder).read_bytes()
        for length in range(before, end):
            segment(folder).write_bytes(whole[:length])
            assert payloads(folder) == written[:2], f"cut to {length} bytes"
            write(folder, b"next")
            assert payloads(folder) == [*written[:2], b"next"], f"cut to {length} bytes"


@quickly
@given(WRITTEN, SEGMENT_BYTES, st.integers(1, 400))
def test_portions_of_any_size_give_the_same_records(
    written: list[bytes], segment_bytes: int, portion: int
) -> None:
    with empty_folder() as folder:
        write(folder, *written, segment_bytes=segment_bytes)
        items = in_portions(folder, portion)
        assert items == in_portions(folder, GIGABYTE)
        assert [item.payload for item in items] == written


@quickly
@given(WRITTEN, SEGMENT_BYTES, st.integers(1, 400), st.data())
def test_portions_of_any_size_give_the_same_of_a_damaged_journal(
    written: list[bytes], segment_bytes: int, portion: int, data: st.DataObject
) -> None:
    with empty_folder() as folder:
        end = write(folder, *written, segment_bytes=segment_bytes)[-1]
        for position in data.draw(st.lists(st.integers(0, end - 1), max_size=3), "flipped"):
            flip(folder, position, 0x10)
        assert in_portions(folder, portion) == in_portions(folder, GIGABYTE)


def assert_lost(folder: Path, written: list[bytes], ends: list[int], lost: int) -> None:
    """Check that one record is reported as damage, whole, and every other is read."""
    items = everything(folder)
    start = ends[lost - 1] if lost else 0
    damage = [(item.position, item.end) for item in items if isinstance(item, Damage)]
    assert damage == [(start, ends[lost])]
    kept = [item.payload for item in items if isinstance(item, Record)]
    assert kept == written[:lost] + written[lost + 1 :]


def flip_in_a_record(
    data: st.DataObject, written: list[bytes], segment_bytes: int, in_header: bool
) -> None:
    """Flip a byte anywhere in the header or the payload of a record with others after it."""
    lost = data.draw(st.integers(0, len(written) - 2), "record")
    bits = data.draw(st.integers(1, 255), "bits")
    with empty_folder() as folder:
        ends = write(folder, *written, segment_bytes=segment_bytes)
        start = ends[lost - 1] if lost else 0
        first, last = start, start + HEADER_BYTES - 1
        if not in_header:
            first, last = last + 1, ends[lost] - 1
            assume(first <= last)
        flip(folder, data.draw(st.integers(first, last), "byte"), bits)
        assert_lost(folder, written, ends, lost)


@quickly
@given(contents(ANYWHERE, min_size=2), SEGMENT_BYTES, st.data())
def test_a_flipped_byte_of_a_payload_loses_its_record_alone(
    written: list[bytes], segment_bytes: int, data: st.DataObject
) -> None:
    flip_in_a_record(data, written, segment_bytes, in_header=False)


@quickly
@given(contents(ELSEWHERE, min_size=2), SEGMENT_BYTES, st.data())
def test_a_flipped_byte_of_a_header_brings_no_record_out_of_its_payload(
    written: list[bytes], segment_bytes: int, data: st.DataObject
) -> None:
    flip_in_a_record(data, written, segment_bytes, in_header=True)


def test_bytes_lost_from_a_payload_lose_the_rest_of_its_segment_alone() -> None:
    """What follows them is not in its place any more. Disks spoil bytes; none takes any out."""
    shortened = bytes(40)
    with empty_folder() as folder:
        first, second, third, _ = write(
            folder, b"first", shortened, b"moved", b"in the next segment", segment_bytes=100
        )
        whole = segment(folder).read_bytes()
        for lost in range(1, len(shortened) + 1):
            segment(folder).write_bytes(whole[: second - lost] + whole[second:])
            one, damage, last = everything(folder)
            assert (one.payload, last.payload) == (b"first", b"in the next segment"), lost
            assert (damage.position, damage.end) == (first, third), f"{lost} bytes lost"


def as_record(payload: bytes) -> bytes:
    return encode(RecordKind.TEXT, 7, payload, 0)


RECORDS = WITH_MAGIC.map(as_record)
IN_RECORDS = st.lists(st.one_of(WITH_MAGIC, RECORDS), max_size=3).map(b"".join).map(as_record)


@settings(quickly, max_examples=200)
@given(
    st.lists(st.one_of(WITH_MAGIC, RECORDS, IN_RECORDS)).map(b"".join),
    st.sampled_from(fuzz.Sums),
    st.integers(1, 300),
)
def test_any_bytes_as_a_segment_are_read_without_a_hole(
    content: bytes, sums: fuzz.Sums, portion: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        fuzz.SegmentCheck(Path(folder)).check(content, sums, portion)
