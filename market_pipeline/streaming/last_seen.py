"""Which instruments have fallen silent on a connection that is alive. Told the time by records.

A feed can lose single instruments: a subscription that was not taken, a token that now means
another contract. The connection's heartbeats go on, so only the instruments themselves can tell.
"""

import threading

import numpy as np
from numpy.typing import NDArray

from market_pipeline.market import Columns

FIRST_PACKET_SECONDS = 30
"""Brokers send the last state of an instrument at once when it is subscribed."""
LEAST_SILENCE_SECONDS = 60
SILENT_INTERVALS = 20
"""How many times its usual interval an instrument may be silent; few trade like clockwork."""
_ENOUGH_PACKETS = 10
_SECOND = 1_000_000


class LastSeen:
    """When each instrument was heard of on the present connection. Safe to share by threads.

    Times are microseconds since 1970, as the journal has them: how far the writer lags behind
    what was received does not matter, nor what the machine's clock does.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._now = 0
        self._connection = -1
        self._wanted_since: dict[int, int] = {}
        self._first = self._last = self._count = np.zeros(0, np.int64)

    def observe(self, ticks: Columns, connection: int, now_ns: int) -> None:
        """Take note of a batch of ticks, sorted by instrument, and of how far the journal is."""
        ids, received_at = ticks["instrument_id"], ticks["received_at"]
        with self._lock:
            self._now = max(self._now, now_ns // 1000)
            if connection != self._connection:
                self._connection = connection
                self._first = self._last = self._count = np.zeros(0, np.int64)
                self._wanted_since.clear()
            if not len(ids):
                return
            starts = np.flatnonzero(np.diff(ids, prepend=-1))
            seen, ends = ids[starts], np.append(starts[1:], len(ids)) - 1
            self._make_room(int(seen[-1]) + 1)
            is_new = self._count[seen] == 0
            self._first[seen[is_new]] = received_at[starts[is_new]]
            self._last[seen] = received_at[ends]
            self._count[seen] += ends - starts + 1

    def _make_room(self, size: int) -> None:
        missing = size - len(self._count)
        if missing <= 0:
            return
        self._first, self._last, self._count = (
            np.concatenate([column, np.zeros(missing, np.int64)])
            for column in (self._first, self._last, self._count)
        )

    def stale(self, wanted: NDArray[np.int64]) -> list[int]:
        """Return which of the wanted instruments have been silent for longer than they should be.

        One that was never heard of is given FIRST_PACKET_SECONDS from when it was first wanted.
        """
        if not len(wanted):
            return []
        with self._lock:
            self._make_room(int(wanted.max()) + 1)
            since = {each: self._wanted_since.get(each, self._now) for each in wanted.tolist()}
            self._wanted_since = since
            count = self._count[wanted]
            begun = np.array(list(since.values()), np.int64)
            last = np.where(count > 0, self._last[wanted], begun)
            usual = (self._last[wanted] - self._first[wanted]) / np.maximum(count - 1, 1)
            allowed = np.maximum(SILENT_INTERVALS * usual, LEAST_SILENCE_SECONDS * _SECOND)
            allowed = np.where(count < _ENOUGH_PACKETS, np.inf, allowed)
            allowed = np.where(count == 0, FIRST_PACKET_SECONDS * _SECOND, allowed)
            stale: list[int] = wanted[self._now - last > allowed].tolist()
        return stale
