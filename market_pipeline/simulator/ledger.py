"""The running figures of each instrument's session, carried forward minute by minute."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from market_pipeline.sessions import Session
from market_pipeline.simulator.noise import Int
from market_pipeline.simulator.tape import Minutes, Tape

Days = NDArray[np.void]
"""An array of DAY."""

DAY = np.dtype(
    [
        ("traded", "?"),  # without a trade the other figures mean nothing
        ("open", "i8"),
        ("high", "i8"),
        ("low", "i8"),
        ("volume", "i8"),
        ("turnover", "f8"),
        *((f"last_{name}", "i8") for name in Minutes._fields),  # the last minute with trades
    ]
)
NO_LOW = 1 << 62
_CELLS_AT_ONCE = 150_000  # keeps the arrays of a long catch-up within the processor's cache


def fold(minutes: Minutes) -> Days:
    """Sum up consecutive minutes, shaped (instruments, minutes)."""
    days = np.zeros(len(minutes.trades), DAY)
    traded = minutes.trades > 0
    each = np.arange(len(days))
    last = traded.shape[1] - 1 - traded[:, ::-1].argmax(axis=1)
    days["traded"] = traded.any(axis=1)
    days["open"] = minutes.open[each, traded.argmax(axis=1)]
    days["high"] = np.where(traded, minutes.high, 0).max(axis=1)
    days["low"] = np.where(traded, minutes.low, NO_LOW).min(axis=1)
    days["volume"] = minutes.volume.sum(axis=1)
    days["turnover"] = (minutes.volume * typical_price(minutes)).sum(axis=1)
    for name, values in zip(Minutes._fields, minutes, strict=True):
        days[f"last_{name}"] = values[each, last]
    return days


def typical_price(minutes: Minutes) -> NDArray[np.float64]:
    """Return the price that stands for a whole minute in the day's average."""
    return np.asarray((minutes.open + minutes.high + minutes.low + minutes.close) / 4)


def last_minutes(days: Days) -> Minutes:
    """Return the last minute in which each instrument traded."""
    return Minutes(*(days[f"last_{name}"] for name in Minutes._fields))


def merge(earlier: Days, later: Days) -> Days:
    """Join the figures of two successive stretches of one session."""
    merged = np.where(later["traded"], later, earlier)
    both = np.flatnonzero(earlier["traded"] & later["traded"])
    before, after = earlier[both], later[both]
    merged["open"][both] = before["open"]
    merged["high"][both] = np.maximum(before["high"], after["high"])
    merged["low"][both] = np.minimum(before["low"], after["low"])
    merged["volume"][both] = before["volume"] + after["volume"]
    merged["turnover"][both] = before["turnover"] + after["turnover"]
    return merged


class Ledger:
    """Remembers how far each instrument's session was summed up, so that no minute is read twice.

    Any instant can be asked for; going back is merely slower.
    """

    def __init__(self, tape: Tape, size: int) -> None:
        self._tape = tape
        self._days = np.zeros(size, DAY)
        self._opened = np.full(size, -1)  # the first minute of the session that is summed up
        self._until = np.full(size, -1)

    def before(self, rows: Int, session: Session, minute: int) -> Days:
        """Sum up the session of each instrument from its opening up to `minute`, not included."""
        first = int(session.opens_at.timestamp()) // 60
        past = (self._opened[rows] > first) | (
            (self._opened[rows] == first) & (self._until[rows] > minute)
        )
        if not past.any():
            self._advance(rows, session, first, minute)
            return self._days[rows]
        days = np.zeros(len(rows), DAY)
        days[past] = self._sum(rows[past], session, first, minute)
        if not past.all():
            days[~past] = self.before(rows[~past], session, minute)
        return days

    def _advance(self, rows: Int, session: Session, first: int, minute: int) -> None:
        new = rows[self._opened[rows] < first]
        self._days[new] = np.zeros(1, DAY)
        self._opened[new] = self._until[new] = first
        behind = rows[self._until[rows] < minute]
        for start in np.unique(self._until[behind]):
            group = behind[self._until[behind] == start]
            added = self._sum(group, session, int(start), minute)
            self._days[group] = merge(self._days[group], added)
        self._until[behind] = minute

    def _sum(self, rows: Int, session: Session, first: int, end: int) -> Days:
        if end <= first:
            return np.zeros(len(rows), DAY)
        step = max(_CELLS_AT_ONCE // (end - first), 1)
        parts: list[NDArray[Any]] = [
            fold(self._tape.minutes(rows[i : i + step], session, first, end - first))
            for i in range(0, len(rows), step)
        ]
        return np.concatenate(parts) if parts else np.zeros(0, DAY)
