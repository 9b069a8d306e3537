"""When a request may be made that many processes share a budget for. Pure: told the time."""

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from enum import IntEnum
from typing import NamedTuple

from pydantic import TypeAdapter

from market_pipeline.sessions import EXCHANGE_TZ, trading_date

_MARGIN_SECONDS = 0.03
_MARGIN_SHARE = 0.01
"""A window is kept longer than the broker's by the larger of the two: requests are not equally long
on their way, and one that is late must not meet the next ones at the broker."""

_EVENNESS = 0.95
"""The least distance of two requests, as a share of the even one: the rest makes up for delays."""
_SHORT_SECONDS = 10.0
"""In longer windows urgent requests need not keep a distance."""

_QUOTA_SHARE = 0.95
"""What is left of a day's quota beyond this share is for urgent requests."""

NAP_SECONDS = 2.0
"""The longest a caller waits before it asks again: another may have become more urgent."""
_GRACE_SECONDS = 1.0
"""How much later than announced a caller may ask without losing its place."""
_LONGEST_DELAY = 60.0  # seconds, unless the broker names more
_LONGEST_RETRY_AFTER = 3_600.0  # seconds
_SLOWEST_PACE = 0.125
_FIRST_SLOWING = 0.8  # one refusal may be of a request that was late on its way
_NEXT_SLOWING = 0.5
_RECOVERY_SECONDS = 600.0  # from standstill to the full pace


class Priority(IntEnum):
    """Whose turn it is when several wait; those of one priority take turns."""

    URGENT = 0
    """Repair of today, synchronisation, login."""
    DAILY = 1
    """Reconciliation, contracts about to expire."""
    HISTORY = 2
    """What can wait."""


class Window(NamedTuple):
    """At most so many requests in any so many seconds."""

    requests: int
    seconds: float


@dataclass(frozen=True)
class Budget:
    """What a broker allows one account. `per_day` counts by calendar days of Asia/Kolkata."""

    name: str
    windows: tuple[Window, ...]
    per_day: int | None = None

    @property
    def rate(self) -> float:
        """Requests a second that can be kept up, the day's quota aside."""
        return min(window.requests / window.seconds for window in self.windows)


class Caller(NamedTuple):
    """Someone who wants to make one request."""

    name: str
    priority: Priority


class Mark(NamedTuple):
    """Says that a caller waits. It expires by itself, so that a killed process blocks nobody."""

    name: str
    priority: int
    until: float


@dataclass(frozen=True)
class BudgetState:
    """What is known of a budget. Times are seconds since 1970, `waiting` is in order of arrival."""

    granted: tuple[float, ...] = ()
    waiting: tuple[Mark, ...] = ()
    paused_until: float = 0.0
    pace: float = 1.0
    """Share of the allowed rate right after the last refusal; it recovers with time."""
    strikes: int = 0
    refused_at: float = 0.0
    day: date | None = None
    today: int = 0
    requests: int = 0
    refusals: int = 0

    @classmethod
    def read(cls, text: str) -> "BudgetState":
        return _STATES.validate_json(text)

    def write(self) -> str:
        return _STATES.dump_json(self).decode()


_STATES = TypeAdapter(BudgetState)


def decide(
    state: BudgetState, budget: Budget, caller: Caller, now: float
) -> tuple[BudgetState, float]:
    """Say how many seconds a caller has to wait before it asks again; 0 is the permission.

    A permission is for now: the request must be sent at once. `now` is seconds since 1970.
    """
    state = _current(state, now)
    free_at = max(_free_at(state, budget, caller.priority, now), now)
    ahead = _callers_ahead(state.waiting, caller)
    if free_at <= now and not ahead:
        return _granted(state, budget, caller, now), 0.0
    wait = free_at - now + ahead * _spacing(budget, caller.priority) / _pace(state, now)
    return replace(state, waiting=_marked(state.waiting, caller, now, wait)), wait


