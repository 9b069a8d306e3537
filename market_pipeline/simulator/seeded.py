"""An invented tape: any minute of any day follows from the seed, without the minutes before it."""

import numpy as np

from market_pipeline.sessions import Session
from market_pipeline.simulator.listing import Listing
from market_pipeline.simulator.noise import (
    Bits,
    Int,
    drift,
    fraction,
    hashed,
    integer,
    keys_of,
)
from market_pipeline.simulator.tape import Minutes

_CANDLE, _PATH, _INTEREST, _TRADE = range(4)
_MOST_TRADES = 20
_WICK = 3e-4  # of the price


class SeededTape:
    """Trading that looks plausible. With `every_second` all instruments trade 60 times a minute."""

    def __init__(self, listing: Listing, seed: int, every_second: bool = False) -> None:
        self._listing = listing
        self._every_second = every_second
        self.keys: Bits = keys_of(seed, listing.token, _TRADE)
        self.grid: Int = listing.tick
        self._candle_keys = keys_of(seed, listing.token, _CANDLE)
        self._path_keys = keys_of(seed, listing.path, _PATH)
        self._interest_keys = keys_of(seed, listing.token, _INTEREST)

    def minutes(self, rows: Int, session: Session, first: int, count: int) -> Minutes:
        minute = np.broadcast_to(np.arange(first, first + count), (len(rows), count))
        bits = hashed(self._candle_keys[rows][:, None], minute)
        last = int(session.closes_at.timestamp()) // 60 - 1
        trades = self._trades(rows, bits, minute == last)
        opened, high, low, close = self._prices(rows, bits, trades, first)
        return Minutes(
            minute=minute,
            open=opened,
            high=high,
            low=low,
            close=close,
            volume=self._volume(rows, bits, trades),
            open_interest=self._open_interest(rows, first, count),
            trades=trades,
        )

    def closing(self, rows: Int, session: Session) -> Minutes:
        last = int(session.closes_at.timestamp()) // 60 - 1
        return self.minutes(rows, session, last, 1).pick((slice(None), 0))

    def _trades(
        self, rows: Int, bits: Bits, is_last: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]
    ) -> Int:
        """Say how many trades each minute has.

        Every instrument trades in the last minute of its session, so that a closing price is
        found without looking further back.
        """
        if self._every_second:
            return np.full(bits.shape, 60)
        rate = self._listing.rate[rows][:, None]
        trades = (rate * (0.5 + fraction(bits, 0)) + fraction(bits, 12)).astype(np.int64)
        return np.clip(trades, is_last.astype(np.int64), _MOST_TRADES)

    def _prices(self, rows: Int, bits: Bits, trades: Int, first: int) -> tuple[Int, ...]:
        listing = self._listing
        tick = listing.tick[rows][:, None]
        walk = drift(self._path_keys[rows], first, bits.shape[1] + 1)
        level = listing.price[rows][:, None] * (1 + listing.swing[rows][:, None] * walk)
        ticks = np.maximum(np.rint(level / tick), 1).astype(np.int64)
        close = ticks[:, 1:]
        # A new minute does not open exactly where the last one closed.
        opened = np.maximum(ticks[:, :-1] + integer(bits, 24, 8) % 3 - 1, 1)
        opened = np.where(trades == 1, close, opened)
        reach = 1 + close * _WICK
        up = np.where(trades >= 3, fraction(bits, 32, 10) * reach + 0.4, 0).astype(np.int64)
        down = np.where(trades >= 4, fraction(bits, 42, 10) * reach + 0.4, 0).astype(np.int64)
        high = np.maximum(opened, close) + up
        low = np.maximum(np.minimum(opened, close) - down, 1)
        return opened * tick, high * tick, low * tick, close * tick

    def _volume(self, rows: Int, bits: Bits, trades: Int) -> Int:
        size = self._listing.size[rows][:, None]
        lots = trades + (trades * size * 2 * fraction(bits, 52)).astype(np.int64)
        lots[self._listing.is_index[rows]] = 0
        volume: Int = lots * self._listing.lot[rows][:, None]
        return volume

    def _open_interest(self, rows: Int, first: int, count: int) -> Int:
        interest = np.zeros((len(rows), count), np.int64)
        held = np.flatnonzero(self._listing.has_interest[rows])
        if held.size:
            chosen = rows[held]
            walk = drift(self._interest_keys[chosen], first, count)
            lots = 4000 * self._listing.rate[chosen][:, None] * (1 + 5 * walk)
            interest[held] = lots.astype(np.int64) * self._listing.lot[chosen][:, None]
        return interest
