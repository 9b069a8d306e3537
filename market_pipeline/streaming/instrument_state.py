"""What is known of each instrument: of its newest packet in order, and of its session."""

from io import BytesIO
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from market_pipeline.market import MISSING, Columns

_STATE_COLUMNS = {
    "instrument_id": "i8",
    "day": "i8",  # trading date of the newest packet, days since 1970-01-01
    "day_volume": "i8",
    "last_trade_time": "i8",
    "exchange_time": "i8",
    "last_price": "f8",
    "day_high": "f8",
    "day_low": "f8",
    "connection": "i8",  # of the packet that the above is from
    "seen_on": "i8",  # the connection of the last packet, whatever became of it
    "own_on": "i8",  # that of the last packet of the observer's own feed
    "mixed": "i8",  # 1 if another feed has told of this session too
}


class InstrumentState:
    """A row for each instrument that was ever seen, sorted by its id."""

    def __init__(self) -> None:
        self.columns: Columns = {name: np.zeros(0, kind) for name, kind in _STATE_COLUMNS.items()}

    def copy(self) -> "InstrumentState":
        other = InstrumentState()
        other.columns = {name: column.copy() for name, column in self.columns.items()}
        return other

    def dump(self) -> bytes:
        """Write the state as Arrow IPC."""
        buffer = BytesIO()
        pl.DataFrame(self.columns).write_ipc(buffer)
        return buffer.getvalue()

    @classmethod
    def load(cls, state: bytes) -> Self:
        """Read a state that was dumped."""
        frame = pl.read_ipc(BytesIO(state))
        if "own_on" not in frame.columns:  # written when there was one feed
            frame = frame.with_columns(own_on="seen_on", mixed=pl.lit(0))
        loaded = cls()
        loaded.columns = {n: frame[n].to_numpy().astype(k) for n, k in _STATE_COLUMNS.items()}
        return loaded

    def slots(self, sorted_ids: NDArray[np.int64]) -> NDArray[np.intp]:
        """Return where in the state each instrument is, adding those never seen."""
        known = self.columns["instrument_id"]
        starts = np.flatnonzero(np.diff(sorted_ids, prepend=-1))
        distinct = sorted_ids[starts]
        place = np.searchsorted(known, distinct)
        is_known = place < known.size
        is_known[is_known] = known[place[is_known]] == distinct[is_known]
        if not is_known.all():
            self._add(distinct[~is_known])
            place = np.searchsorted(self.columns["instrument_id"], distinct)
        return np.repeat(place, np.diff(starts, append=len(sorted_ids)))

    def _add(self, new: NDArray[np.int64]) -> None:
        order = np.argsort(np.concatenate([self.columns["instrument_id"], new]), kind="stable")
        for name, column in self.columns.items():
            blank = np.full(new.size, np.nan if column.dtype.kind == "f" else MISSING)
            added = new if name == "instrument_id" else blank.astype(column.dtype)
            self.columns[name] = np.concatenate([column, added])[order]
