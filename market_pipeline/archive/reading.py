"""Reads what a day has in the database, a few instruments at a time."""

from collections.abc import Iterator
from datetime import date, datetime
from typing import NamedTuple

import polars as pl
import pyarrow as pa

from market_pipeline.archive.layout import ArchivedKind
from market_pipeline.sessions import bounds
from market_pipeline.storage.archives import Snapshot

ROWS_AT_ONCE = 4_000_000
"""How many rows the server is to sort: it reads the day once for each so many."""

_ROWS_OF_INSTRUMENT = 1  # in kind instruments
_OF_NONE = {"exchange": pl.String, "instrument_id": pl.Int64, "symbol": pl.String}


class Contents(NamedTuple):
    """What there is of a kind on an exchange: rows, volume and price of each instrument."""

    kind: ArchivedKind
    exchange: str
    instruments: pl.DataFrame

    @property
    def instrument_ids(self) -> list[int]:
        ids: list[int] = self.instruments["instrument_id"].to_list()
        return ids

    @property
    def rows(self) -> int:
        return int(self.instruments["rows"].sum())


def contents(reading: Snapshot, day: date) -> list[Contents]:
    """Return what there is of a day by kind and exchange, without those that have nothing."""
    start, ends = bounds(day)
    span = {"start": start, "ends": ends}
    counted = {
        ArchivedKind.TICKS: reading.rows("count_archived_ticks", **span),
        ArchivedKind.STANDBY_TICKS: reading.rows("count_archived_standby_ticks", **span),
        ArchivedKind.CANDLES: reading.rows("count_archived_candles", **span),
        ArchivedKind.REPAIRED_CANDLES: reading.rows("count_archived_repaired_candles", **span),
    }
    found = [
        Contents(kind, exchange, part)
        for kind, frame in counted.items()
        for exchange, part in _by_exchange(frame)
    ]
    return [*found, *_instruments(reading, found, span)]


def _instruments(
    reading: Snapshot, found: list[Contents], span: dict[str, datetime]
) -> Iterator[Contents]:
    ids = sorted({key for each in found for key in each.instrument_ids})
    if not ids:
        return
    known = _known(reading, ids, **span)
    counted = known.select(
        "exchange",
        "instrument_id",
        rows=pl.lit(_ROWS_OF_INSTRUMENT, pl.Int64),
        volume=pl.lit(None, pl.String),
        price=pl.lit(None, pl.Float64),
    )
    for exchange, part in _by_exchange(counted):
        yield Contents(ArchivedKind.INSTRUMENTS, exchange, part)


def _by_exchange(frame: pl.DataFrame) -> list[tuple[str, pl.DataFrame]]:
    parts = frame.partition_by("exchange", maintain_order=True)
    return sorted((part["exchange"][0], part) for part in parts)


def symbols(reading: Snapshot, wanted: Contents, day: date) -> dict[str, str]:
    """Return the symbols of a part's instruments by number."""
    known = _known(reading, wanted.instrument_ids, *bounds(day))
    pairs = zip(known["instrument_id"].to_list(), known["symbol"].to_list(), strict=True)
    return {str(number): symbol for number, symbol in pairs}


def _known(reading: Snapshot, ids: list[int], start: datetime, ends: datetime) -> pl.DataFrame:
    batches = list(reading.batches("archived_instruments", ids, start, ends))
    frame = pl.from_arrow(batches) if batches else pl.DataFrame(schema=_OF_NONE)
    assert isinstance(frame, pl.DataFrame)
    return frame


def rows_of(reading: Snapshot, wanted: Contents, day: date) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a part in the order of the archive: by instrument and time."""
    for stretch in stretches(wanted, day):
        match wanted.kind:
            case ArchivedKind.TICKS:
                yield from reading.batches("archived_ticks", *stretch)
            case ArchivedKind.STANDBY_TICKS:
                yield from reading.batches("archived_standby_ticks", *stretch)
            case ArchivedKind.CANDLES:
                yield from reading.batches("archived_candles", *stretch)
            case ArchivedKind.REPAIRED_CANDLES:
                yield from reading.batches("archived_repaired_candles", *stretch)
            case ArchivedKind.INSTRUMENTS:
                yield from reading.batches("archived_instruments", *stretch)


def stretches(wanted: Contents, day: date) -> Iterator[tuple[list[int], datetime, datetime]]:
    """Cut a part between instruments so that no stretch has many more rows than are sorted well.

    Each is some instruments, and from when to when.
    """
    start, ends = bounds(day)
    ids: list[int] = []
    waiting = 0
    for key, rows in wanted.instruments.select("instrument_id", "rows").iter_rows():
        if ids and waiting + rows > ROWS_AT_ONCE:
            yield ids, start, ends
            ids, waiting = [], 0
        ids, waiting = [*ids, key], waiting + rows
    if ids:
        yield ids, start, ends
