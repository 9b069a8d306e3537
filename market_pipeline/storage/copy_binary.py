"""Columns as PostgreSQL's binary COPY format, made by numpy without a Python object a value.

The format is in https://www.postgresql.org/docs/current/sql-copy.html#id-1.9.3.55.9.4: a header,
then for each row a field count and for each field a length and that many bytes, all big endian;
the length of NULL is -1 and no bytes follow.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from market_pipeline.market import MISSING, Columns

_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"
_POSTGRES_EPOCH = 946_684_800_000_000  # 2000-01-01 in microseconds since 1970
_WIRE = {"i8": ">i8", "i2": ">i2", "f8": ">f8", "?": "?", "time": ">i8"}


class Field(NamedTuple):
    """A column: its kind is i8, i2, f8, ? or time (microseconds since 1970)."""

    name: str
    kind: str
    nullable: bool


_CHUNK_ROWS = 1024
"""Rows are filled column by column; this many stay in the processor's cache meanwhile."""


class CopyEncoder:
    """Writes rows of one table; MISSING integers and NaN become NULL in nullable columns.

    Not for use by two threads at once: the buffer is used again.
    """

    def __init__(self, fields: list[Field]) -> None:
        self._fields = fields
        layout: list[tuple[str, str]] = [("field count", ">i2")]
        for field in fields:
            layout += [(f"{field.name} length", ">i4"), (field.name, _WIRE[field.kind])]
        self._layout: np.dtype[Any] = np.dtype(layout)
        self._rows = np.zeros(_CHUNK_ROWS, self._layout)
        self._rows["field count"] = len(fields)
        for field in fields:
            self._rows[f"{field.name} length"] = self._layout[field.name].itemsize

    def encode(self, columns: Columns) -> bytes:
        """Return a whole COPY BINARY stream."""
        return b"".join(self.parts(columns))

    def parts(self, columns: Columns) -> Iterator[bytes]:
        """Yield a whole COPY BINARY stream piece by piece."""
        yield _HEADER
        for start in range(0, len(columns[self._fields[0].name]), _CHUNK_ROWS):
            yield self._chunk(columns, slice(start, start + _CHUNK_ROWS))
        yield _TRAILER

    def _chunk(self, columns: Columns, chunk: slice) -> bytes:
        rows = self._rows[: len(columns[self._fields[0].name][chunk])]
        nulls: list[tuple[str, NDArray[np.bool_]]] = []
        for name, kind, nullable in self._fields:
            values = columns[name][chunk]
            rows[name] = values - _POSTGRES_EPOCH if kind == "time" else values
            if nullable and (missing := _missing(values)).any():
                nulls.append((name, missing))
        return self._with_nulls(rows, nulls) if nulls else rows.tobytes()

    def _with_nulls(self, rows: NDArray[Any], nulls: list[tuple[str, NDArray[np.bool_]]]) -> bytes:
        """Mark NULL values and cut their bytes out of the rows."""
        rows = rows.copy()
        size = self._layout.itemsize
        kept = np.ones((len(rows), size), bool)
        for name, missing in nulls:
            rows[f"{name} length"][missing] = -1
            assert self._layout.fields is not None
            start = self._layout.fields[name][1]
            kept[missing, start : start + self._layout[name].itemsize] = False
        return rows.view(np.uint8).reshape(len(rows), size)[kept].tobytes()


def _missing(values: NDArray[Any]) -> NDArray[np.bool_]:
    return np.asarray(np.isnan(values) if values.dtype.kind == "f" else values == MISSING)
