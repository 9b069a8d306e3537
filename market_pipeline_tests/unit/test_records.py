"""Records of the journal: whole ones are found, whatever surrounds them."""

import random

import pytest

from market_pipeline.streaming.records import (
    HEADER_BYTES,
    Damage,
    Record,
    RecordKind,
    encode,
    scan,
)

PAYLOADS = [b"first", b"the second one", b"3"]
WHOLE = [
    encode(RecordKind.FRAME, 1000, PAYLOADS[0], 0),
    encode(RecordKind.FRAME, 1001, PAYLOADS[1], 30),
    encode(RecordKind.FRAME, 1002, PAYLOADS[2], 69),
]
MAGIC = WHOLE[0][:4]


def payloads(data: bytes) -> list[bytes]:
    return [item.payload for item in scan(data, 0) if isinstance(item, Record)]


def test_a_record_reads_back_as_it_was_written() -> None:
    data = encode(RecordKind.TEXT, 1_700_000_000_123_456_789, b"hello", 0)
    record = Record(RecordKind.TEXT, 1_700_000_000_123_456_789, b"hello", 0, len(data))
    assert list(scan(data, 0)) == [record]


@pytest.mark.parametrize("kind", list(RecordKind))
def test_every_kind_reads_back(kind: RecordKind) -> None:
    (record,) = scan(encode(kind, 7, b"", 0), 0)
    assert isinstance(record, Record)
    assert record.kind is kind


@pytest.mark.parametrize("base", [500, 2**32 - 10, 2**50])
def test_positions_count_from_the_base(base: int) -> None:
    one, two = (
        encode(RecordKind.FRAME, 1, b"one", base),
        encode(RecordKind.FRAME, 2, b"", base + 28),
    )
    first, second = scan(one + two, base)
    assert (first.position, first.end) == (base, base + 28)
    assert (second.position, second.end) == (base + 28, base + 28 + HEADER_BYTES)


@pytest.mark.parametrize("base", [1, 500, 2**31, 2**32 - 1])
def test_a_record_at_another_position_than_its_own_is_none(base: int) -> None:
    assert list(scan(WHOLE[0], base)) == []


def test_the_bytes_of_a_record_are_these() -> None:
    assert (
        encode(RecordKind.FRAME, 1, b"ab", 2**32 + 1000)
        == bytes.fromhex("ab4d5032 01 0000000000000001 00000002 03163aae 9e83486d") + b"ab"
    )


def test_a_record_cut_anywhere_is_not_read() -> None:
    whole = WHOLE[0] + WHOLE[1]
    for length in range(len(WHOLE[0]), len(whole)):
        assert payloads(whole[:length]) == PAYLOADS[:1], f"cut to {length} bytes"


def test_a_flipped_byte_anywhere_loses_only_its_record() -> None:
    data = bytearray(b"".join(WHOLE))
    start, end = len(WHOLE[0]), len(WHOLE[0]) + len(WHOLE[1])
    for offset in range(start, end):
        data[offset] ^= 0x55
        first, damage, third = scan(bytes(data), 0)
        assert [first.payload, third.payload] == [PAYLOADS[0], PAYLOADS[2]], f"byte {offset}"
        assert damage == Damage(start, end, bytes(data[start:end])), f"byte {offset}"
        data[offset] ^= 0x55


def test_a_flipped_byte_in_the_first_record_is_reported_from_the_start() -> None:
    damage, *_ = scan(b"\0" + b"".join(WHOLE)[1:], 0)
    assert damage == Damage(0, len(WHOLE[0]), b"\0" + WHOLE[0][1:])


def test_a_payload_full_of_magic_does_not_mislead() -> None:
    data = encode(RecordKind.FRAME, 1, MAGIC * 50, 0)
    following = encode(RecordKind.FRAME, 2, b"following", len(data))
    assert payloads(data + following) == [MAGIC * 50, b"following"]
    assert payloads(b"\0" + data[1:] + following) == [b"following"]


def around(inner_position: int) -> bytes:
    """Return a record at 0 that holds one which begins at 31, and the record that follows."""
    inner = encode(RecordKind.TEXT, 2, b"inner", inner_position)
    outer = encode(RecordKind.FRAME, 1, b"before" + inner + b"after", 0)
    return outer + encode(RecordKind.FRAME, 3, b"following", len(outer))


def test_a_payload_shows_a_record_only_if_it_knows_its_position_and_the_header_is_damaged() -> None:
    """Who sends us payloads does not know at which position they are written."""
    for position in range(200):
        data = around(position)
        damaged = b"\0" + data[1:]
        shown = [b"inner"] if position == HEADER_BYTES + len(b"before") else []
        assert payloads(damaged) == [*shown, b"following"], f"a record for {position}"


def test_a_payload_that_knows_its_position_shows_no_record_while_the_header_is_sound() -> None:
    data = around(HEADER_BYTES + len(b"before"))
    end = data.index(b"after") + len(b"after")
    assert len(payloads(data)) == 2
    for length in range(end):
        assert payloads(data[:length]) == [], f"cut to {length} bytes"
    for offset in range(HEADER_BYTES, end):
        damaged = data[:offset] + bytes([data[offset] ^ 0x55]) + data[offset + 1 :]
        assert payloads(damaged) == [b"following"], f"byte {offset}"


def test_random_bytes_between_records_are_passed_over() -> None:
    noise = random.Random(5)
    for size in (1, 3, HEADER_BYTES, 200):
        second = encode(RecordKind.FRAME, 2, b"second", len(WHOLE[0]) + size)
        data = WHOLE[0] + noise.randbytes(size) + second
        assert payloads(data) == [b"first", b"second"], f"{size} bytes of noise"


def test_nothing_is_in_no_bytes() -> None:
    assert list(scan(b"", 0)) == []


def test_random_bytes_hold_no_record() -> None:
    assert list(scan(random.Random(7).randbytes(10_000), 0)) == []
