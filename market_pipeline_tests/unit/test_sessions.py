"""When the exchanges trade: hours, holidays, special sessions, and whose day an instant is in."""

from datetime import UTC, date, datetime, time, timedelta

import numpy as np
import pytest

from market_pipeline import sessions
from market_pipeline.errors import ConfigurationError
from market_pipeline.sessions import (
    EXCHANGE_TZ,
    AlwaysOpen,
    Calendar,
    InstrumentClass,
    PeriodKind,
)

CALENDAR = Calendar()
FRIDAY, MONDAY = date(2026, 7, 31), date(2026, 8, 3)  # either side of the change of hours


def hours(exchange: str, day: date) -> tuple[time, time] | None:
    session = CALENDAR.session(exchange, day)
    if session is None:
        return None
    opens, closes = (t.astimezone(EXCHANGE_TZ) for t in (session.opens_at, session.closes_at))
    assert opens.date() == closes.date() == session.day == day
    return opens.time(), closes.time()


def instant(day: date, at: time) -> datetime:
    return datetime.combine(day, at, EXCHANGE_TZ)


@pytest.mark.parametrize("exchange", ["NSE", "BSE", "NFO", "BFO"])
def test_equities_close_at_half_past_three_before_august_2026(exchange: str) -> None:
    assert hours(exchange, FRIDAY) == (time(9, 15), time(15, 30))


@pytest.mark.parametrize("exchange", ["NSE", "BSE"])
def test_the_cash_market_has_a_closing_auction_since_august_2026(exchange: str) -> None:
    assert hours(exchange, MONDAY) == (time(9, 15), time(15, 35))


@pytest.mark.parametrize("exchange", ["NFO", "BFO"])
def test_equity_derivatives_trade_to_twenty_to_four_since_august_2026(exchange: str) -> None:
    assert hours(exchange, MONDAY) == (time(9, 15), time(15, 40))


@pytest.mark.parametrize("day", [FRIDAY, MONDAY])
@pytest.mark.parametrize(
    ("exchange", "closes"),
    [("CDS", time(17)), ("BCD", time(17)), ("MCX", time(23, 30)), ("NCO", time(23, 30))],
)
def test_currency_and_commodities_open_at_nine(exchange: str, closes: time, day: date) -> None:
    assert hours(exchange, day) == (time(9), closes)


def test_sessions_are_instants_in_utc() -> None:
    session = CALENDAR.session("NSE", FRIDAY)
    assert session is not None
    assert session.opens_at == datetime(2026, 7, 31, 3, 45, tzinfo=UTC)
    assert session.opens_at.tzinfo is UTC


@pytest.mark.parametrize("day", [date(2026, 1, 26), date(2025, 8, 15), date(2026, 12, 25)])
def test_there_is_no_session_on_a_holiday(day: date) -> None:
    assert day.weekday() < 5
    assert hours("NSE", day) is None


@pytest.mark.parametrize("day", [date(2026, 8, 1), date(2026, 8, 2)])
def test_there_is_no_session_at_the_weekend(day: date) -> None:
    assert hours("NSE", day) is None


def test_the_budget_is_traded_on_a_sunday() -> None:
    assert date(2026, 2, 1).weekday() == 6
    assert hours("NSE", date(2026, 2, 1)) == (time(9, 15), time(15, 30))


def test_muhurat_trading_replaces_the_hours_of_a_holiday() -> None:
    assert hours("NSE", date(2025, 10, 21)) == (time(13, 45), time(14, 45))


def test_a_year_without_holidays_in_the_table_is_refused_with_what_to_do() -> None:
    with pytest.raises(ConfigurationError, match=r"2027 .* NSE: .* CALENDAR_FILE .*calendar\.yaml"):
        CALENDAR.is_trading_day(date(2027, 1, 4))


def test_an_exchange_that_does_not_exist_is_refused_by_name() -> None:
    with pytest.raises(ConfigurationError, match="'NYSE'"):
        CALENDAR.is_open("NYSE", instant(FRIDAY, time(10)))


def test_every_weekday_before_the_first_known_year_can_be_replayed() -> None:
    assert hours("NSE", date(2016, 8, 15)) == (time(9, 15), time(15, 30))
    assert hours("NSE", date(2016, 8, 14)) is None


def test_a_day_on_which_only_commodities_trade_is_a_trading_day_of_theirs() -> None:
    evening = date(2026, 3, 3)
    assert CALENDAR.is_trading_day(evening)
    assert CALENDAR.is_trading_day(evening, "MCX")
    assert not CALENDAR.is_trading_day(evening, "NSE")


