"""Who may ask a broker when: decisions compared with a counter of every window there is."""

import heapq
import itertools
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market_pipeline.brokers.kite import Kite
from market_pipeline.brokers.limits import Budget, Priority, RequestKind, Window
from market_pipeline.brokers.pacing import NAP_SECONDS, BudgetState, Caller, decide, refused

NOW = datetime(2026, 11, 20, 5, tzinfo=UTC).timestamp()  # 10:30 in India
HISTORY = Kite.budgets[RequestKind.HISTORY]
SHARED = Budget("all", (Window(10, 1.0), Window(200, 60.0)), per_day=100_000)
BUDGETS = [*Kite.budgets.values(), SHARED]
LATE = 0.02  # seconds a request may be on its way, or a caller be late
quickly = settings(max_examples=100, deadline=None, derandomize=True)
URGENT, DAILY, OLD = (Caller(each.name, each) for each in Priority)


class Request(NamedTuple):
    asked_at: float
    granted_at: float
    caller: Caller


def run(
    budget: Budget,
    arrivals: Iterable[tuple[float, Caller]],
    random: Random,
    until: float = 600.0,
    repeat: bool = False,
) -> list[Request]:
    """Let callers arrive, wait as they are told, come back a little late, and perhaps ask again."""
    state, made, order = BudgetState(), [], itertools.count()
    queue = [(NOW + at, next(order), NOW + at, caller) for at, caller in arrivals]
    heapq.heapify(queue)
    while queue and queue[0][0] < NOW + until:
        now, _, asked_at, caller = heapq.heappop(queue)
        state, wait = decide(state, budget, caller, now)
        again = now + min(wait, NAP_SECONDS) + random.uniform(0, LATE / 4)
        if not wait:
            made.append(Request(asked_at, now, caller))
            asked_at = again
        if wait or repeat:
            heapq.heappush(queue, (again, next(order), asked_at, caller))
    return made


def most_in_any(window: Window, stamps: list[float]) -> int:
    stamps = sorted(stamps)
    return max(
        sum(at <= other < at + window.seconds for other in stamps[i:])
        for i, at in enumerate(stamps)
    )


def crowd(count: int, times: Iterable[float] = itertools.repeat(0.0)) -> list[tuple[float, Caller]]:
    priorities = itertools.cycle(Priority)
    named = (
        (f"caller {i}", priority) for i, priority in zip(range(count), priorities, strict=False)
    )
    return [(at, Caller(*each)) for at, each in zip(times, named, strict=False)]


@quickly
@given(
    st.sampled_from(BUDGETS),
    st.lists(st.floats(0, 8), min_size=1, max_size=60),
    st.integers(0, 2**32),
)
def test_no_window_ever_holds_more_requests_than_allowed(
    budget: Budget, times: list[float], seed: int
) -> None:
    random = Random(seed)
    made = run(budget, crowd(len(times), times), random)
    assert len(made) == len(times)
    arrived = [request.granted_at + random.uniform(0, LATE) for request in made]
    for window in budget.windows:
        assert most_in_any(window, arrived) <= window.requests


def test_a_long_window_holds_no_more_than_allowed_however_urgent() -> None:
    work = [(0.0, Caller(f"{i}", Priority.URGENT)) for i in range(9)]
    at = [request.granted_at for request in run(SHARED, work, Random(1), until=150, repeat=True)]
    assert most_in_any(SHARED.windows[1], at) == 200


@pytest.mark.parametrize("budget", BUDGETS, ids=lambda budget: budget.name)
def test_nearly_the_whole_rate_is_used_when_there_is_work(budget: Budget) -> None:
    made = run(budget, crowd(9), Random(1), until=120, repeat=True)
    assert len(made) >= 0.95 * budget.rate * 120
    assert len(made) <= budget.rate * 120 + budget.windows[0].requests


@pytest.mark.parametrize("budget", BUDGETS, ids=lambda budget: budget.name)
def test_requests_keep_an_even_distance(budget: Budget) -> None:
    work = [(0.0, Caller(f"{i}", Priority.HISTORY)) for i in range(50)]
    at = [request.granted_at for request in run(budget, work, Random(1))]
    assert min(b - a for a, b in itertools.pairwise(at)) >= 0.9 / budget.rate


@quickly
@given(st.integers(0, 2**32))
def test_a_state_is_written_and_read_whole(seed: int) -> None:
    state = BudgetState()
    for caller in (URGENT, DAILY, OLD, URGENT):
        state, _ = decide(state, SHARED, caller, NOW + Random(seed).random())
    state = refused(state, 2.5, NOW + 1)
    assert BudgetState.read(state.write()) == state


def test_urgent_requests_need_not_spread_over_a_long_window() -> None:
    work = [(0.0, Caller(f"{i}", Priority.URGENT)) for i in range(30)]
    assert run(SHARED, work, Random(1))[-1].granted_at < NOW + 5


