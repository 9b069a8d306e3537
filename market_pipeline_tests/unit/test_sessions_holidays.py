"""Holidays and special sessions: what the table says, and what the exchanges published."""

import json
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import pytest

from market_pipeline.errors import ConfigurationError
from market_pipeline.market import Exchange
from market_pipeline.sessions import EXCHANGE_TZ, Calendar, InstrumentClass

CALENDAR = Calendar()
PUBLISHED = Path(__file__).parents[3] / "shared" / "data" / "holidays"
EQUITY, CURRENCY = ("NSE", "BSE", "NFO", "BFO"), ("CDS", "BCD")


def published(name: str) -> Any:
    """Read a list of holidays that an exchange published; skip where it is not at hand."""
    path = PUBLISHED / name
    if not path.exists():
        pytest.skip(f"{path.name} is not there: it is not part of the project")
    return json.loads(path.read_text("utf-8"))


def holidays(exchange: str, year: int) -> set[date]:
    """Return the weekdays on which nothing can be expected to trade all day."""
    days = (
        date.fromordinal(n)
        for n in range(date(year, 1, 1).toordinal(), date(year, 12, 31).toordinal())
    )
    return {day for day in days if day.weekday() < 5 and not hours(exchange, day)}


def hours(exchange: str, day: date) -> tuple[str, str] | None:
    session = CALENDAR.session(exchange, day)
    if session is None:
        return None
    opens, closes = (t.astimezone(EXCHANGE_TZ) for t in (session.opens_at, session.closes_at))
    return f"{opens:%H:%M}", f"{closes:%H:%M}"


def of_2025(segment: str) -> dict[date, dict[str, Any]]:
    rows = published("nse_2025_official.json")[segment]
    days = {datetime.strptime(row["tradingDate"], "%d-%b-%Y").date(): row for row in rows}  # noqa: DTZ007
    return {day: row for day, row in days.items() if day.weekday() < 5}


@pytest.mark.parametrize("exchange", EQUITY)
def test_equity_holidays_of_2026_are_those_that_nse_published(exchange: str) -> None:
    dates = {date.fromisoformat(each["date"]) for each in published("nse_2026.json")["2026"]}
    assert holidays(exchange, 2026) == dates


@pytest.mark.parametrize(("exchange", "segment"), [("NSE", "CM"), ("NFO", "FO")])
def test_equity_holidays_of_2025_are_those_that_nse_published(exchange: str, segment: str) -> None:
    muhurat = {date(2025, 10, 21)}  # a holiday in the list
    assert holidays(exchange, 2025) | muhurat == set(of_2025(segment))


def test_currency_holidays_of_2025_are_those_that_nse_published_and_then_moved() -> None:
    muhurat, id_e_milad, moved_to = date(2025, 10, 21), date(2025, 9, 5), date(2025, 9, 8)
    expected = set(of_2025("CD")) - {muhurat, id_e_milad} | {moved_to}
    assert holidays("CDS", 2025) == expected


def test_commodity_sessions_of_2025_are_those_that_nse_published() -> None:
    whole = {("Closed", "Closed"): None, ("Closed", "Open"): "17:00", ("Open", "Closed"): "09:00"}
    for day, row in of_2025("COM").items():
        if day == date(2025, 10, 21):  # Muhurat
            continue
        found = hours("NCO", day)
        assert (found[0] if found else None) == whole[
            row["morning_session"], row["evening_session"]
        ]


@pytest.mark.parametrize(("year", "count"), [(2024, 16), (2025, 13), (2026, 16)])
def test_the_equity_exchanges_keep_the_same_holidays(year: int, count: int) -> None:
    lists = [holidays(exchange, year) for exchange in EQUITY]
    assert all(each == lists[0] for each in lists)
    assert len(lists[0]) == count


@pytest.mark.parametrize("year", [2024, 2025, 2026])
@pytest.mark.parametrize("exchange", CURRENCY)
def test_currency_rests_whenever_equities_do_and_on_more_days(exchange: str, year: int) -> None:
    assert holidays(exchange, year) > holidays("NSE", year)


@pytest.mark.parametrize("year", [2024, 2025, 2026])
def test_commodities_only_rest_all_day_when_equities_do(year: int) -> None:
    assert holidays("MCX", year) < holidays("NSE", year)


@pytest.mark.parametrize(
    ("day", "opens", "closes"),
    [
        (date(2026, 3, 3), "17:00", "23:55"),  # Holi, before the clocks of the United States change
        (date(2026, 9, 14), "17:00", "23:30"),
        (date(2026, 1, 1), "09:00", "17:00"),
    ],
)
def test_commodities_trade_for_half_a_day_on_many_holidays(
    day: date, opens: str, closes: str
) -> None:
    assert hours("MCX", day) == hours("NCO", day) == (opens, closes)


def test_agri_commodities_have_no_evening_session() -> None:
    evening = date(2026, 3, 3)
    assert not CALENDAR.periods("MCX", InstrumentClass.AGRI, evening)
    (period,) = CALENDAR.periods("MCX", InstrumentClass.AGRI_INTERNATIONAL, evening)
    assert period.closes_at.astimezone(EXCHANGE_TZ).time() == time(21)


@pytest.mark.parametrize(
    ("day", "equity", "commodity"),
    [
        (date(2024, 1, 20), ("09:15", "15:30"), None),
        (date(2024, 3, 2), ("09:15", "12:30"), None),
        (date(2024, 5, 18), ("09:15", "12:30"), None),
        (date(2025, 2, 1), ("09:15", "15:30"), ("09:00", "17:00")),
        (date(2026, 2, 1), ("09:15", "15:30"), ("09:00", "17:00")),
    ],
)
def test_special_sessions_at_the_weekend(
    day: date, equity: tuple[str, str], commodity: tuple[str, str] | None
) -> None:
    assert day.weekday() >= 5
    assert [hours(exchange, day) for exchange in EQUITY] == [equity] * 4
    assert hours("MCX", day) == commodity
    assert hours("CDS", day) is None


@pytest.mark.parametrize(
    ("day", "opens", "closes"),
    [(date(2024, 11, 1), "18:00", "19:00"), (date(2025, 10, 21), "13:45", "14:45")],
)
@pytest.mark.parametrize("exchange", list(Exchange))
def test_all_exchanges_trade_for_an_hour_at_diwali(
    exchange: str, day: date, opens: str, closes: str
) -> None:
    assert hours(exchange, day) == (opens, closes)


@pytest.mark.parametrize("exchange", list(Exchange))
def test_an_hour_that_is_not_known_is_streamed_but_no_candle_of_it_is_expected(
    exchange: str,
) -> None:
    muhurat = date(2026, 11, 8)
    assert CALENDAR.is_open(exchange, datetime.combine(muhurat, time(18, 30), EXCHANGE_TZ))
    for whose in CALENDAR.classes(exchange):
        assert not CALENDAR.expected_minutes(exchange, whose, muhurat).size
        assert CALENDAR.possible_minutes(exchange, whose, muhurat).size


@pytest.mark.parametrize("exchange", list(Exchange))
@pytest.mark.parametrize("year", [2023, 2027])
def test_no_candle_is_expected_of_a_year_that_is_not_known(exchange: str, year: int) -> None:
    whose = CALENDAR.classes(exchange)[0]
    with pytest.raises(ConfigurationError, match=f"{year} .* {exchange}: .*CALENDAR_FILE"):
        CALENDAR.expected_minutes(exchange, whose, date(year, 6, 1))
    assert not CALENDAR.knows(exchange, date(year, 6, 1))
