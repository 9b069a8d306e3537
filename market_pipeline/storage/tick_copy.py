"""How ticks are written: as COPY BINARY, with the numbers that stand for their brokers."""

from collections.abc import Sequence
from typing import Self

import numpy as np

from market_pipeline.market import MISSING, TICK_COLUMNS, Columns
from market_pipeline.storage.copy_binary import CopyEncoder, Field
from market_pipeline.storage.database import Connection, load_query, run

_TIMES = ("time", "exchange_time", "received_at")
_NOT_NULL = ("time", "instrument_id", "seq", "last_price", "high", "low", "received_at", "is_trade")
_FIELDS = [
    Field(name, "time" if name in _TIMES else kind, name not in _NOT_NULL)
    for name, kind in TICK_COLUMNS.items()
]


class TickCopy:
    """Writes ticks with COPY BINARY on an open transaction; `numbers` stand for their feeds.

    A tick whose feed is MISSING, as in an archive of before there were two, has none in the table.
    """

    def __init__(self, numbers: Sequence[int]) -> None:
        self._numbers = np.array([*numbers, MISSING], np.int16)  # which the last place is, -1
        self._encoder = tick_encoder()

    @classmethod
    def of(cls, connection: Connection, brokers: Sequence[str]) -> Self:
        """Find which numbers stand for some brokers in the database; new ones are given one."""
        run(connection, "add_feeds", brokers=list(brokers))
        numbers = dict(run(connection, "feed_numbers", brokers=list(brokers)).fetchall())
        return cls([numbers[broker] for broker in brokers])

    def write(self, connection: Connection, query: str, ticks: Columns) -> None:
        """Write ticks, if there are any, with a COPY statement by its name."""
        if not len(ticks["time"]):
            return
        with connection.cursor().copy(load_query(query).text) as copy:
            for part in self._encoder.parts({**ticks, "feed": self._numbers[ticks["feed"]]}):
                copy.write(part)


def tick_encoder() -> CopyEncoder:
    """Return the encoder of table `ticks`."""
    return CopyEncoder(_FIELDS)
