"""The parts of each session, for each kind of instrument, and the minutes that have candles."""

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta

import numpy as np
import pytest

from market_pipeline.market import Exchange, Kind
from market_pipeline.sessions import (
    EXCHANGE_TZ,
    Calendar,
    InstrumentClass,
    PeriodKind,
    instrument_class,
    trading_date,
)

CALENDAR = Calendar()
BEFORE, SINCE = date(2026, 7, 31), date(2026, 8, 3)  # either side of the change of hours
EQUITY, STOCK_WITH_DERIVATIVES, INDEX, DERIVATIVES = (
    InstrumentClass.EQUITY,
    InstrumentClass.EQUITY_WITH_DERIVATIVES,
    InstrumentClass.INDEX,
    InstrumentClass.EQUITY_DERIVATIVES,
)
ALL = [(exchange, whose) for exchange in Exchange for whose in CALENDAR.classes(exchange)]


def every_day() -> Iterator[date]:
    day = CALENDAR.first_day
    while day.year < 2027:
        yield day
        day += timedelta(days=1)


def clock(exchange: str, whose: InstrumentClass, day: date) -> dict[str, list[str]]:
    """Return the periods of each kind as people write them."""
    found: dict[str, list[str]] = {}
    for kind, opens, closes in CALENDAR.periods(exchange, whose, day):
        times = (f"{each.astimezone(EXCHANGE_TZ):%H:%M}" for each in (opens, closes))
        found.setdefault(kind, []).append("-".join(times))
    return found


def closes(exchange: str, whose: InstrumentClass, day: date) -> str:
    return clock(exchange, whose, day)["continuous"][-1][-5:]


def count(exchange: str, whose: InstrumentClass, day: date) -> int:
    return CALENDAR.expected_minutes(exchange, whose, day).size


@pytest.mark.parametrize("whose", [EQUITY, STOCK_WITH_DERIVATIVES])
def test_before_august_2026_all_stocks_keep_the_same_hours(whose: InstrumentClass) -> None:
    assert clock("NSE", whose, BEFORE) == {
        "pre_open": ["09:00-09:15"],
        "continuous": ["09:15-15:30"],
        "post_close": ["15:40-16:00"],
    }


@pytest.mark.parametrize("exchange", ["NSE", "BSE"])
def test_since_august_2026_a_stock_with_derivatives_ends_in_an_auction(exchange: str) -> None:
    assert clock(exchange, STOCK_WITH_DERIVATIVES, SINCE) == {
        "pre_open": ["09:00-09:15"],
        "continuous": ["09:15-15:15"],
        "closing_auction": ["15:15-15:35"],
        "post_close": ["15:50-16:00"],
    }


def test_since_august_2026_other_stocks_only_have_a_later_post_close() -> None:
    assert clock("NSE", EQUITY, SINCE) == clock("NSE", EQUITY, BEFORE) | {
        "post_close": ["15:50-16:00"]
    }


@pytest.mark.parametrize(
    ("exchange", "whose", "before", "since"),
    [
        ("NSE", EQUITY, 375, 375),
        ("BSE", EQUITY, 375, 375),
        ("NSE", STOCK_WITH_DERIVATIVES, 375, 360),
        ("NSE", INDEX, 375, 360),
        ("NFO", DERIVATIVES, 375, 385),
        ("BFO", DERIVATIVES, 375, 385),
        ("CDS", InstrumentClass.CURRENCY, 480, 480),
        ("MCX", InstrumentClass.COMMODITY, 870, 870),
        ("MCX", InstrumentClass.AGRI_INTERNATIONAL, 720, 720),
        ("MCX", InstrumentClass.AGRI, 480, 480),
    ],
)
def test_a_minute_of_continuous_trading_is_expected_to_have_a_candle(
    exchange: str, whose: InstrumentClass, before: int, since: int
) -> None:
    assert (count(exchange, whose, BEFORE), count(exchange, whose, SINCE)) == (before, since)


def test_the_first_expected_minute_is_the_opening_and_the_last_ends_at_the_close() -> None:
    minutes = CALENDAR.expected_minutes("NFO", DERIVATIVES, SINCE)
    edges = [datetime.fromtimestamp(60 * each, EXCHANGE_TZ).time() for each in minutes[[0, -1]]]
    assert edges == [time(9, 15), time(15, 39)]


