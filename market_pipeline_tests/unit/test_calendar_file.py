"""CALENDAR_FILE: what a person adds to the calendar, and what is answered when it is wrong."""

from datetime import date, time
from pathlib import Path

import pytest

from market_pipeline.errors import ConfigurationError
from market_pipeline.sessions import EXCHANGE_TZ, Calendar, InstrumentClass, PeriodKind

SATURDAY = date(2026, 12, 5)
A_SATURDAY = "days:\n- {date: 2026-12-05, exchanges: [NSE, NFO], why: A drill, "
A_YEAR = "years:\n- {year: 2027, market: equity, closed: [2027-01-26, 2027-03-22]}\n"
A_RULE = "hours:\n- {exchanges: [CDS], classes: [currency], from: 2026-12-01, "


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "calendar.yaml"


def calendar(file: Path, text: str) -> Calendar:
    file.write_text(text, "utf-8")
    return Calendar(file)


def refusal(file: Path, text: str) -> str:
    """Return what is said of a file that is wrong, which begins with its name."""
    with pytest.raises(ConfigurationError) as caught:
        calendar(file, text)
    message = str(caught.value)
    assert message.startswith(f"{file}: ")
    return message.removeprefix(f"{file}: ")


def test_a_special_session_takes_effect_on_its_exchanges(file: Path) -> None:
    ours = calendar(file, A_SATURDAY + "continuous: [09:15-10:00, 11:30-12:30]}")
    assert ours.expected_minutes("NSE", InstrumentClass.EQUITY, SATURDAY).size == 105
    assert ours.is_trading_day(SATURDAY, "NFO")
    assert not ours.is_trading_day(SATURDAY, "BSE")
    assert not Calendar().is_trading_day(SATURDAY)


def test_the_usual_hours_can_be_said_of_a_day_without_repeating_them(file: Path) -> None:
    ours = calendar(file, A_SATURDAY + "trading: usual}")
    assert ours.expected_minutes("NFO", InstrumentClass.EQUITY_DERIVATIVES, SATURDAY).size == 385


def test_a_holiday_takes_effect(file: Path) -> None:
    ours = calendar(
        file, "days: [{date: 2026-12-07, exchanges: [NSE], why: Election, trading: closed}]"
    )
    assert ours.session("NSE", date(2026, 12, 7)) is None
    assert ours.session("BSE", date(2026, 12, 7)) is not None


def test_a_day_of_the_file_goes_before_that_of_the_program(file: Path) -> None:
    text = "days: [{date: 2026-11-08, exchanges: [NSE], why: Muhurat, continuous: 18:15-19:15}]"
    (period,) = calendar(file, text).periods("NSE", InstrumentClass.INDEX, date(2026, 11, 8))
    assert period.kind is PeriodKind.CONTINUOUS
    assert period.opens_at.astimezone(EXCHANGE_TZ).time() == time(18, 15)


def test_a_whole_later_year_is_known_then(file: Path) -> None:
    ours = calendar(file, A_YEAR)
    days = list(ours.days(date(2027, 1, 25), date(2027, 1, 27), "NSE"))
    assert days == [date(2027, 1, 25), date(2027, 1, 27)]


def test_a_year_is_known_for_the_exchanges_of_its_market_alone(file: Path) -> None:
    ours = calendar(file, A_YEAR)
    with pytest.raises(ConfigurationError, match="2027 .* MCX"):
        ours.session("MCX", date(2027, 1, 25))


def test_days_of_any_exchange_are_those_of_the_exchanges_that_are_known(file: Path) -> None:
    ours = calendar(file, A_YEAR)
    assert ours.is_trading_day(date(2027, 1, 25))
    assert not ours.is_trading_day(date(2027, 1, 26))


def test_half_a_day_of_a_commodity_exchange_can_be_told(file: Path) -> None:
    year = "years: [{year: 2027, market: commodity, closed: [], morning_closed: [2027-03-22]}]"
    session = calendar(file, year).session("MCX", date(2027, 3, 22))
    assert session is not None
    assert session.opens_at.astimezone(EXCHANGE_TZ).time() == time(17)


def test_hours_change_from_a_date_on(file: Path) -> None:
    ours = calendar(file, A_RULE + "continuous: 09:00-19:30}")
    counts = [
        ours.expected_minutes("CDS", InstrumentClass.CURRENCY, day).size
        for day in (date(2026, 11, 30), date(2026, 12, 1))
    ]
    assert counts == [480, 630]


@pytest.mark.parametrize(
    ("text", "entry", "problem"),
    [
        (
            A_SATURDAY + "continuous: 15:30}",
            "entry 1 of days (2026-12-05, ",
            "'15:30' is not a per",
        ),
        (A_SATURDAY + "continuous: 10:00-09:00}", "continuous", "ends before it begins"),
        (
            A_SATURDAY + "pre_open: 09:00-09:20, continuous: 09:15-10:00}",
            "days",
            "overlap at 09:15",
        ),
        (A_SATURDAY + "trading: usual, continuous: 09:15-10:00}", "days", "either `trading` or"),
        (A_SATURDAY + "trading: evening_closed}", "days", "NSE has no morning and evening"),
        (A_SATURDAY + "trading: sometimes}", "trading", "'usual', 'closed'"),
        (A_SATURDAY + "continous: 09:15-10:00}", "continous", "not permitted"),
        (A_SATURDAY + "}", "entry 1 of days", "either `trading` or"),
        (
            "days: [{date: 2026-02-30, exchanges: [NSE], why: x, trading: usual}]",
            "date",
            "2026-02-30",
        ),
        (
            "days: [{date: 2026-12-05, exchanges: [NYSE], why: x, trading: usual}]",
            "exchanges",
            "'NSE'",
        ),
        ("days: [{date: 2026-12-05, exchanges: [NSE], trading: usual}]", "why", "required"),
        (
            A_YEAR + "- {year: 2028, market: equity, closed: [2027-01-26]}",
            "entry 2 of years",
            "of 2028",
        ),
        (
            "years: [{year: 2027, market: currency, closed: [], morning_closed: [2027-03-22]}]",
            "entry 1 of years (2027, currency)",
            "only the commodity exchanges",
        ),
        (
            "years: [{year: 2027, market: equity, closed: [2027-01-26, 2027-01-26]}]",
            "entry 1 of years",
            "2027-01-26 is listed twice",
        ),
        (A_RULE + "season: winter}", "season", "us_standard_time"),
        (A_RULE + "post_close: 17:10-17:20}", "entry 1 of hours", "required"),
        ("holidays: []", "holidays", "not permitted"),
    ],
)
def test_a_wrong_entry_is_refused_with_its_place_and_what_is_wrong(
    file: Path, text: str, entry: str, problem: str
) -> None:
    message = refusal(file, text)
    assert entry in message
    assert problem in message


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "must hold"),
        ("days: [", "is not YAML"),
        (A_YEAR + A_YEAR, "'years' is there twice"),
    ],
)
def test_a_file_that_is_no_calendar_is_refused(file: Path, text: str, problem: str) -> None:
    assert problem in refusal(file, text)


def test_every_wrong_entry_is_named_at_once(file: Path) -> None:
    message = refusal(file, A_SATURDAY + "continuous: 9-10, post_close: 10-11}")
    assert "continuous" in message
    assert "post_close" in message


def test_a_file_that_is_not_there_is_refused_by_name(file: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"calendar\.yaml: cannot be read: No such file"):
        Calendar(file)
