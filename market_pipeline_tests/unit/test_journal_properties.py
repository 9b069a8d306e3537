"""What holds for every journal: cut or damaged anywhere, read in portions of any size."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from market_pipeline.streaming import journal
from market_pipeline.streaming.journal import Journal
from market_pipeline.streaming.records import HEADER_BYTES, Damage, Record, RecordKind, encode
from market_pipeline_tests import fuzz
from market_pipeline_tests.journals import GIGABYTE, everything, payloads, segment, write

MAGIC = encode(RecordKind.FRAME, 0, b"")[:4]
INNER = encode(RecordKind.FRAME, 1, b"not a record of its own")

PLAIN = st.binary(max_size=60)
WITH_MAGIC = st.one_of(
    PLAIN,
    st.lists(st.one_of(st.just(MAGIC), st.binary(max_size=9)), max_size=6).map(b"".join),
)
ANYTHING = st.one_of(
    WITH_MAGIC,
    st.tuples(PLAIN, st.sampled_from([INNER, INNER * 2, INNER[:-1], INNER[1:]]), PLAIN).map(
        b"".join
    ),
)
WRITTEN = st.lists(ANYTHING, min_size=1, max_size=8)
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
@given(st.lists(st.tuples(st.sampled_from(list(RecordKind)), st.integers(0, 2**64 - 1), ANYTHING)))
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
    torn = MAGIC + INNER + b"between" + INNER
    with empty_folder() as folder:
        _, before, end = write(folder, b"kept", INNER, torn)
        whole = segment(folder).read_bytes()
        for length in range(before, end):
            segment(folder).write_bytes(whole[:length])
            assert payloads(folder) == [b"kept", INNER], f"cut to {length} bytes"
            write(folder, b"next")
            assert payloads(folder) == [b"kept", INNER, b"next"], f"cut to {length} bytes"


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
        flip(folder, data.draw(st.integers(first, last), "byte"), bits)
        assert_lost(folder, written, ends, lost)


@quickly
@given(st.lists(WITH_MAGIC, min_size=2, max_size=8), SEGMENT_BYTES, st.data())
def test_a_flipped_byte_of_a_header_loses_its_record_alone(
    written: list[bytes], segment_bytes: int, data: st.DataObject
) -> None:
    flip_in_a_record(data, written, segment_bytes, in_header=True)


@quickly
@given(st.lists(ANYTHING.filter(len), min_size=2, max_size=8), SEGMENT_BYTES, st.data())
def test_a_flipped_byte_of_a_payload_loses_its_record_alone(
    written: list[bytes], segment_bytes: int, data: st.DataObject
) -> None:
    flip_in_a_record(data, written, segment_bytes, in_header=False)


@quickly
@given(st.lists(ANYTHING, min_size=2, max_size=8), SEGMENT_BYTES, st.data())
def test_a_flipped_byte_of_a_header_brings_no_record_out_of_its_payload(
    written: list[bytes], segment_bytes: int, data: st.DataObject
) -> None:
    flip_in_a_record(data, written, segment_bytes, in_header=True)


def test_bytes_lost_from_a_payload_lose_its_record_alone() -> None:
    shortened, following = bytes(40), b"longer than what was lost" * 2
    with empty_folder() as folder:
        first, *_ = write(folder, shortened, following, b"last")
        whole = segment(folder).read_bytes()
        for lost in range(1, len(shortened) + 1):
            segment(folder).write_bytes(whole[: first - lost] + whole[first:])
            damage, *rest = everything(folder)
            assert (damage.position, damage.end) == (0, first - lost), f"{lost} bytes lost"
            assert [item.payload for item in rest] == [following, b"last"], f"{lost} bytes lost"


@settings(quickly, max_examples=200)
@given(
    st.lists(st.one_of(ANYTHING, ANYTHING.map(lambda p: encode(RecordKind.TEXT, 7, p)))).map(
        b"".join
    ),
    st.integers(1, 300),
)
def test_any_bytes_as_a_segment_are_read_without_a_hole(content: bytes, portion: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        fuzz.SegmentCheck(Path(folder)).check(content, portion)
