"""What is archived of a day that was dropped: the ticks that came late, beside what it has.

The files of such a day are the only copy and stay. Its candles are archived as they were, and late
ticks change none.
"""

import heapq
from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise
from typing import NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa

from market_pipeline.archive import parquet
from market_pipeline.archive.digest import Digest
from market_pipeline.archive.layout import ArchivedKind
from market_pipeline.archive.reading import Contents
from market_pipeline.archive.store import Store
from market_pipeline.storage.archives import ArchivedFile

OF_TICKS = (ArchivedKind.TICKS, ArchivedKind.STANDBY_TICKS)

_ORDER = (
    *("instrument_id", "time", "seq", "received_at", "feed", "last_price", "last_quantity"),
    *("average_price", "day_volume", "volume", "open_interest", "buy_quantity", "sell_quantity"),
    *("bid_price", "bid_quantity", "ask_price", "ask_quantity", "high", "low", "exchange_time"),
    "is_trade",
)
"""As in sql/queries/archived_ticks.sql."""


def known_instruments(store: Store, kept: Sequence[ArchivedFile]) -> set[int] | None:
    """Return the instruments that files tell of; None if the day has no files that stay."""
    if not kept:
        return None
    files = [each for each in kept if each.kind == ArchivedKind.INSTRUMENTS]
    return {key for file in files for key in _instruments(store, file)}


def lacking(found: Sequence[Contents], known: set[int] | None) -> list[Contents]:
    """Return what of a day's contents is to be archived."""
    if known is None:
        return list(found)
    late = [each for each in found if each.kind in OF_TICKS]
    new = {key for each in late for key in each.instrument_ids} - known
    about = [
        each._replace(instruments=each.instruments.filter(pl.col("instrument_id").is_in(new)))
        for each in found
        if each.kind == ArchivedKind.INSTRUMENTS
    ]
    return [*late, *(each for each in about if each.rows)]


def together(store: Store, files: Sequence[ArchivedFile]) -> Digest:
    """Return what the values of several files come to as if all rows were in one.

    Each is by instrument already; so no more than one instrument's rows are held at a time.

    Raises:
        ArchiveDamaged: a file cannot be read.
    """
    digest = Digest()
    parts = heapq.merge(*(_parts(store, file) for file in files), key=lambda part: part.instrument)
    for _, group in groupby(parts, key=lambda part: part.instrument):
        of_one = list(group)
        rows = [part.rows for part in of_one]
        for batch in rows if len({part.path for part in of_one}) == 1 else in_order(rows):
            digest.add(batch)
    return digest


def in_order(rows: Sequence[pa.RecordBatch]) -> list[pa.RecordBatch]:
    """Return the rows of an instrument as one file would have them."""
    table = pa.Table.from_batches(rows).sort_by([(name, "ascending") for name in _ORDER])
    batches: list[pa.RecordBatch] = table.combine_chunks().to_batches()
    return batches


class _Part(NamedTuple):
    """Rows of one instrument that follow each other in a file."""

    instrument: int
    path: str
    rows: pa.RecordBatch


def _parts(store: Store, file: ArchivedFile) -> Iterator[_Part]:
    for batch in _batches(store, file):
        keys = batch.column("instrument_id").to_numpy()
        edges = [0, *(np.flatnonzero(np.diff(keys)) + 1).tolist(), len(keys)]
        for start, end in pairwise(edges):
            if end > start:
                yield _Part(int(keys[start]), file.path, batch.slice(start, end - start))


def _instruments(store: Store, file: ArchivedFile) -> Iterator[int]:
    for batch in _batches(store, file):
        yield from batch.column("instrument_id").unique().to_pylist()


def _batches(store: Store, file: ArchivedFile) -> Iterator[pa.RecordBatch]:
    with store.open(file.path) as opened:
        yield from parquet.batches(opened, file.path)
