"""A minute of trading: its candle, and the trades that make exactly that candle.

Seeded and replayed exchanges both say what each minute's candle is; `split` turns it into
trades. Whatever needs a whole day (cumulative volume, the day's high, history) reads candles and
whatever needs an instant reads trades, and the two cannot disagree.
"""

from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from market_pipeline.sessions import Session
from market_pipeline.simulator.noise import Bits, Int, fraction, hashed, integer


class Minutes(NamedTuple):
    """One-minute candles, arrays of one shape. Without trades the figures mean nothing."""

    minute: Int  # since 1970
    open: Int
    high: Int
    low: Int
    close: Int
    volume: Int
    open_interest: Int
    trades: Int  # 60 at most: no instrument trades twice in a second

    def pick(self, chosen: Any) -> "Minutes":
        """Index every array alike."""
        return Minutes(*(values[chosen] for values in self))


class Tape(Protocol):
    """What happened, by instrument and minute."""

    keys: Bits
    """A hash key for each instrument."""
    grid: Int
    """The price step of each instrument's trades."""

    def minutes(self, rows: Int, session: Session, first: int, count: int) -> Minutes:
        """Return `count` minutes of a session from `first` on, shaped (rows, count)."""

    def closing(self, rows: Int, session: Session) -> Minutes:
        """Return what each instrument closed a session at, even if it did not trade in it."""


class Trades(NamedTuple):
    """The trades of a minute, shaped (instruments, most trades of any); see `exists`."""

    exists: NDArray[np.bool_]
    second: Int  # since 1970; distinct and rising
    price: Int
    volume: Int  # cumulative within the minute


def split(minute: Minutes, keys: Bits, grid: Int, lot: Int) -> Trades:
    """Make the trades of one minute for each instrument. Deterministic.

    The first trades at the open and the last at the close, the high and the low are visited and
    not exceeded, and the quantities add up to the volume. Three trades can visit one price beyond
    open and close, four can visit two: `trades` must allow for it.
    """
    count = minute.trades[:, None]
    place = np.arange(max(int(minute.trades.max(initial=0)), 1))
    bits = hashed(keys[:, None], minute.minute[:, None] * 64 + place)
    return Trades(
        exists=place < count,
        second=minute.minute[:, None] * 60 + _seconds(count, place, bits),
        price=_prices(minute, place, bits, grid[:, None]),
        volume=_volumes(minute, place, bits, lot[:, None]),
    )


def _seconds(count: Int, place: Int, bits: Bits) -> Int:
    """Cut the minute into as many slots as there are trades and take a second from each."""
    slots = np.maximum(count, 1)
    start = place * 60 // slots
    width = (place + 1) * 60 // slots - start
    second: Int = start + integer(bits, 0) % np.maximum(width, 1)
    return second


def _prices(minute: Minutes, place: Int, bits: Bits, grid: Int) -> Int:
    opened, high, low, close = (
        values[:, None] for values in (minute.open, minute.high, minute.low, minute.close)
    )
    count = minute.trades[:, None]
    line = opened + (close - opened) * (place / np.maximum(count - 1, 1))
    shaken = line + (fraction(bits, 12) - 0.5) * (high - low)
    price: Int = np.clip(np.rint(shaken / grid).astype(np.int64) * grid, low, high)
    _visit_extremes(price, minute, bits)
    price[:, 0] = minute.open
    last = np.maximum(minute.trades, 1) - 1
    price[np.arange(len(price)), last] = minute.close
    return price


def _visit_extremes(price: Int, minute: Minutes, bits: Bits) -> None:
    """Put the high and the low on two different trades between the first and the last."""
    count = minute.trades
    inner = np.maximum(count - 2, 1)
    top = integer(bits[:, 0], 24) % inner
    bottom = (top + 1 + integer(bits[:, 0], 36) % np.maximum(inner - 1, 1)) % inner
    above = minute.high > np.maximum(minute.open, minute.close)
    for at, extreme, wanted in (
        (bottom, minute.low, (count >= 4) | ((count == 3) & ~above)),
        (top, minute.high, (count >= 4) | ((count == 3) & above)),
    ):
        rows = np.flatnonzero(wanted)
        price[rows, 1 + at[rows]] = extreme[rows]


def _volumes(minute: Minutes, place: Int, bits: Bits, lot: Int) -> Int:
    """Share the volume out in whole lots, one at least to each trade if there are enough."""
    count = minute.trades[:, None]
    lots = minute.volume[:, None] // lot
    weight = np.where(place < count, 1 + integer(bits, 48, 8), 0)
    share = np.cumsum(weight, axis=1)
    whole = np.maximum(share[:, -1:], 1)
    enough = lots >= count
    spare = np.where(enough, lots - count, lots)
    traded: Int = np.where(enough, place + 1, 0) + spare * share // whole
    return traded * lot