def refused(state: BudgetState, retry_after: float | None, now: float) -> BudgetState:
    """Take note that the broker refused a request: all stop for a while, then go on more slowly.

    The pause is the broker's `retry_after`, and at least 1, 2, 4 ... seconds as refusals follow
    each other. Refusals of requests that were under way when a pause began belong to it.
    """
    asked = min(retry_after or 0.0, _LONGEST_RETRY_AFTER)
    counted = replace(state, refusals=state.refusals + 1)
    if now < state.paused_until:
        return replace(counted, paused_until=max(state.paused_until, now + asked))
    pace = _pace(state, now)
    strikes = state.strikes if pace < 1 else 0
    delay = _LONGEST_DELAY if strikes > 5 else 2.0**strikes
    return replace(
        counted,
        paused_until=now + max(asked, delay),
        pace=max(pace * (_NEXT_SLOWING if strikes else _FIRST_SLOWING), _SLOWEST_PACE),
        strikes=strikes + 1,
        refused_at=now,
    )


def _current(state: BudgetState, now: float) -> BudgetState:
    """Drop what has expired, and what cannot be: the clock of a database may be set back."""
    latest = now + NAP_SECONDS + _GRACE_SECONDS
    day = trading_date(datetime.fromtimestamp(now, UTC))
    return replace(
        state,
        granted=tuple(min(at, now) for at in state.granted),
        waiting=tuple(mark for mark in state.waiting if now < mark.until <= latest),
        paused_until=state.paused_until if state.refused_at <= latest else 0.0,
        day=day,
        today=state.today if state.day == day else 0,
    )


def _free_at(state: BudgetState, budget: Budget, priority: Priority, now: float) -> float:
    """Return when the windows, the day's quota and a pause allow another request."""
    pace = _pace(state, now)
    free_at = [state.paused_until]
    if state.granted:
        free_at.append(state.granted[-1] + _EVENNESS * _spacing(budget, priority) / pace)
    for window in budget.windows:
        if len(state.granted) >= window.requests:
            margin = max(_MARGIN_SECONDS, _MARGIN_SHARE * window.seconds)
            free_at.append(state.granted[-window.requests] + (window.seconds + margin) / pace)
    if budget.per_day is not None:
        share = 1.0 if priority == Priority.URGENT else _QUOTA_SHARE
        if state.today >= int(budget.per_day * share):
            free_at.append(_next_day(state.day))
    return max(free_at)


def _spacing(budget: Budget, priority: Priority) -> float:
    """Return the seconds between two requests that are spread evenly."""
    even = (
        window.seconds / window.requests
        for window in budget.windows
        if window.seconds <= _SHORT_SECONDS or priority != Priority.URGENT
    )
    return max(even, default=0.0)


def _pace(state: BudgetState, now: float) -> float:
    return min(state.pace + max(now - state.refused_at, 0) / _RECOVERY_SECONDS, 1.0)


def _next_day(day: date | None) -> float:
    assert day is not None  # of a current state
    midnight = datetime.combine(day + timedelta(days=1), time(0), EXCHANGE_TZ)
    return midnight.timestamp()


def _granted(state: BudgetState, budget: Budget, caller: Caller, now: float) -> BudgetState:
    kept = max(window.requests for window in budget.windows)
    return replace(
        state,
        granted=(*state.granted, now)[-kept:],
        waiting=tuple(mark for mark in state.waiting if mark.name != caller.name),
        today=state.today + 1,
        requests=state.requests + 1,
    )


def _callers_ahead(waiting: tuple[Mark, ...], caller: Caller) -> int:
    """Count those who are more urgent, or as urgent and here before."""
    names = [mark.name for mark in waiting]
    place = names.index(caller.name) if caller.name in names else len(names)
    return sum(
        (mark.priority, i) < (caller.priority, place)
        for i, mark in enumerate(waiting)
        if mark.name != caller.name
    )


def _marked(waiting: tuple[Mark, ...], caller: Caller, now: float, wait: float) -> tuple[Mark, ...]:
    """Extend the mark of a caller, which keeps its place, or add one."""
    until = now + min(wait, NAP_SECONDS) + _GRACE_SECONDS
    marks = {mark.name: mark for mark in waiting}
    marks[caller.name] = Mark(caller.name, caller.priority, until)
    return tuple(marks.values())
