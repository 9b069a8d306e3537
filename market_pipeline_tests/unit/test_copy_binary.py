"""Columns become the bytes that PostgreSQL's binary COPY takes."""

import numpy as np

from market_pipeline.market import MISSING, Columns
from market_pipeline.storage.copy_binary import CopyEncoder, Field

HEADER = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
TRAILER = b"\xff\xff"
FIELDS = [
    Field("at", "time", False),
    Field("id", "i8", False),
    Field("count", "i8", True),
    Field("price", "f8", True),
    Field("is_trade", "?", False),
]
ROW: Columns = {
    "at": np.array([946_684_800_000_001]),  # a microsecond into 2000
    "id": np.array([258]),
    "count": np.array([3]),
    "price": np.array([1.5]),
    "is_trade": np.array([True]),
}


def body(columns: Columns) -> bytes:
    stream = CopyEncoder(FIELDS).encode(columns)
    assert stream.startswith(HEADER) and stream.endswith(TRAILER)
    return stream[len(HEADER) : -len(TRAILER)]


def test_a_row_is_its_fields_with_their_lengths() -> None:
    assert body(ROW) == bytes.fromhex(
        "0005"
        "00000008 0000000000000001"
        "00000008 0000000000000102"
        "00000008 0000000000000003"
        "00000008 3ff8000000000000"
        "00000001 01"
    )


def test_missing_values_are_nulls_without_bytes() -> None:
    row = ROW | {"count": np.array([MISSING]), "price": np.array([np.nan])}
    assert body(row) == bytes.fromhex(
        "0005 00000008 0000000000000001 00000008 0000000000000102 ffffffff ffffffff 00000001 01"
    )


def test_only_nullable_columns_know_missing_values() -> None:
    assert bytes.fromhex("00000008 ffffffffffffffff") in body(ROW | {"id": np.array([MISSING])})


def test_a_missing_time_is_null() -> None:
    encoder = CopyEncoder([Field("at", "time", True)])
    stream = encoder.encode({"at": np.array([MISSING])})
    assert stream == HEADER + bytes.fromhex("0001 ffffffff") + TRAILER


def test_rows_with_and_without_nulls_follow_each_other() -> None:
    both = {name: np.concatenate([column, column]) for name, column in ROW.items()}
    both["count"] = np.array([3, MISSING])
    without = body(ROW | {"count": np.array([MISSING])})
    assert body(both) == body(ROW) + without


def test_no_rows_are_header_and_trailer() -> None:
    assert body({name: column[:0] for name, column in ROW.items()}) == b""


def test_nulls_of_one_stream_do_not_stay_for_the_next() -> None:
    encoder = CopyEncoder(FIELDS)
    first = encoder.encode(ROW)
    encoder.encode(ROW | {"count": np.array([MISSING])})
    assert encoder.encode(ROW) == first
