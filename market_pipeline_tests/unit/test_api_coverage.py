"""How many candles are expected of a liquid instrument, as the calendar has it."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from market_pipeline.api.coverage import coverage
from market_pipeline.sessions import Calendar, bounds

SHARE: dict[str, Any] = {
    "exchange": "NSE",
    "kind": "EQ",
    "underlying": None,
    "has_derivatives": False,
    "expiry": None,
}
FUTURE = SHARE | {
    "exchange": "NFO",
    "kind": "FUT",
    "underlying": "RELIANCE",
    "expiry": date(2026, 11, 25),
}
FRIDAY = bounds(date(2026, 11, 20))
OPENS = datetime(2026, 11, 20, 3, 45, tzinfo=UTC)


def counted(
    minutes: int,
    period: tuple[datetime, datetime] = FRIDAY,
    instrument: dict[str, Any] = SHARE,
    present: list[datetime] | None = None,
) -> tuple[int | None, int]:
    found = coverage(Calendar(), instrument, minutes, period, present or [])
    return found["expected"], found["present"]


@pytest.mark.parametrize(
    ("minutes", "expected"), [(1, 375), (5, 75), (7, 54), (15, 25), (60, 7), (120, 4), (1440, 1)]
)
def test_a_day_of_a_share_has_as_many_candles_as_fit_between_opening_and_close(
    minutes: int, expected: int
) -> None:
    assert counted(minutes) == (expected, 0)


def test_candles_count_that_are_expected_and_no_others() -> None:
    before, first, second = (OPENS + timedelta(minutes=n) for n in (-7, 0, 1))
    assert counted(1, present=[before, first, second]) == (375, 2)
    assert counted(7, present=[first, second]) == (54, 1)


def test_a_candle_is_of_the_period_in_which_it_begins() -> None:
    assert counted(5, (OPENS + timedelta(minutes=1), OPENS + timedelta(minutes=11))) == (2, 0)


def test_nothing_is_expected_on_days_without_trading() -> None:
    assert counted(1, bounds(date(2026, 11, 21), date(2026, 11, 22))) == (0, 0)


def test_nothing_is_expected_after_a_contract_has_expired() -> None:
    week = bounds(date(2026, 11, 23), date(2026, 11, 27))
    assert counted(1440, week, FUTURE) == (2, 0)  # the 24th is a holiday


def test_where_the_calendar_ends_nothing_is_said_but_why() -> None:
    found = coverage(Calendar(), SHARE, 1, bounds(date(2029, 1, 1)), [OPENS])
    assert (found["expected"], found["present"]) == (None, 1)
    assert "2029" in found["note"]
