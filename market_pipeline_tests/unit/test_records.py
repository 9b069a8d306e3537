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
WHOLE = [encode(RecordKind.FRAME, 1000 + n, payload) for n, payload in enumerate(PAYLOADS)]


def payloads(data: bytes) -> list[bytes]:
    return [item.payload for item in scan(data) if isinstance(item, Record)]


def test_a_record_reads_back_as_it_was_written() -> None:
    data = encode(RecordKind.TEXT, 1_700_000_000_123_456_789, b"hello")
    record = Record(RecordKind.TEXT, 1_700_000_000_123_456_789, b"hello", 0, len(data))
    assert list(scan(data)) == [record]


@pytest.mark.parametrize("kind", list(RecordKind))
def test_every_kind_reads_back(kind: RecordKind) -> None:
    (record,) = scan(encode(kind, 7, b""))
    assert isinstance(record, Record)
    assert record.kind is kind


def test_positions_count_from_the_base() -> None:
    first, second = scan(WHOLE[0] + WHOLE[1], base=500)
    assert (first.position, first.end) == (500, 500 + len(WHOLE[0]))
    assert (second.position, second.end) == (first.end, first.end + len(WHOLE[1]))


def test_the_bytes_of_a_record_are_these() -> None:
    assert (
        encode(RecordKind.FRAME, 1, b"ab")
        == bytes.fromhex("ab4d504a 01 0000000000000001 00000002 dc91f057 9e83486d") + b"ab"
    )


def test_a_record_cut_anywhere_is_not_read() -> None:
    whole = WHOLE[0] + WHOLE[1]
    for length in range(len(WHOLE[0]), len(whole)):
        assert list(scan(whole[:length])) == list(scan(WHOLE[0])), f"cut to {length} bytes"


def test_a_flipped_byte_anywhere_loses_only_its_record() -> None:
    data = bytearray(b"".join(WHOLE))
    start, end = len(WHOLE[0]), len(WHOLE[0]) + len(WHOLE[1])
    for offset in range(start, end):
        data[offset] ^= 0x55
        first, damage, third = scan(bytes(data))
        assert [first.payload, third.payload] == [PAYLOADS[0], PAYLOADS[2]], f"byte {offset}"
        assert damage == Damage(start, end, bytes(data[start:end])), f"byte {offset}"
        data[offset] ^= 0x55


def test_a_flipped_byte_in_the_first_record_is_reported_from_the_start() -> None:
    damage, *_ = scan(b"\0" + b"".join(WHOLE)[1:])
    assert damage == Damage(0, len(WHOLE[0]), b"\0" + WHOLE[0][1:])


def test_a_payload_full_of_magic_does_not_mislead() -> None:
    data = encode(RecordKind.FRAME, 1, WHOLE[0][:4] * 50)
    assert payloads(data + WHOLE[1]) == [WHOLE[0][:4] * 50, PAYLOADS[1]]


def test_random_bytes_between_records_are_passed_over() -> None:
    noise = random.Random(5)
    for size in (1, 3, HEADER_BYTES, 200):
        data = WHOLE[0] + noise.randbytes(size) + WHOLE[1]
        assert payloads(data) == PAYLOADS[:2], f"{size} bytes of noise"


def test_nothing_is_in_no_bytes() -> None:
    assert list(scan(b"")) == []


def test_random_bytes_hold_no_record() -> None:
    assert list(scan(random.Random(7).randbytes(10_000))) == []
