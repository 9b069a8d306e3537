"""How strictly the simulated broker counts requests."""

import time
from collections.abc import Iterator

import pytest

from market_pipeline.simulator.accounts import Budgets, Refused


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock)
    yield clock


def outcomes(budgets: Budgets, clock: Clock, *seconds: float, kind: str = "historical") -> str:
    """Make requests at times; + for one that is accepted, - for one that is refused."""
    made = ""
    for second in seconds:
        clock.now = 100.0 + second
        try:
            budgets.spend("key", kind)
            made += "+"
        except Refused as error:
            assert error.status == 429
            made += "-"
    return made


def test_no_second_holds_more_than_three_requests_wherever_it_begins(clock: Clock) -> None:
    made = outcomes(
        Budgets(enforced=True), clock, 0, 0.4, 0.8, 0.99, 1.0, 1.2, 1.41, 1.6, 1.9, 1.95
    )
    assert made == "+++-+-+-+-"


@pytest.mark.parametrize(("kind", "limit"), [("quote", 1), ("historical", 3), ("other", 10)])
def test_each_kind_has_a_limit_of_its_own(clock: Clock, kind: str, limit: int) -> None:
    made = outcomes(Budgets(enforced=True), clock, *[0.5] * 12, kind=kind)
    assert made == "+" * limit + "-" * (12 - limit)


def test_keys_do_not_share_a_budget(clock: Clock) -> None:
    budgets = Budgets(enforced=True)
    budgets.spend("one", "quote")
    budgets.spend("another", "quote")
    assert budgets.requests.accepted["quote"] == 2


def test_without_limits_requests_are_counted_all_the_same(clock: Clock) -> None:
    budgets = Budgets(enforced=False)
    assert outcomes(budgets, clock, 0, 0, 0, 0, 0.5) == "+++++"
    assert budgets.requests.stamps("historical") == [100.0] * 4 + [100.5]


def test_while_it_throttles_all_is_refused_with_the_seconds_that_are_left(clock: Clock) -> None:
    budgets = Budgets(enforced=False)
    budgets.throttle(5)
    clock.now += 1.5
    with pytest.raises(Refused) as caught:
        budgets.spend("key", "other")
    assert caught.value.headers == {"Retry-After": "4"}
    assert outcomes(budgets, clock, 4.9, 5.0) == "-+"
    assert budgets.requests.refused == {"other": 1, "historical": 1}