@pytest.mark.parametrize("whose", [STOCK_WITH_DERIVATIVES, INDEX])
def test_a_candle_of_the_closing_auction_is_possible_but_in_no_minute_expected(
    whose: InstrumentClass,
) -> None:
    possible = CALENDAR.possible_minutes("NSE", whose, SINCE)
    expected = CALENDAR.expected_minutes("NSE", whose, SINCE)
    assert np.setdiff1d(possible, expected).size == 20
    assert not np.setdiff1d(expected, possible).size


def test_two_short_sessions_on_a_day_have_no_candles_between_them() -> None:
    drill = date(2024, 3, 2)
    assert clock("NFO", DERIVATIVES, drill)["continuous"] == ["09:15-10:00", "11:30-12:30"]
    assert count("NFO", DERIVATIVES, drill) == 45 + 60


@pytest.mark.parametrize(
    ("day", "closing"),
    [
        (date(2026, 7, 15), "23:30"),
        (date(2026, 12, 15), "23:55"),
        # The clocks of the United States change on these Sundays.
        (date(2026, 3, 8) - timedelta(days=2), "23:55"),
        (date(2026, 3, 8) + timedelta(days=1), "23:30"),
        (date(2026, 11, 1) - timedelta(days=2), "23:30"),
        (date(2026, 11, 1) + timedelta(days=1), "23:55"),
        # MCX circular: from 11 March to 1 November 2024, both inclusive; the last was Diwali.
        (date(2024, 3, 11), "23:30"),
        (date(2024, 10, 31), "23:30"),
        (date(2024, 11, 4), "23:55"),
    ],
)
def test_mcx_closes_by_the_clocks_of_the_united_states(day: date, closing: str) -> None:
    assert closes("MCX", InstrumentClass.COMMODITY, day) == closing


def test_agri_commodities_keep_their_hours_all_year() -> None:
    for day in (date(2026, 7, 15), date(2026, 12, 15)):
        assert closes("MCX", InstrumentClass.AGRI, day) == "17:00"
        assert closes("MCX", InstrumentClass.AGRI_INTERNATIONAL, day) == "21:00"


@pytest.mark.parametrize(("exchange", "whose"), ALL)
def test_periods_are_in_order_within_one_day_and_do_not_overlap(
    exchange: str, whose: InstrumentClass
) -> None:
    for day in every_day():
        edges = [edge for _, *period in CALENDAR.periods(exchange, whose, day) for edge in period]
        assert edges == sorted(edges)
        assert {trading_date(edge) for edge in edges} <= {day}


@pytest.mark.parametrize("exchange", list(Exchange))
def test_candles_are_aligned_to_the_first_continuous_trading(exchange: str) -> None:
    for day in CALENDAR.days(CALENDAR.first_day, date(2026, 11, 7), exchange):
        periods = [
            period
            for whose in CALENDAR.classes(exchange)
            for period in CALENDAR.periods(exchange, whose, day)
        ]
        opens = [p.opens_at for p in periods if p.kind is PeriodKind.CONTINUOUS]
        assert CALENDAR.session_opens(exchange, day) == min(opens)


def test_there_is_nothing_to_align_to_on_a_holiday() -> None:
    assert CALENDAR.session_opens("NSE", date(2026, 1, 26)) is None


@pytest.mark.parametrize(
    ("exchange", "kind", "underlying", "has_derivatives", "expected"),
    [
        ("NSE", Kind.EQ, None, False, EQUITY),
        ("BSE", Kind.EQ, None, True, STOCK_WITH_DERIVATIVES),
        ("NSE", Kind.INDEX, None, True, INDEX),
        ("BFO", Kind.CE, "SENSEX", False, DERIVATIVES),
        ("CDS", Kind.FUT, "USDINR", False, InstrumentClass.CURRENCY),
        ("MCX", Kind.FUT, "GOLD", False, InstrumentClass.COMMODITY),
        ("MCX", Kind.INDEX, None, False, InstrumentClass.COMMODITY),
        ("MCX", Kind.FUT, "KAPAS", False, InstrumentClass.AGRI_INTERNATIONAL),
        ("MCX", Kind.FUT, "MENTHAOIL", False, InstrumentClass.AGRI),
    ],
)
def test_each_instrument_belongs_to_a_class(
    exchange: str,
    kind: str,
    underlying: str | None,
    has_derivatives: bool,
    expected: InstrumentClass,
) -> None:
    found = instrument_class(exchange, kind, underlying, has_derivatives)
    assert found is expected
    assert found in CALENDAR.classes(exchange)
