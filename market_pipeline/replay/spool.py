"""Ticks that come by instrument, kept on disk meanwhile, and handed out as they were received.

A day is more than fits in memory. Its ticks are divided into some minutes each by when they were
received, and only those of one stretch are sorted at a time.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from market_pipeline.market import MISSING, TICK_COLUMNS, Columns
from market_pipeline.replay.pace import Portion

_STRETCH = 300_000_000  # microseconds
_TIMES = ("time", "exchange_time", "received_at")
_STANDS_BY = "stands_by"
_OPTIONS = pa.ipc.IpcWriteOptions(compression="lz4")


class Spool:
    """Holds ticks in a folder; first all are added, then all are read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writers: dict[int, pa.RecordBatchStreamWriter] = {}
        self.rows = 0

    def add(self, ticks: Columns, stands_by: bool) -> None:
        """Keep ticks; of one instrument they come in order of arrival."""
        self.rows += len(ticks["time"])
        stretches = ticks["received_at"] // _STRETCH
        order = np.argsort(stretches, kind="stable")
        columns = {name: column[order] for name, column in ticks.items()}
        columns[_STANDS_BY] = np.full(len(order), stands_by)
        keys, starts = np.unique(stretches[order], return_index=True)
        batch = pa.record_batch(columns)
        for key, start, end in zip(
            keys.tolist(), starts.tolist(), [*starts[1:].tolist(), len(order)], strict=True
        ):
            self._writer(key, batch.schema).write_batch(batch.slice(start, end - start))

    def _writer(self, key: int, schema: pa.Schema) -> pa.RecordBatchStreamWriter:
        if key not in self._writers:
            file = self._folder / f"{key}.arrow"
            self._writers[key] = pa.ipc.new_stream(str(file), schema, options=_OPTIONS)
        return self._writers[key]

    def portions(self, portion: Portion) -> Iterator[tuple[Columns, NDArray[np.bool_]]]:
        """Yield ticks in the order of their arrival, and which of them are of who stood by."""
        for writer in self._writers.values():
            writer.close()
        span = min(portion.nanoseconds // 1000, 2**60)
        for key in sorted(self._writers):
            file = self._folder / f"{key}.arrow"
            columns = _read(file)
            file.unlink()
            stands_by = columns.pop(_STANDS_BY)
            for start, end in _edges(columns["received_at"], span, portion.size):
                part = {name: column[start:end] for name, column in columns.items()}
                yield part, stands_by[start:end]


def _read(file: Path) -> Columns:
    with pa.OSFile(str(file)) as opened, pa.ipc.open_stream(opened) as reader:
        table = reader.read_all()
    columns = {name: table[name].to_numpy() for name in table.column_names}
    order = np.lexsort((columns["seq"] & 0xFFFFFFFF, columns["received_at"]))
    return {name: column[order] for name, column in columns.items()}


def _edges(received_at: NDArray[np.int64], span: int, most: int) -> Iterator[tuple[int, int]]:
    start = 0
    while start < len(received_at):
        until = int(np.searchsorted(received_at, received_at[start] + span))
        end = max(start + 1, min(until, start + most))
        yield start, end
        start = end


def columns_of(rows: pa.RecordBatch) -> Columns:
    """Return rows of table `ticks` as a writer holds ticks, but for the number of the feed."""
    columns: Columns = {}
    for name, kind in TICK_COLUMNS.items():
        column = rows.column(name)
        if name in _TIMES:
            column = column.cast(pa.timestamp("us", column.type.tz)).cast(pa.int64())
        if column.null_count:
            column = column.fill_null(np.nan if kind == "f8" else MISSING)
        columns[name] = column.to_numpy(zero_copy_only=False).astype(kind, copy=False)
    return columns


@contextmanager
def emptied(folder: Path) -> Iterator[Path]:
    """Have nothing in a folder, neither of a replay before that was killed, nor afterwards."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
