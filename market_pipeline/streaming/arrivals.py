"""Packets on their way from frames to ticks: of which instrument, when and how they came."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from market_pipeline.market import Columns

_NOT_NEEDED = {"token", "day_open", "previous_close"}


@dataclass(frozen=True)
class Arrivals:
    """Packets that were matched to instruments, in order of arrival.

    `received_at` is in microseconds since 1970; `connection` names the connection, rising; `feed`
    is the place of the broker that sent it.
    """

    packets: Columns
    instrument_id: NDArray[np.int64]
    is_index: NDArray[np.bool_]
    received_at: NDArray[np.int64]
    connection: NDArray[np.int64]
    feed: NDArray[np.int16]

    def __len__(self) -> int:
        return len(self.instrument_id)

    @property
    def identities(self) -> Columns:
        """All but the packets, by column name."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "packets"}

    @classmethod
    def of_columns(cls, columns: Columns) -> Self:
        """Make arrivals of their packets and identities in one."""
        own = {f.name for f in fields(cls)} - {"packets"}
        packets = {name: column for name, column in columns.items() if name not in own}
        return cls(packets=packets, **{name: columns[name] for name in own})

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Put arrivals behind each other."""
        if len(parts) == 1:
            return parts[0]
        columns = [{**part.packets, **part.identities} for part in parts]
        common = [name for name in columns[0] if all(name in each for each in columns)]
        return cls.of_columns({n: np.concatenate([each[n] for each in columns]) for n in common})

    def taken(self, rows: NDArray[Any]) -> Self:
        picked = {n: column[rows] for n, column in self.packets.items() if n not in _NOT_NEEDED}
        rest = {name: column[rows] for name, column in self.identities.items()}
        return type(self)(packets=picked, **rest)
