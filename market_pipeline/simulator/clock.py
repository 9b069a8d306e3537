"""What time it is on the exchange: real, or a fixed stretch of a day at any speed."""

import asyncio
import math
import time
from datetime import datetime

_WAKING_LATE = 0.001  # seconds; a timer that fires early would send stamps of the future
_LONGEST_CATCH_UP = 60  # seconds; a laptop that wakes from sleep does not live through the night


class RealClock:
    """The time of this machine, shifted by a constant; it never goes back.

    A machine's clock that is set back is not followed: the seconds go on at their pace.
    """

    finished = False

    def __init__(self, shift_seconds: float = 0) -> None:
        self._shift = shift_seconds
        self._anchor = (time.time() + shift_seconds, time.monotonic())
        self._last = int(self._anchor[0])

    @classmethod
    def starting_at(cls, moment: datetime | None) -> "RealClock":
        """Make a clock that shows `moment` now; the machine's time for None."""
        # Whole seconds: both clocks enter a second together, so latencies can still be read off.
        return cls(int(moment.timestamp()) - int(time.time()) if moment else 0)

    def now(self) -> int:
        # Not the machine's time: what is asked for must not be ahead of what was sent.
        return self._last

    def start(self) -> None:
        """Do nothing: real time is always running."""

    async def next_second(self) -> int:
        """Wait for the next second and enter it. Seconds come one after the other, even late."""
        upcoming = self._last + 1
        now = self._running()
        if now - upcoming > _LONGEST_CATCH_UP:
            upcoming = math.ceil(now)
        if upcoming > now:
            await asyncio.sleep(upcoming - now + _WAKING_LATE)
        self._last = upcoming
        return upcoming

    def _running(self) -> float:
        """Return the later of the machine's clock and what it was plus the time since."""
        shown = time.time() + self._shift  # read first: a pause in between must not add up
        since = time.monotonic()
        paced = self._anchor[0] + since - self._anchor[1]
        if shown < paced:
            return paced
        self._anchor = (shown, since)
        return shown


class ReplayClock:
    """Simulated time from `start` to `end`, paused until it is started.

    It moves only when asked for the next second, so it never runs ahead of whoever asks.
    """

    def __init__(self, start: int, end: int, speed: float) -> None:
        self.finished = False
        self._now = start
        self._end = end
        self._speed = speed
        self._started = asyncio.Event()
        self._epoch: tuple[float, int] | None = None  # where simulated and real time met

    def now(self) -> int:
        return self._now

    def start(self) -> None:
        """Let time run. Later calls change nothing."""
        self._started.set()

    async def next_second(self) -> int | None:
        """Wait for the next second and enter it; None when the end is reached."""
        await self._started.wait()
        if self._now >= self._end:
            self.finished = True
            return None
        if self._epoch is None:
            self._epoch = (time.monotonic(), self._now)
        due = self._epoch[0] + (self._now + 1 - self._epoch[1]) / self._speed
        # Even without waiting, connections must get their turn.
        await asyncio.sleep(max(due - time.monotonic(), 0))
        self._now += 1
        return self._now
