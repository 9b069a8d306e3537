"""When what is replayed is due, and in which portions. Decides only; the caller waits.

What was received so many seconds after the first is due so many seconds after it, divided by the
speed. A replay that was held up, because it was suspended or the database is slow, goes on from
where it is at its own pace: what it has missed is not made up for in a burst.
"""

from dataclasses import dataclass

_HELD_UP_SECONDS = 1.0
"""By so much a replay may be late and still make up for it."""


@dataclass(frozen=True)
class Portion:
    """What is committed at once: of so long a time as a writer waits, and not more than so much."""

    nanoseconds: int
    size: int


class Pace:
    """Of one replay; times received are nanoseconds since 1970, `now` and waits are seconds."""

    def __init__(self, speed: float | None) -> None:
        """Take how many times as fast as it was; None is as fast as it goes."""
        self._speed = speed
        self._due_at = self._received_at = 0.0
        self._is_begun = False

    def portion(self, flush_seconds: float, most: int) -> Portion:
        """Return what is to be committed at once by a writer that waits so long."""
        if self._speed is None:
            return Portion(2**63 - 1, most)
        return Portion(int(flush_seconds * self._speed * 1e9), most)

    def wait(self, received_at: int, now: float) -> float:
        """Return for how long what was received then is to be held back."""
        if self._speed is None:
            return 0.0
        if not self._is_begun:
            self._received_at, self._due_at, self._is_begun = received_at, now, True
        due_at = self._due_at + (received_at - self._received_at) / 1e9 / self._speed
        if now - due_at > _HELD_UP_SECONDS:
            self._received_at, self._due_at = received_at, now
            return 0.0
        return max(due_at - now, 0.0)
