"""What is to be replayed, and what came of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from threading import Event

import numpy as np

from market_pipeline import sessions
from market_pipeline.errors import ConfigurationError
from market_pipeline.storage.replay_ticks import Chosen
from market_pipeline.storage.scratch import Contents

_MICROSECOND = timedelta(microseconds=1)
_LATE = timedelta(minutes=10)


@dataclass(frozen=True)
class Order:
    """Replay a day of Asia/Kolkata, or part of it by the ticks' times, at a speed."""

    day: date
    speed: float | None = None
    """How many times as fast as it was; None is as fast as it goes."""

    since: time | None = None
    until: time | None = None
    instrument_ids: Sequence[int] | None = None
    is_repaired: bool = False
    """Whether candles are to be seen as they are now, with what the broker has otherwise."""

    is_kept: bool = True
    """Whether ticks are stored; for listeners alone otherwise."""

    flush_seconds: float = 0.25

    def __post_init__(self) -> None:
        if self.speed is not None and not self.speed > 0:
            raise ConfigurationError("a replay's speed must be above 0, or max")
        if self.starts_at >= self.ends_at:
            raise ConfigurationError("--to must be later than --from")

    @property
    def starts_at(self) -> datetime:
        return self._at(self.since) or sessions.bounds(self.day)[0]

    @property
    def ends_at(self) -> datetime:
        return self._at(self.until) or sessions.bounds(self.day)[1]

    @property
    def late_from(self) -> int:
        """When what is received of the period is so late that a replay does not wait for it.

        Nanoseconds since 1970.
        """
        return _microseconds(self.ends_at + _LATE) * 1000

    @property
    def is_whole(self) -> bool:
        """Whether it is all of the day and of its instruments."""
        return self.since is None and self.until is None and self.instrument_ids is None

    def _at(self, clock: time | None) -> datetime | None:
        return None if clock is None else sessions.to_ist(datetime.combine(self.day, clock))

    @property
    def chosen(self) -> Chosen:
        """The ticks that are replayed."""
        ids = self.instrument_ids
        return Chosen(
            _microseconds(self.starts_at),
            _microseconds(self.ends_at),
            None if ids is None else np.array(sorted(ids), np.int64),
        )

    def contents(self, has_gaps: bool) -> Contents:
        """Return what is copied of the pipeline before; gaps if the source does not tell them."""
        starts_at, ends_at = sessions.bounds(self.day)
        return Contents(starts_at, ends_at, self.instrument_ids, has_gaps, self.is_repaired)


@dataclass
class Progress:
    """How far a replay is."""

    ticks: int = 0
    standby_ticks: int = 0
    received_at: int = 0
    """When the newest was received, in nanoseconds since 1970."""

    instrument_ids: set[int] = field(default_factory=set)
    """Those that there was a tick of."""


@dataclass(frozen=True)
class Following:
    """Who follows a replay: is told how far it is, may hold it back, may end it."""

    stop: Event = field(default_factory=Event)
    advanced: Callable[[Progress], None] = lambda progress: None
    is_behind: Callable[[int], bool] = lambda arrivals: False
    """Whether listeners have not had nearly so many ticks yet."""


def _microseconds(instant: datetime) -> int:
    return round(instant.timestamp() * 1e6)
