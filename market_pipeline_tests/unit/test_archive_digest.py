"""A digest tells rows by their values, and by nothing else."""

import random
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market_pipeline.archive import parquet
from market_pipeline.archive.digest import Digest
from market_pipeline.errors import ArchiveDamaged

SCHEMA = pa.schema(
    {
        "time": pa.timestamp("us", "UTC"),
        "instrument_id": pa.int64(),
        "last_price": pa.float64(),
        "volume": pa.int64(),
        "is_trade": pa.bool_(),
        "feed": pa.int16(),
        "expiry": pa.date32(),
        "state": pa.string(),
    }
)
TIMES = st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1))  # noqa: DTZ001
VALUES = st.tuples(
    TIMES.map(lambda at: at.replace(tzinfo=UTC)),
    st.integers(1, 4),
    st.none() | st.floats(),
    st.none() | st.integers(-(2**63), 2**63 - 1),
    st.none() | st.booleans(),
    st.none() | st.integers(-(2**15), 2**15 - 1),
    st.none() | st.dates(),
    st.none() | st.text(st.characters(codec="utf-8"), max_size=8),
)
ROWS = st.lists(VALUES, min_size=1, max_size=30).map(
    lambda rows: sorted(rows, key=lambda row: row[1])
)

Rows = list[tuple[Any, ...]]

briefly = settings(max_examples=40, deadline=None, derandomize=True)


def batch(rows: Rows) -> pa.RecordBatch:
    columns = list(zip(*rows, strict=True)) or [()] * len(SCHEMA)
    arrays = [pa.array(each, kind.type) for each, kind in zip(columns, SCHEMA, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


def content(*parts: Rows) -> str:
    digest = Digest()
    for part in parts:
        digest.add(batch(part))
    return digest.content()


@briefly
@given(ROWS, st.data())
def test_it_does_not_matter_how_rows_are_cut_into_batches(rows: Rows, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(rows)))
    assert content(rows[:cut], rows[cut:]) == content(rows)


@briefly
@given(ROWS, st.integers(0, 99))
def test_it_does_not_matter_which_instrument_comes_first(rows: Rows, seed: int) -> None:
    parts = [[row for row in rows if row[1] == key] for key in {row[1] for row in rows}]
    random.Random(seed).shuffle(parts)
    assert content(*parts) == content(rows)


@briefly
@given(ROWS, VALUES, st.data())
def test_another_value_anywhere_makes_another_digest(
    rows: Rows, values: tuple[Any, ...], data: st.DataObject
) -> None:
    index, column = (data.draw(st.integers(0, len(each) - 1)) for each in (rows, SCHEMA.names))
    if column == 1:
        return  # then it is in another place
    changed = list(rows)
    changed[index] = (*rows[index][:column], values[column], *rows[index][column + 1 :])
    is_same = batch(changed).equals(batch(rows)) or repr(changed) == repr(rows)
    assert (content(changed) == content(rows)) == is_same


@briefly
@given(ROWS, st.data())
def test_a_row_less_makes_another_digest(rows: Rows, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(rows) - 1))
    assert content(rows[:index] + rows[index + 1 :]) != content(rows)


@briefly
@given(rows=ROWS)
def test_rows_have_the_same_digest_once_they_were_in_a_file(
    tmp_path_factory: pytest.TempPathFactory, rows: Rows
) -> None:
    path = tmp_path_factory.mktemp("digest") / "rows.parquet"
    with parquet.ParquetFile(path, {}) as file:
        file.write(batch(rows))
    with path.open("rb") as opened:
        assert parquet.content(opened, "rows").content() == content(rows)


def test_no_value_is_not_zero() -> None:
    at = datetime(2026, 11, 20, tzinfo=UTC)
    zero = (at, 1, 0.0, 0, False, 0, datetime(1970, 1, 1, tzinfo=UTC).date(), "")
    contents = {
        content([(*zero[:column], value, *zero[column + 1 :])])
        for column in range(2, len(zero))
        for value in (zero[column], None)
    }
    assert len(contents) == 1 + len(zero) - 2


def test_rows_of_an_instrument_that_are_not_together_are_refused() -> None:
    row = (datetime(2026, 11, 20, tzinfo=UTC), 1, 1.0, 1, True, 1, None, "")
    other = (row[0], 2, *row[2:])
    with pytest.raises(ArchiveDamaged, match="instrument 1 are not together"):
        content([row, other, row])


def test_sums_are_exact_beyond_what_a_column_can_hold() -> None:
    at, most = datetime(2026, 11, 20, tzinfo=UTC), 2**63 - 1
    digest = Digest()
    digest.add(batch([(at, 1, -2.5, most, True, 1, None, "")] * 3))
    assert digest.sums() == {1: (3, 3 * most, 7.5)}
