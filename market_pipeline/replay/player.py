"""Lets portions pass when they are due, and keeps a replay's candles in step with its ticks."""

import time
from collections.abc import Callable
from typing import NamedTuple

from market_pipeline.replay.order import Following, Order, Progress
from market_pipeline.replay.pace import Pace, Portion
from market_pipeline.storage import candles
from market_pipeline.storage.replay_ticks import ReplayStore
from market_pipeline.storage.scratch import Scratch

_AFTER_MINUTE_NS = 8 * 10**9
"""As a stream does: soon after each minute has ended, when its last ticks are in."""

_REFRESH_SECONDS = 2.0
_BEAT_SECONDS = 2.0
_BEHIND_SECONDS = 0.02
_MINUTE_NS = 60 * 10**9


class Timing(NamedTuple):
    """The clock, and how to wait by it: returns whether the replay is to end."""

    now: Callable[[], float]
    wait: Callable[[float], bool]


class Player:
    """Of one replay, whatever it comes from."""

    def __init__(
        self,
        order: Order,
        scratch: Scratch,
        store: ReplayStore,
        following: Following,
        timing: Timing | None = None,
    ) -> None:
        self._order, self._scratch, self._store = order, scratch, store
        self._following = following
        self._timing = timing or Timing(time.monotonic, following.stop.wait)
        self._pace = Pace(order.speed)
        self._minute = 0
        self._refresh_at = self._timing.now() + _REFRESH_SECONDS
        self._measured = (self._timing.now(), 0)
        self._beat_at = 0.0
        self.progress = Progress()

    def portion(self, most: int) -> Portion:
        """Return what is to be committed at once, of something measured otherwise than by time."""
        return self._pace.portion(self._order.flush_seconds, most)

    def hold(self, first: int, last: int) -> bool:
        """Wait until all is due that was received between; return whether the replay is to end."""
        now = self._timing.now()
        self._pace.wait(first, now)  # the pace begins with the first of all
        wait = self._pace.wait(last, now)
        if wait and self._timing.wait(wait):
            return True
        while self._following.is_behind(self._store.arrivals):
            if self._timing.wait(_BEHIND_SECONDS):
                return True
        return self._following.stop.is_set()

    def passed(self, received_at: int) -> None:
        """Note that all received by then was committed; store the candles of minutes that ended."""
        self.progress.ticks = self._store.arrivals
        self.progress.standby_ticks = self._store.standby
        self.progress.instrument_ids = self._store.instrument_ids
        self.progress.received_at = received_at
        minute = (received_at - _AFTER_MINUTE_NS) // _MINUTE_NS
        if minute > self._minute and self._timing.now() >= self._refresh_at:
            self._minute = minute
            self._refresh()
            self._refresh_at = self._timing.now() + _REFRESH_SECONDS
        if self._timing.now() >= self._beat_at:
            self._beat("streaming")
        self._following.advanced(self.progress)

    def end(self) -> Progress:
        """Store the candles up to the newest tick, and say that this was all."""
        self._refresh()
        self._beat("stopped")
        return self.progress

    def _refresh(self) -> None:
        if self._order.is_kept:
            candles.refresh(self._scratch.database)

    def _beat(self, state: str) -> None:
        (then, ticks_then), now, ticks = self._measured, self._timing.now(), self._store.arrivals
        rate = (ticks - ticks_then) / max(now - then, 0.001)
        self._measured, self._beat_at = (now, ticks), now + _BEAT_SECONDS
        speed = "as fast as it goes" if self._order.speed is None else f"at {self._order.speed:g} x"
        self._scratch.database.execute(
            "replay_beat",
            stream=self._store.stream,
            broker=self._store.brokers[0],
            state=state,
            detail=f"replay of {self._order.day} {speed}",
            ticks=ticks,
            ticks_per_second=rate,
        )
