"""What time it is on the exchange: real, or a fixed stretch of a day at any speed."""

import asyncio
import math
import time

_WAKING_LATE = 0.001  # seconds; a timer that fires early would send stamps of the future
_LONGEST_CATCH_UP = 60  # seconds; a laptop that wakes from sleep does not live through the night


class RealClock:
    """The time of this machine."""

    finished = False

    def __init__(self) -> None:
        self._last = int(time.time())

    def now(self) -> int:
        # Not the machine's time: what is asked for must not be ahead of what was sent.
        return self._last

    def start(self) -> None:
        """Do nothing: real time is always running."""

    async def next_second(self) -> int:
        """Wait for the next second and enter it. Seconds come one after the other, even late."""
        upcoming = self._last + 1
        now = time.time()
        if now - upcoming > _LONGEST_CATCH_UP:
            upcoming = math.ceil(now)
        if upcoming > now:
            await asyncio.sleep(upcoming - now + _WAKING_LATE)
        self._last = upcoming
        return upcoming


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
