"""Brings days of ticks back from the archive, equal to what was certified or not at all."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import groupby

import polars as pl
import pyarrow as pa

from market_pipeline.archive import additions, parquet
from market_pipeline.archive.additions import OF_TICKS
from market_pipeline.archive.digest import Digest
from market_pipeline.archive.layout import ArchivedKind
from market_pipeline.archive.reading import Contents, stretches
from market_pipeline.archive.store import Store
from market_pipeline.archive.verifying import verify
from market_pipeline.errors import ArchiveDamaged, ArchiveError
from market_pipeline.storage import archives, retention
from market_pipeline.storage.archives import ArchivedFile, Certificate
from market_pipeline.storage.database import Database
from market_pipeline.storage.retention import Restoration

Reached = Callable[[str], None]
Loaded = Callable[[int, int], None]
"""Is told how many rows are loaded, and of how many."""


def restore_day(
    database: Database,
    store: Store,
    day: date,
    keep_days: int,
    reached: Reached = lambda stage: None,
    loaded: Loaded = lambda rows, of: None,
) -> Certificate:
    """Bring the ticks of a day back, and what stood by, for some days; return the certificate.

    In one transaction, which ends only once the database was read and found to have what the
    certificate says. Candles stay as they are stored. On TimescaleDB streams wait meanwhile for
    what needs a new chunk, as the first ticks of a day do.

    Raises:
        ArchiveDamaged: names the file, or the database took other values than it was given.
        ArchiveError: the day is there, or some of it, or is not archived.
        DatabaseError: nothing is restored.
    """
    if (damage := verify(database, store, day, values=False)) is not None:
        raise ArchiveDamaged(f"{day} is not restored, its archive is damaged: {damage}")
    reached("verified")
    with archives.holding(database, day):
        certificate = archives.certificate(database, day)
        if certificate is None:
            raise ArchiveError(f"{day} is not archived")
        files = [each for each in archives.files(database, day) if each.kind in OF_TICKS]
        with retention.restoring(database, day) as restoration:
            reached("begun")
            _Restorer(store, restoration, day).restore(files, reached, loaded)
            restoration.attach(datetime.now(UTC) + timedelta(days=keep_days))
        reached("attached")
    return certificate


class _Restorer:
    def __init__(self, store: Store, restoration: Restoration, day: date) -> None:
        self._store, self._restoration, self._day = store, restoration, day
        self._rows = 0

    def restore(self, files: Sequence[ArchivedFile], reached: Reached, loaded: Loaded) -> None:
        total = sum(each.rows for each in files)
        counts = [self._load(file, lambda rows: loaded(rows, total)) for file in files if file.rows]
        reached("loaded")
        self._restoration.index()
        reached("indexed")
        pairs = zip((file for file in files if file.rows), counts, strict=True)
        for (kind, exchange), group in groupby(
            sorted(pairs, key=lambda pair: _place(pair[0])), key=lambda pair: _place(pair[0])
        ):
            of_group = list(group)
            rows = sum((count for _, count in of_group), Counter[int]())
            self._compare(ArchivedKind(kind), exchange, [file for file, _ in of_group], rows)
        reached("compared")

    def _load(self, file: ArchivedFile, loaded: Callable[[int], None]) -> Counter[int]:
        """Write a file's rows to the database; return how many there are of each instrument."""
        counts: Counter[int] = Counter()

        def counted(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            for batch in batches:
                found = batch.column("instrument_id").value_counts().flatten()
                keys, numbers = (each.to_pylist() for each in found)
                counts.update(dict(zip(keys, numbers, strict=True)))
                self._rows += batch.num_rows
                loaded(self._rows)
                yield batch

        with self._store.open(file.path) as opened:
            batches = parquet.batches(opened, file.path)
            first = next(batches)
            plain = pa.schema([each.remove_metadata() for each in first.schema])
            rows = counted(each.cast(plain) for each in _chain(first, batches))
            self._restoration.load(file.kind, pa.RecordBatchReader.from_batches(plain, rows))
        return counts

    def _compare(
        self, kind: ArchivedKind, exchange: str, files: Sequence[ArchivedFile], rows: Counter[int]
    ) -> None:
        """Require that the database has what files hold, whether one or more."""
        if len(files) == 1:
            expected = files[0].content_sha256
        else:
            expected = additions.together(self._store, files).content()
        counted = sorted(rows.items())
        frame = pl.DataFrame(
            {"instrument_id": [key for key, _ in counted], "rows": [each for _, each in counted]}
        )
        found = Digest()
        for stretch in stretches(Contents(kind, exchange, frame), self._day):
            if kind is ArchivedKind.TICKS:
                batches = self._restoration.batches("restored_ticks", *stretch)
            else:
                batches = self._restoration.batches("restored_standby_ticks", *stretch)
            for batch in batches:
                found.add(batch)
        if found.content() != expected:
            raise ArchiveDamaged(
                f"{self._day} is not restored: the database has other {kind} of {exchange} than "
                f"{', '.join(file.path for file in files)}"
            )


def _place(file: ArchivedFile) -> tuple[str, str]:
    return file.kind, file.exchange


def _chain(first: pa.RecordBatch, rest: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    yield first
    yield from rest
