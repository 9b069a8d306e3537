"""A tick on its way to clients, and how it is written for each mode."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from market_pipeline.market import MISSING, Mode
from market_pipeline.storage.tick_batches import TickBatch

_LTP = ("time", "last_price", "is_trade", "received_at")
_QUOTE = (
    *_LTP,
    "last_quantity",
    "average_price",
    "day_volume",
    "volume",
    "buy_quantity",
    "sell_quantity",
    "high",
    "low",
)
_FULL = (
    *_QUOTE,
    "open_interest",
    "bid_price",
    "bid_quantity",
    "ask_price",
    "ask_quantity",
    "exchange_time",
)
FIELDS = {Mode.LTP: _LTP, Mode.QUOTE: _QUOTE, Mode.FULL: _FULL}
"""What a client gets of a tick, by column of table `ticks`, besides the instrument."""

_TIMES = ("time", "received_at", "exchange_time")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class LiveTick:
    """One tick; written once for each mode that a client wants, when the first wants it."""

    __slots__ = ("_texts", "instrument_id", "name", "number", "stream", "values")

    def __init__(self, stream: str, number: int, name: str, values: dict[str, Any]) -> None:
        """Take the values by column: times in microseconds since 1970, None where there is none."""
        self.stream, self.number, self.name, self.values = stream, number, name, values
        self.instrument_id: int = values["instrument_id"]
        self._texts: dict[Mode, str] = {}

    def text(self, mode: Mode) -> str:
        """Return it as JSON."""
        if mode not in self._texts:
            self._texts[mode] = self._written(mode)
        return self._texts[mode]

    def _written(self, mode: Mode) -> str:
        told: dict[str, Any] = {"instrument": self.name, "instrument_id": self.instrument_id}
        for field in FIELDS[mode]:
            value = self.values[field]
            told[field] = at(value) if field in _TIMES and value is not None else value
        return to_json(told)


def live_ticks(
    batch: TickBatch, wanted: NDArray[np.int64], names: Mapping[int, str]
) -> Iterator[LiveTick]:
    """Yield the ticks of some instruments in the order of their arrival."""
    rows = np.flatnonzero(np.isin(batch.ticks["instrument_id"], wanted))
    taken = batch.taken(rows)
    columns = [_values(column) for column in taken.values()]
    for row, values in zip(rows.tolist(), zip(*columns, strict=True), strict=True):
        by_name = dict(zip(taken, values, strict=True))
        name = names[by_name["instrument_id"]]
        yield LiveTick(batch.stream, batch.first + row, name, by_name)


def _values(column: NDArray[Any]) -> list[Any]:
    """Return a column as Python's values."""
    values: list[Any] = column.tolist()
    if column.dtype.kind == "i":
        return [None if value == MISSING else value for value in values]
    if column.dtype.kind == "f":
        return [None if value != value else value for value in values]  # NaN alone is not itself
    return values


def at(microseconds: int) -> datetime:
    """Return the instant so many microseconds after the beginning of 1970."""
    return _EPOCH + timedelta(microseconds=microseconds)


def to_json(value: Any) -> str:
    """Write JSON; instants in UTC, with a Z."""
    return orjson.dumps(value, option=orjson.OPT_UTC_Z).decode()
