"""Columns as PostgreSQL's binary COPY format, made by numpy without a Python object a value.

The format is in https://www.postgresql.org/docs/current/sql-copy.html#id-1.9.3.55.9.4: a header,
then for each row a field count and for each field a length and that many bytes, all big endian;
the length of NULL is -1 and no bytes follow.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from market_pipeline.market import MISSING, Columns

_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"
_POSTGRES_EPOCH = 946_684_800_000_000  # 2000-01-01 in microseconds since 1970
_WIRE = {"i8": ">i8", "f8": ">f8", "?": "?", "time": ">i8"}


class Field(NamedTuple):
    """A column: its kind is i8, f8, ? or time (microseconds since 1970)."""

    name: str
    kind: str
    nullable: bool


class CopyEncoder:
    """Writes rows of one table; MISSING integers and NaN become NULL in nullable columns."""

    def __init__(self, fields: list[Field]) -> None:
        self._fields = fields
        layout: list[tuple[str, str]] = [("count", ">i2")]
        for field in fields:
            layout += [(f"{field.name} length", ">i4"), (field.name, _WIRE[field.kind])]
        self._layout: np.dtype[Any] = np.dtype(layout)

    def encode(self, columns: Columns) -> bytes:
        """Return a whole COPY BINARY stream."""
        count = len(columns[self._fields[0].name])
        rows = np.empty(count, self._layout)
        rows["count"] = len(self._fields)
        nulls: list[tuple[str, NDArray[np.bool_]]] = []
        for name, kind, nullable in self._fields:
            values = columns[name]
            missing = _missing(values) if nullable else None
            shift = _POSTGRES_EPOCH if kind == "time" else 0
            rows[name] = values - shift if shift else values
            length = self._layout[name].itemsize
            rows[f"{name} length"] = length
            if missing is not None and missing.any():
                rows[f"{name} length"][missing] = -1
                nulls.append((name, missing))
        return _HEADER + (self._without(rows, nulls) if nulls else rows.tobytes()) + _TRAILER

    def _without(self, rows: NDArray[Any], nulls: list[tuple[str, NDArray[np.bool_]]]) -> bytes:
        """Cut the bytes of NULL values out of the rows."""
        size = self._layout.itemsize
        kept = np.ones((len(rows), size), bool)
        for name, missing in nulls:
            assert self._layout.fields is not None
            start = self._layout.fields[name][1]
            kept[missing, start : start + self._layout[name].itemsize] = False
        return rows.view(np.uint8).reshape(len(rows), size)[kept].tobytes()


def _missing(values: NDArray[Any]) -> NDArray[np.bool_]:
    return np.asarray(np.isnan(values) if values.dtype.kind == "f" else values == MISSING)
