"""Packets without a trade: when the book of an instrument changes, and what is sent then."""

import numpy as np

from market_pipeline.simulator.book import Prints, joined
from market_pipeline.simulator.listing import Listing
from market_pipeline.simulator.noise import Bits, Int, hashed, integer, mixed

_CHANGES_A_TRADE = 5.0
_DIVISORS = np.array([1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30, 60])
_MINUTE = 64  # places for a minute's seconds in a sorting key, and for what came before them


class Quotes:
    """Says in which seconds the book of each instrument changes. Any second can be asked for.

    A minute is cut into as many slots of equal length as there are changes, and each slot has
    its change at some second: so the last change before any instant is one of two. The more an
    instrument trades the more often its book changes: every second at most, every minute at
    least. Indices have no book.
    """

    def __init__(self, listing: Listing, keys: Bits, share: float = 1.0) -> None:
        self._keys = mixed(~keys)
        wanted = listing.rate * _CHANGES_A_TRADE * share
        chosen = np.abs(np.log(wanted[:, None] / _DIVISORS)).argmin(axis=1)
        self._slots = np.where(listing.is_index, 0, _DIVISORS[chosen])
        self._length = 60 // np.maximum(self._slots, 1)

    def last(self, rows: Int, until: int) -> Int:
        """Return the last second up to `until` in which each book changed, 0 for no book."""
        slot = until // self._length[rows]
        latest, earlier = (self._seconds(rows, slot - n)[0] for n in (0, 1))
        return np.where(self._slots[rows] > 0, np.where(latest <= until, latest, earlier), 0)

    def minute(self, rows: Int, minute: int) -> tuple[Int, Int]:
        """Return the changes of a minute: places in `rows`, rising, and seconds.

        One in sixteen is there twice: brokers repeat packets.
        """
        count = self._slots[rows]
        place = np.repeat(np.arange(len(rows)), count)
        number = np.arange(len(place)) - np.repeat(np.cumsum(count) - count, count)
        seconds, bits = self._seconds(rows[place], minute * count[place] + number)
        copies = np.where(integer(bits, 60, 4) == 0, 2, 1)
        return np.repeat(place, copies), np.repeat(seconds, copies)

    def _seconds(self, rows: Int, slot: Int) -> tuple[Int, Bits]:
        length = self._length[rows]
        bits = hashed(self._keys[rows], slot)
        return slot * length + integer(bits, 0) % length, bits


def with_changes(before: Prints, traded: Prints, place: Int, changes: tuple[Int, Int]) -> Prints:
    """Add what is sent when a book changes in a second without a trade.

    `before` has the state of each instrument when the minute begins, `traded` its trades sorted
    by instrument and second; `place` and the first of `changes` say whose they are, counted as in
    `before`. A changed book leaves everything but the second it is sent in as the last trade did.
    """
    changed, second = changes
    known = joined([before, traded])
    begins = np.arange(len(before.row)) * _MINUTE
    keys = np.concatenate((begins, place * _MINUTE + 1 + traded.second % 60))
    order = np.argsort(keys, kind="stable")
    found = np.searchsorted(keys[order], changed * _MINUTE + 1 + second % 60, side="right") - 1
    latest = order[found]
    quiet = known.second[latest] != second
    chosen = np.concatenate((np.arange(len(begins), len(keys)), latest[quiet]))
    return known.pick(chosen)._replace(sent=np.concatenate((traded.sent, second[quiet])))
