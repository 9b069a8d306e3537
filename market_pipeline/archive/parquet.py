"""Writes rows to a Parquet file as they come, and reads them back a group at a time."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from market_pipeline.archive.digest import Digest
from market_pipeline.errors import ArchiveDamaged

ROWS_OF_GROUP = 65_536
"""So few that one instrument is read without many others, so many that they compress."""

_LEVEL = 6  # of zstd
_RISING = ("time", "seq", "received_at", "exchange_time", "day_volume")
_CHUNK = 1 << 20


class ParquetFile:
    """A Parquet file under way; use it as a context manager."""

    def __init__(self, file: Path, about: Mapping[str, Any]) -> None:
        """Write to a new file; `about` is kept in it, so that it explains itself."""
        self._file, self._about = file, {"market_pipeline": json.dumps(dict(about))}
        self._writer: pq.ParquetWriter | None = None
        self._waiting: list[pa.RecordBatch] = []
        self._rows = 0

    def __enter__(self) -> "ParquetFile":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._flush()
        if self._writer is not None:
            self._writer.close()

    def write(self, batch: pa.RecordBatch) -> None:
        """Add rows."""
        self._waiting.append(batch)
        self._rows += batch.num_rows
        if self._rows >= ROWS_OF_GROUP:
            self._flush()

    def _flush(self) -> None:
        if not self._waiting:
            return
        rows = pa.Table.from_batches(self._waiting)
        if self._writer is None:
            self._writer = self._open(rows.schema)
        self._writer.write_table(rows.cast(self._writer.schema), row_group_size=ROWS_OF_GROUP)
        self._waiting, self._rows = [], 0

    def _open(self, schema: pa.Schema) -> pq.ParquetWriter:
        plain = pa.schema([each.remove_metadata() for each in schema], metadata=self._about)
        return pq.ParquetWriter(
            self._file,
            plain,
            compression="zstd",
            compression_level=_LEVEL,
            use_dictionary=[name for name in plain.names if name not in _RISING],
            column_encoding={n: "DELTA_BINARY_PACKED" for n in plain.names if n in _RISING},
            write_page_index=True,
            write_page_checksum=True,
        )


def batches(opened: IO[bytes], path: str) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a Parquet file, checking the sums of its pages.

    Raises:
        ArchiveDamaged: it is none, or not whole.
    """
    with damage_named(path):
        with pq.ParquetFile(opened, page_checksum_verification=True) as file:
            for group in range(file.num_row_groups):  # all at once it reads ahead, and keeps much
                yield from file.iter_batches(batch_size=ROWS_OF_GROUP, row_groups=[group])


def content(opened: IO[bytes], path: str) -> Digest:
    """Take in the values of a Parquet file; raises as `batches`."""
    found = Digest()
    for batch in batches(opened, path):
        with damage_named(path):
            found.add(batch)
    return found


def sha256(opened: IO[bytes]) -> str:
    """Return the SHA-256 of a file's bytes."""
    found = hashlib.sha256()
    while part := opened.read(_CHUNK):
        found.update(part)
    return found.hexdigest()


@contextmanager
def damage_named(path: str) -> Iterator[None]:
    """Turn what Arrow says of bytes that are no Parquet into our error, with the file's name."""
    try:
        yield
    except (pa.ArrowException, KeyError, OSError) as error:
        raise ArchiveDamaged(f"{path} cannot be read: {str(error).splitlines()[0]}") from error
