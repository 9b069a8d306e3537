"""Turns at a broker: waiting, telling others of a refusal, giving up."""

import threading
import time
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from market_pipeline.brokers.limits import (
    Budget,
    Limiter,
    LocalBudgets,
    Priority,
    Window,
    fingerprint,
)
from market_pipeline.brokers.pacing import BudgetState
from market_pipeline.errors import RateLimited, WaitInterrupted

BUDGET = Budget("quick", (Window(2, 0.1),))
SLOW = Budget("slow", (Window(1, 30.0),))


@pytest.fixture
def store() -> LocalBudgets:
    return LocalBudgets()


@pytest.fixture
def limiter(store: LocalBudgets) -> Limiter:
    return Limiter(store, "kite", fingerprint("key"))


def state(limiter: Limiter, budget: Budget = BUDGET) -> BudgetState:
    found: list[str] = []

    def look(text: str, now: float) -> tuple[str, float]:
        found.append(text)
        return text, 0.0

    limiter.store.update((limiter.broker, limiter.account, budget.name), look)
    return BudgetState.read(found[0])


def request(limiter: Limiter, budget: Budget = BUDGET) -> float:
    with limiter.request(budget):
        return time.monotonic()


def refuse(limiter: Limiter, retry_after: float | None = None) -> None:
    with pytest.raises(RateLimited, match="slow down"), limiter.request(BUDGET):
        raise RateLimited("slow down", retry_after)


def test_requests_of_threads_keep_their_distance(limiter: Limiter) -> None:
    stamps: list[float] = []

    def work() -> None:
        for _ in range(3):
            stamps.append(request(limiter))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    granted = state(limiter)
    assert granted.requests == len(stamps) == 12
    assert sorted(stamps)[-1] - sorted(stamps)[0] >= 5 * 0.1


def test_a_refusal_stops_the_others(limiter: Limiter) -> None:
    other = replace(limiter, priority=Priority.HISTORY)
    refuse(limiter, retry_after=1.0)
    refused_at = time.monotonic()
    assert request(other) >= refused_at + 0.9
    assert (state(limiter).requests, state(limiter).refusals) == (2, 1)


def test_accounts_and_brokers_do_not_wait_for_each_other(limiter: Limiter) -> None:
    request(limiter, SLOW)
    request(replace(limiter, account=fingerprint("another")), SLOW)
    request(replace(limiter, broker="another"), SLOW)
    assert state(limiter, SLOW).requests == 1


def test_waiting_ends_when_the_work_is_stopped(limiter: Limiter) -> None:
    request(limiter, SLOW)
    stop = threading.Event()
    threading.Timer(0.1, stop.set).start()
    with pytest.raises(WaitInterrupted):
        request(replace(limiter, stop=stop.is_set), SLOW)
    assert state(limiter, SLOW).requests == 1


def test_a_used_up_quota_is_an_error_that_says_how_long_to_wait(
    limiter: Limiter, monkeypatch: pytest.MonkeyPatch
) -> None:
    noon = datetime(2026, 11, 20, 6, 30, tzinfo=UTC).timestamp()  # in India
    monkeypatch.setattr(time, "time", lambda: noon)
    daily = replace(BUDGET, per_day=1)
    request(limiter, daily)
    with pytest.raises(RateLimited, match="quota is used up") as caught:
        request(limiter, daily)
    assert caught.value.retry_after == pytest.approx(12 * 3600)
    assert state(limiter).refusals == 0


def test_an_error_of_another_kind_is_no_refusal(limiter: Limiter) -> None:
    with pytest.raises(ValueError, match="broken"), limiter.request(BUDGET):
        raise ValueError("broken")
    assert state(limiter).refusals == 0


def test_a_fingerprint_does_not_show_the_key() -> None:
    assert len(fingerprint("key")) == 12
    assert "key" not in fingerprint("key")
    assert fingerprint("key") != fingerprint("another")


@pytest.mark.parametrize(
    ("budget", "rate"),
    [(BUDGET, 20.0), (Budget("b", (Window(10, 1.0), Window(200, 60.0)), 100_000), 200 / 60)],
)
def test_the_rate_is_that_of_the_narrowest_window(budget: Budget, rate: float) -> None:
    assert budget.rate == pytest.approx(rate)
