"""What the values of rows come to, wherever the rows are: in a database or in Parquet files.

The content of a file or of a kind is the SHA-256 of, for each instrument in rising order, its
instrument_id and number of rows (eight bytes each, little-endian) and its own SHA-256. That is
taken over two SHA-256 for each column, in the order of the columns, which both begin with the
column's name: of the marks, a byte for each row that is 1 where the row has no value, and of the
values. Those are little-endian: times are microseconds since 1970 in eight bytes, dates days since
1970 in four, whole numbers as wide as their column, prices the eight bytes of IEEE 754, truth a
byte, and zero where there is no value; texts are UTF-8, each after its length in bytes (eight
bytes).

Nothing depends on how rows are cut into batches, nor on how instruments follow one another; the
rows of one instrument must come together and in order.
"""

import hashlib
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from market_pipeline.errors import ArchiveDamaged

_KEY = "instrument_id"
_NO_PRICE = 1e15
_PRICES = ("last_price", "close")


class Sums(NamedTuple):
    """What can be counted of an instrument without regard to order."""

    rows: int
    volume: int
    price: float  # the sum of the prices' magnitudes, without those that are none


class Digest:
    """Takes in the rows of instruments; see the module for what it makes of them."""

    def __init__(self) -> None:
        self._done: dict[int, tuple[bytes, Sums]] = {}
        self._key: int | None = None
        self._instrument = _Instrument([])

    def add(self, batch: pa.RecordBatch) -> None:
        """Take in rows.

        Raises:
            ArchiveDamaged: the rows of an instrument do not come together.
        """
        if batch.num_rows == 0:
            return
        names = batch.schema.names
        columns = {name: _canonical(batch.column(name)) for name in names}
        keys = batch.column(_KEY).to_numpy()
        starts = [0, *(np.flatnonzero(np.diff(keys)) + 1).tolist()]
        for start, end in zip(starts, [*starts[1:], len(keys)], strict=True):
            self._turn_to(int(keys[start]), names)
            self._instrument.add(columns, slice(start, end))

    def _turn_to(self, key: int | None, names: list[str]) -> None:
        if key == self._key:
            return
        if self._key is not None:
            self._done[self._key] = self._instrument.digest(), self._instrument.sums
        if key in self._done:
            raise ArchiveDamaged(f"the rows of instrument {key} are not together")
        self._key, self._instrument = key, _Instrument(names)

    def sums(self) -> dict[int, Sums]:
        """Return what was counted, by instrument; nothing can be taken in after that."""
        self._turn_to(None, [])
        return {key: sums for key, (_, sums) in sorted(self._done.items())}

    def content(self) -> str:
        """Return the SHA-256 of all that was taken in; nothing can be taken in after that."""
        self._turn_to(None, [])
        whole = hashlib.sha256()
        for key, (digest, sums) in sorted(self._done.items()):
            whole.update(key.to_bytes(8, "little", signed=True))
            whole.update(sums.rows.to_bytes(8, "little"))
            whole.update(digest)
        return whole.hexdigest()

    @property
    def rows(self) -> int:
        """How many rows were taken in."""
        return sum(sums.rows for _, sums in self._done.values()) + self._instrument.sums.rows


class _Column(NamedTuple):
    """A column of a batch in the form that is hashed."""

    marks: NDArray[np.uint8]
    values: NDArray[Any] | list[bytes]

    def part(self, rows: slice) -> bytes | memoryview:
        values = self.values[rows]
        return b"".join(values) if isinstance(values, list) else values.data.cast("B")


class _Instrument:
    def __init__(self, names: list[str]) -> None:
        self.sums = Sums(0, 0, 0.0)
        self._marks = {name: hashlib.sha256(name.encode()) for name in names}
        self._values = {name: hashlib.sha256(name.encode()) for name in names}

    def add(self, columns: dict[str, _Column], rows: slice) -> None:
        for name, column in columns.items():
            self._marks[name].update(column.marks[rows].data)
            self._values[name].update(column.part(rows))
        price = next((columns[name] for name in _PRICES if name in columns), None)
        self.sums = Sums(
            self.sums.rows + rows.stop - rows.start,
            self.sums.volume + (_whole(columns["volume"], rows) if "volume" in columns else 0),
            self.sums.price + (_magnitude(price, rows) if price else 0.0),
        )

    def digest(self) -> bytes:
        whole = hashlib.sha256()
        for name, marks in self._marks.items():
            whole.update(marks.digest())
            whole.update(self._values[name].digest())
        return whole.digest()


def _whole(column: _Column, rows: slice) -> int:
    """Sum whole numbers; they may come to more than 64 bits."""
    values = np.asarray(column.values[rows])
    return (int((values >> 32).sum()) << 32) + int((values & 0xFFFFFFFF).sum())


def _magnitude(column: _Column, rows: slice) -> float:
    values = np.abs(np.asarray(column.values[rows]))
    return float(values[values < _NO_PRICE].sum())


def _canonical(column: pa.Array) -> _Column:
    marks = np.ascontiguousarray(column.is_null().to_numpy(zero_copy_only=False)).view(np.uint8)
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        texts = [(text or "").encode() for text in column.to_pylist()]
        return _Column(marks, [len(text).to_bytes(8, "little") + text for text in texts])
    if pa.types.is_boolean(kind):
        column = column.cast(pa.uint8())
    elif pa.types.is_timestamp(kind):
        column = column.cast(pa.timestamp("us", kind.tz)).cast(pa.int64())
    elif pa.types.is_date32(kind):
        column = column.cast(pa.int32())
    filled = pc.fill_null(column, pa.scalar(0, column.type)) if column.null_count else column
    values = filled.to_numpy(zero_copy_only=False)
    return _Column(marks, np.ascontiguousarray(values, values.dtype.newbyteorder("<")))
