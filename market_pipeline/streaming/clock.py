"""The time at which something was received: the machine's clock, but never turned back."""

import logging
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

_STEP_NS = 1_000_000_000
_LONGEST_STEP_NS = 24 * 3600 * 1_000_000_000


class ReceiveClock:
    """Nanoseconds since 1970, UTC, that rise from call to call.

    When the machine's clock is set back, as by a time server that finds it fast, time goes on from
    where it was at the pace of the steady clock: gaps would otherwise end before they begin, and
    the exchange's own stamps would seem to come from the future. A step forward is followed, and so
    is one back by more than a day, which corrects a date that was wrong altogether.
    """

    def __init__(
        self,
        not_before: int = 0,
        wall: Callable[[], int] = time.time_ns,
        steady: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._wall, self._steady = wall, steady
        self._at, self._since = not_before, steady()
        self._is_behind = False

    def now(self) -> int:
        wall, steady = self._wall(), self._steady()
        expected = self._at + steady - self._since
        behind = expected - wall
        if _STEP_NS < behind < _LONGEST_STEP_NS:
            self._warn_once(behind)
            return expected
        self._is_behind = False
        self._at = max(wall, self._at) if behind <= _STEP_NS else wall
        self._since = steady
        return self._at

    def _warn_once(self, behind: int) -> None:
        if not self._is_behind:
            log.warning(
                "the machine's clock was set back by %.1f s: what is received is stamped as if it "
                "had not been",
                behind / 1e9,
            )
        self._is_behind = True