@quickly
@given(st.lists(st.sampled_from(Priority), min_size=2, max_size=30), st.integers(0, 2**32))
def test_all_who_wait_go_by_priority_and_then_in_turn(
    priorities: list[Priority], seed: int
) -> None:
    first = (0.0, Caller("first", Priority.URGENT))
    others = [(0.1 + i / 1000, Caller(f"{i}", each)) for i, each in enumerate(priorities)]
    made = run(HISTORY, [first, *others], Random(seed))[1:]
    assert made == sorted(made, key=lambda each: (each.caller.priority, each.asked_at))


def test_a_caller_that_never_comes_back_is_waited_for_no_longer_than_its_mark_lasts() -> None:
    state, _ = decide(BudgetState(), HISTORY, OLD, NOW)
    state, wait = decide(state, HISTORY, URGENT, NOW)
    assert 0 < wait < 1
    state, blocked = decide(state, HISTORY, OLD, NOW + 1)
    assert blocked > 0
    assert decide(state, HISTORY, OLD, NOW + 2.5)[1] == 0


def test_the_quota_counts_by_the_days_of_india() -> None:
    budget = replace(SHARED, per_day=100)
    late = datetime(2026, 11, 20, 18, 29, tzinfo=UTC)  # a minute before midnight in India
    state = BudgetState(day=late.date(), today=100)
    _, wait = decide(state, budget, URGENT, late.timestamp())
    assert wait == 60
    state, wait = decide(state, budget, URGENT, late.timestamp() + 60)
    assert (wait, state.today) == (0, 1)


def test_the_last_of_a_days_quota_is_for_what_is_urgent() -> None:
    budget = replace(SHARED, per_day=100)
    state = BudgetState(day=datetime.fromtimestamp(NOW, UTC).date(), today=95)
    assert decide(state, budget, DAILY, NOW)[1] > 3600
    assert decide(state, budget, URGENT, NOW)[1] == 0


def test_after_a_refusal_all_wait_as_long_as_the_broker_says() -> None:
    state = refused(BudgetState(), 7.0, NOW)
    assert decide(state, HISTORY, URGENT, NOW + 6)[1] == 1
    assert decide(state, HISTORY, URGENT, NOW + 7)[1] == 0


def test_refusals_one_after_the_other_make_longer_and_longer_pauses() -> None:
    state, now, pauses = BudgetState(), NOW, []
    for _ in range(2000):
        state = refused(state, None, now)
        pauses.append(state.paused_until - now)
        now = state.paused_until
    assert pauses[:9] == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert max(pauses) == 60


def test_refusals_of_requests_that_were_under_way_are_one() -> None:
    state = refused(refused(BudgetState(), None, NOW), 3.0, NOW + 0.5)
    assert state.strikes == 1
    assert state.paused_until == NOW + 3.5
    assert state.refusals == 2


def test_after_refusals_requests_go_on_more_slowly_and_recover() -> None:
    def distance(state: BudgetState, at: float) -> float:
        return decide(replace(state, granted=(at,)), HISTORY, URGENT, at)[1]

    first = refused(BudgetState(), None, NOW)
    second = refused(first, None, NOW + 1)
    assert distance(BudgetState(), NOW) == pytest.approx(0.95 / 3)
    assert distance(first, NOW + 1) == pytest.approx(0.95 / 3 / 0.8, rel=0.02)
    assert distance(second, NOW + 3) == pytest.approx(0.95 / 3 / 0.4, rel=0.02)
    assert distance(second, NOW + 60) == pytest.approx(0.95 / 3 / 0.5, rel=0.02)
    assert distance(second, NOW + 600) == pytest.approx(0.95 / 3)
    assert refused(second, None, NOW + 600).strikes == 1


@quickly
@given(st.integers(0, 2**32))
def test_a_broker_that_refuses_everything_is_hardly_asked(seed: int) -> None:
    state, random, asked = BudgetState(), Random(seed), 0
    callers = [Caller(f"{i}", Priority.HISTORY) for i in range(20)]
    coming = [(NOW + random.random(), caller) for caller in callers]
    while coming[0][0] < NOW + 120:
        now, caller = heapq.heappop(coming)
        state, wait = decide(state, HISTORY, caller, now)
        if not wait:
            asked += 1
            state = refused(state, None, now)
        heapq.heappush(coming, (now + max(min(wait, NAP_SECONDS), 0.02), caller))
    assert asked <= 8
    assert state.requests == state.refusals == asked


@quickly
@given(st.floats(0.5, 86_400), st.floats(1, 60))
def test_a_clock_that_is_set_back_stops_nobody_for_long(back: float, pause: float) -> None:
    state = BudgetState()
    for caller in (URGENT, DAILY, OLD, OLD):
        state, _ = decide(state, HISTORY, caller, NOW)
    state = refused(state, pause, NOW)
    state, wait = decide(state, HISTORY, OLD, NOW - back)
    assert wait <= NAP_SECONDS + 60
    assert decide(state, HISTORY, OLD, NOW - back + wait + timedelta(seconds=5).seconds)[1] == 0
