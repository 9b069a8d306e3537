"""What is archived of a day that was dropped: the ticks that came late, beside what it has.

The files of such a day are the only copy and stay. Its candles are archived as they were, and late
ticks change none.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

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

    Raises:
        ArchiveDamaged: a file cannot be read.
    """
    files_of = Counter(key for file in files for key in set(_instruments(store, file)))
    shared = pa.array([key for key, count in files_of.items() if count > 1], pa.int64())
    digest, held = Digest(), []
    for file in files:
        for batch in _batches(store, file):
            is_shared = pc.is_in(batch.column("instrument_id"), shared)
            held.append(batch.filter(is_shared))
            digest.add(batch.filter(pc.invert(is_shared)))
    rows = pa.Table.from_batches(held).sort_by([(name, "ascending") for name in _ORDER])
    for batch in rows.combine_chunks().to_batches():
        digest.add(batch)
    return digest


def _instruments(store: Store, file: ArchivedFile) -> Iterator[int]:
    for batch in _batches(store, file):
        yield from batch.column("instrument_id").unique().to_pylist()


def _batches(store: Store, file: ArchivedFile) -> Iterator[pa.RecordBatch]:
    with store.open(file.path) as opened:
        yield from parquet.batches(opened, file.path)
