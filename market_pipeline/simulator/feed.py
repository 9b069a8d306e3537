"""What an exchange sends of some instruments, second by second."""

import numpy as np

from market_pipeline.simulator.book import Prints, joined, no_prints
from market_pipeline.simulator.exchange import Exchange
from market_pipeline.simulator.noise import Int


class Feed:
    """The trades and the changes of the book of some instruments, second by second."""

    def __init__(self, exchange: Exchange, rows: Int) -> None:
        self._exchange = exchange
        venue_of = exchange.listing.venue[rows]
        self._rows = {
            name: rows[venue_of == venue] for venue, name in enumerate(exchange.listing.venues)
        }
        self._minute = -1
        self._prints: list[tuple[Prints, Int]] = []

    def prints(self, second: int) -> Prints:
        """Return what is sent in a second since 1970."""
        if second // 60 != self._minute:
            self._load(second // 60)
        place = second % 60
        parts = [p.pick(slice(edges[place], edges[place + 1])) for p, edges in self._prints]
        return joined(parts) if parts else no_prints()

    def _load(self, minute: int) -> None:
        self._minute = minute
        seconds = minute * 60 + np.arange(61)
        loaded = (self._exchange.minute_prints(v, r, minute) for v, r in self._rows.items())
        self._prints = [(p, np.searchsorted(p.sent, seconds)) for p in loaded if p.row.size]
