"""How the simulated Fyers counts requests, and for how long its tokens are taken."""

import time
from datetime import datetime, timedelta

import pytest

from market_pipeline.sessions import EXCHANGE_TZ
from market_pipeline.simulator.fyers_accounts import Accounts, Budgets, Refused

NOON = datetime(2026, 11, 24, 12, tzinfo=EXCHANGE_TZ)


class Clock:
    def __init__(self) -> None:
        self.now = NOON.timestamp()

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "time", clock)
    return clock


def spent(budgets: Budgets, clock: Clock, *seconds: float) -> str:
    """Make requests at times; + for one that is accepted, - for one that is refused."""
    made = ""
    for second in seconds:
        clock.now = NOON.timestamp() + second
        try:
            budgets.spend("history")
            made += "+"
        except Refused as error:
            assert (error.status, error.code) == (429, -429)
            made += "-"
    return made


def paced(count: int, start: float = 0.0) -> list[float]:
    """Return times five to a second."""
    return [start + number / 5 for number in range(count)]


def wait_after_refusal(budgets: Budgets) -> int:
    with pytest.raises(Refused) as caught:
        budgets.spend("history")
    return int(caught.value.headers["Retry-After"])


def test_ten_requests_fit_into_any_second_whatever_they_ask_for(clock: Clock) -> None:
    budgets = Budgets(enforced=True)
    made = spent(budgets, clock, *[0.0] * 4, *[0.5] * 7, 0.99, *[1.0] * 5, 1.5)
    assert made == "++++++++++-" + "-" + "++++-" + "+"


def test_two_hundred_requests_fit_into_any_minute(clock: Clock) -> None:
    budgets = Budgets(enforced=True)
    assert spent(budgets, clock, *paced(201)) == "+" * 200 + "-"
    assert wait_after_refusal(budgets) == 20
    assert spent(budgets, clock, 59.9, 60.0, 60.2) == "-++"


def test_the_fourth_breach_of_a_minute_blocks_for_the_rest_of_the_day(clock: Clock) -> None:
    budgets = Budgets(enforced=True)
    spent(budgets, clock, *paced(200))
    assert spent(budgets, clock, 40, 41, 42) == "---"
    assert spent(budgets, clock, 120) == "+"  # three are forgiven
    assert spent(budgets, clock, *paced(200, 200)) == "+" * 200
    assert spent(budgets, clock, 240) == "-"
    assert spent(budgets, clock, 3600, 11 * 3600) == "--"
    assert wait_after_refusal(budgets) == 3600
    assert spent(budgets, clock, 12 * 3600) == "+"


def test_a_second_too_many_is_no_breach(clock: Clock) -> None:
    budgets = Budgets(enforced=True)
    assert spent(budgets, clock, *[0.0] * 20) == "+" * 10 + "-" * 10
    assert spent(budgets, clock, 1.0) == "+"


def test_a_hundred_thousand_requests_fit_into_a_day(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Budgets, "A_DAY", 3)
    budgets = Budgets(enforced=True)
    assert spent(budgets, clock, 0, 1, 2, 3, 43_199, 43_200) == "+++--+"


def test_without_limits_requests_are_counted_all_the_same(clock: Clock) -> None:
    budgets = Budgets(enforced=False)
    assert spent(budgets, clock, *[0.0] * 300) == "+" * 300
    assert budgets.requests.accepted == {"history": 300}


@pytest.mark.parametrize(
    ("now", "hours"),
    [("2026-11-24T12:00", 18), ("2026-11-24T04:00", 2), ("2026-11-24T05:30", 24.5)],
)
def test_a_token_is_taken_until_six_in_the_morning(clock: Clock, now: str, hours: float) -> None:
    begun = datetime.fromisoformat(now).replace(tzinfo=EXCHANGE_TZ)
    clock.now = begun.timestamp()
    accounts = Accounts("app", "secret")
    token = accounts.access_token
    clock.now = (begun + timedelta(hours=hours, seconds=-1)).timestamp()
    accounts.check(token)
    clock.now += 1
    with pytest.raises(Refused) as caught:
        accounts.check(token)
    assert caught.value.code == -8


def test_a_token_is_taken_after_a_restart_and_by_nobody_else(clock: Clock) -> None:
    token = Accounts("app", "secret").access_token
    Accounts("app", "secret").check(token)
    with pytest.raises(Refused) as caught:
        Accounts("app", "other").check(token)
    assert caught.value.code == -15
