"""What is asked of the broker: all that is missing, nothing twice, in the fewest requests."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market_pipeline.history.planning import Contract, Plan, plan
from market_pipeline.sessions import Calendar, Session, bounds

FIRST = date(2026, 1, 1)
LAST = date(2026, 10, 30)
SCHEMA: dict[str, Any] = {
    "instrument_id": pl.Int64,
    "starts_at": pl.Datetime("us", "UTC"),
    "ends_at": pl.Datetime("us", "UTC"),
    "asked_at": pl.Datetime("us", "UTC"),
    "outcome": pl.String,
}
SHARE = Contract(1, "NSE:INFY", "NSE", "CM", "EQ", token=408065)


def sessions(first: date = FIRST, last: date = LAST) -> list[Session]:
    calendar = Calendar()
    found = (calendar.session("NSE", day) for day in calendar.days(first, last, "NSE"))
    return [session for session in found if session]


def asked(first: date, last: date, at: datetime | None = None, instrument: int = 1) -> pl.DataFrame:
    starts_at, ends_at = bounds(first, last)
    row = (instrument, starts_at, ends_at, at or ends_at + timedelta(days=1), "complete")
    return pl.DataFrame([row], schema=SCHEMA, orient="row")


def planned(*contracts: Contract, before: pl.DataFrame | None = None, most_days: int = 60) -> Plan:
    nothing = pl.DataFrame(schema=SCHEMA)
    found = sessions()
    return plan(contracts, {"NSE": found}, nothing if before is None else before, most_days)


def days_in(wanted: Plan, among: Sequence[Session]) -> set[date]:
    return {
        session.day
        for session in among
        for request in wanted.requests
        if request.starts_at <= session.opens_at and session.closes_at <= request.ends_at
    }


def test_all_sessions_are_asked_for_and_no_request_is_longer_than_the_broker_allows() -> None:
    found = planned(SHARE)
    assert days_in(found, sessions()) == {session.day for session in sessions()}
    assert max(each.ends_at - each.starts_at for each in found.requests) <= timedelta(days=60)
    assert len(found.requests) == 5  # of 302 days: those without trading between two are left out


def test_the_newest_days_are_asked_for_first() -> None:
    other = Contract(2, "NSE:TCS", "NSE", "CM", "EQ", token=2953217)
    ends = [each.ends_at for each in planned(SHARE, other).requests]
    assert ends == sorted(ends, reverse=True)


def test_days_that_were_answered_are_not_asked_for_again() -> None:
    found = planned(SHARE, before=asked(date(2026, 3, 1), LAST))
    assert days_in(found, sessions()) == {
        session.day for session in sessions(last=date(2026, 2, 28))
    }
    assert found.covered == len(sessions(first=date(2026, 3, 1)))


def test_a_hole_among_answered_days_is_one_request_for_the_hole_alone() -> None:
    before = pl.concat([asked(FIRST, date(2026, 5, 31)), asked(date(2026, 6, 4), LAST)])
    (request,) = planned(SHARE, before=before).requests
    assert (request.starts_at, request.ends_at) == bounds(date(2026, 6, 1), date(2026, 6, 3))


def test_one_request_serves_holes_that_lie_close_together() -> None:
    before = pl.concat(
        [
            asked(FIRST, date(2026, 5, 31)),
            asked(date(2026, 6, 2), date(2026, 6, 30)),
            asked(date(2026, 7, 2), LAST),
        ]
    )
    (request,) = planned(SHARE, before=before).requests
    assert (request.starts_at, request.ends_at) == bounds(date(2026, 6, 1), date(2026, 7, 1))


def test_a_session_asked_for_while_it_lasted_is_asked_for_again() -> None:
    noon = datetime(2026, 10, 30, 6, 30, tzinfo=UTC)
    (request,) = planned(SHARE, before=asked(FIRST, LAST, at=noon)).requests
    assert (request.starts_at, request.ends_at) == bounds(LAST)


@pytest.mark.parametrize(("minutes", "requests"), [(14, 1), (15, 0)])
def test_a_session_is_final_a_quarter_of_an_hour_after_its_close(
    minutes: int, requests: int
) -> None:
    closes_at = sessions()[-1].closes_at
    before = asked(FIRST, LAST, at=closes_at + timedelta(minutes=minutes))
    assert len(planned(SHARE, before=before).requests) == requests


def test_what_another_instrument_was_asked_for_does_not_count() -> None:
    assert planned(SHARE, before=asked(FIRST, LAST, instrument=2)).covered == 0


def test_nothing_is_asked_for_before_an_instrument_was_listed() -> None:
    young = Contract(1, "NSE:NEW", "NSE", "CM", "EQ", token=1, listed_on=date(2026, 10, 1))
    found = planned(young)
    assert days_in(found, sessions()) == {
        session.day for session in sessions(first=date(2026, 10, 1))
    }
    assert found.not_listed == len(sessions(last=date(2026, 9, 30)))


def test_nothing_is_asked_for_after_a_contract_expired() -> None:
    future = Contract(1, "NSE:F", "NSE", "FO", "FUT", token=1, expiry=date(2026, 1, 27))
    found = planned(future)
    assert days_in(found, sessions()) == {
        session.day for session in sessions(last=date(2026, 1, 27))
    }
    assert found.expired == len(sessions(first=date(2026, 1, 28)))


def test_an_instrument_without_a_token_is_named_and_not_asked_for() -> None:
    gone = Contract(1, "NFO:GONE", "NSE", "FO", "FUT", token=None)
    found = planned(gone, SHARE)
    assert found.no_token == ["NFO:GONE"]
    assert {each.contract for each in found.requests} == {SHARE}
    assert found.wanted == len(sessions())


@given(
    kept=st.sets(st.integers(0, 59), min_size=1),
    most_days=st.integers(1, 20),
)
def test_no_smaller_number_of_requests_covers_what_is_missing(
    kept: set[int], most_days: int
) -> None:
    every = sessions()[:60]
    chosen = [every[place] for place in sorted(kept)]
    found = plan([SHARE], {"NSE": chosen}, pl.DataFrame(schema=SCHEMA), most_days)
    assert days_in(found, chosen) == {session.day for session in chosen}
    assert len(found.requests) == fewest([session.day for session in chosen], most_days)


def fewest(days: list[date], most_days: int) -> int:
    """Count by trying all ways to cut rising days into stretches."""
    best = [0]
    for end in range(1, len(days) + 1):
        reach = [
            best[begin] for begin in range(end) if (days[end - 1] - days[begin]).days < most_days
        ]
        best.append(min(reach) + 1)
    return best[-1]