def test_trading_days_leave_out_weekends_and_holidays() -> None:
    days = list(CALENDAR.days(date(2026, 1, 23), date(2026, 1, 28)))
    assert days == [date(2026, 1, 23), date(2026, 1, 27), date(2026, 1, 28)]


@pytest.mark.parametrize(
    ("at", "expected"),
    [(time(9, 14, 59), False), (time(9, 15), True), (time(15, 30), True), (time(15, 31), False)],
)
def test_an_exchange_is_open_from_its_opening_to_its_close(at: time, expected: bool) -> None:
    assert CALENDAR.is_open("NSE", instant(FRIDAY, at)) is expected


@pytest.mark.parametrize(("at", "expected"), [(time(9), True), (time(15, 46), False)])
def test_a_margin_widens_the_session_at_both_ends(at: time, expected: bool) -> None:
    assert CALENDAR.is_open("NSE", instant(FRIDAY, at), timedelta(minutes=15)) is expected


def test_an_exchange_is_closed_between_two_sessions_of_a_day() -> None:
    drill = date(2024, 3, 2)
    open_at = {at: CALENDAR.is_open("NSE", instant(drill, at)) for at in (time(9, 30), time(11))}
    assert open_at == {time(9, 30): True, time(11): False}
    assert hours("NSE", drill) == (time(9, 15), time(12, 30))


def test_the_simulated_exchange_never_closes() -> None:
    for day in (date(2026, 8, 2), date(2040, 1, 1)):
        assert AlwaysOpen().is_open("NSE", instant(day, time(0)))
        assert AlwaysOpen().is_open("MCX", instant(day, time(23, 59, 59)))


def test_a_simulated_session_begins_where_the_last_ended() -> None:
    always = AlwaysOpen()
    assert always.session("NSE", FRIDAY).closes_at == (
        always.session("NSE", FRIDAY + timedelta(days=1)).opens_at
    )


def test_a_simulated_day_is_one_period_of_1440_minutes() -> None:
    always, day = AlwaysOpen(), date(2040, 1, 1)
    whose = InstrumentClass.EQUITY
    (period,) = always.periods("NSE", whose, day)
    assert period.kind is PeriodKind.CONTINUOUS
    assert always.session_opens("NSE", day) == period.opens_at == instant(day, time(0))
    minutes = always.expected_minutes("NSE", whose, day)
    assert (minutes.size, minutes[0] * 60) == (1440, instant(day, time(0)).timestamp())


def test_the_trading_date_changes_at_midnight_in_kolkata() -> None:
    midnight = int(instant(MONDAY, time(0)).timestamp())
    days = sessions.trading_dates(np.array([midnight - 1, midnight, midnight + 86_399]))
    epoch = date(1970, 1, 1)
    assert [epoch + timedelta(days=int(day)) for day in days] == [
        date(2026, 8, 2),
        MONDAY,
        MONDAY,
    ]


def test_the_trading_date_of_one_instant_is_that_of_many() -> None:
    for hour in range(24):
        at = datetime(2026, 8, 3, hour, 29, tzinfo=UTC)
        (days,) = sessions.trading_dates(np.array([at.timestamp()]))
        assert sessions.trading_date(at) == date(1970, 1, 1) + timedelta(days=int(days))


def test_a_datetime_without_zone_is_read_as_kolkata_time() -> None:
    bare = datetime(2026, 8, 3, 9, 15)  # noqa: DTZ001 - that is the subject
    assert sessions.to_ist(bare) == datetime(2026, 8, 3, 3, 45, tzinfo=UTC)


def test_a_datetime_with_a_zone_stays_the_same_instant() -> None:
    at = datetime(2026, 8, 3, 3, 45, tzinfo=UTC)
    assert sessions.to_ist(at) == at
    assert sessions.to_ist(at).hour == 9


MIDNIGHT = 20_000 * 86_400 - 19_800  # in India, the beginning of day 20,000 since 1970


@pytest.mark.parametrize(
    ("instants", "days"),
    [
        ([], []),
        ([MIDNIGHT, MIDNIGHT + 86_399], [20_000]),
        ([MIDNIGHT + 1, MIDNIGHT - 1, MIDNIGHT - 86_400], [19_999, 20_000]),
    ],
)
def test_trading_dates_of_instants_are_distinct_and_rising(
    instants: list[int], days: list[int]
) -> None:
    assert sessions.distinct_trading_dates(np.array(instants, np.int64)) == days
