"""What the words of a trader mean."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market_pipeline.storage.instrument_text import Reading, readings

CE, PE, FUT, OPTIONS = ("CE",), ("PE",), ("FUT",), ("CE", "PE")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("", Reading()),
        ("INFY", Reading(("INFY",))),
        ("hdfc bank", Reading(("HDFC", "BANK"))),
        ("M&M fut", Reading(("M&M",), kinds=FUT)),
        ("reliance fut", Reading(("RELIANCE",), kinds=FUT)),
        ("reliance dec fut", Reading(("RELIANCE",), kinds=FUT, month=12)),
        ("nifty options", Reading(("NIFTY",), kinds=OPTIONS)),
        ("nifty 24200 ce", Reading(("NIFTY",), kinds=CE, strike=24200)),
        ("nifty ce 24200", Reading(("NIFTY",), kinds=CE, strike=24200)),
        ("nifty 24,200 call", Reading(("NIFTY",), kinds=CE, strike=24200)),
        ("nifty 24200ce", Reading(("NIFTY",), kinds=CE, strike=24200)),
        ("24200 put", Reading(kinds=PE, strike=24200)),
        ("itc 402.5 pe", Reading(("ITC",), kinds=PE, strike=402.5)),
        ("nifty 50 24200 ce", Reading(("NIFTY", "50"), kinds=CE, strike=24200)),
        ("reliance bse", Reading(("RELIANCE",), exchange="BSE")),
        ("nfo:nifty fut", Reading(("NIFTY",), exchange="NFO", kinds=FUT)),
        ("infy eq", Reading(("INFY",), kinds=("EQ",))),
        ("NIFTY25DEC24200CE", Reading(("NIFTY25DEC24200CE",))),
    ],
)
def test_the_likeliest_reading(text: str, meant: Reading) -> None:
    assert readings(text)[0] == meant


@pytest.mark.parametrize("text", ["bse", "mcx", "may", "fut", "ce"])
def test_a_first_word_is_a_name(text: str) -> None:
    assert readings(text) == [Reading((text.upper(),))]


def test_a_first_word_is_a_name_before_others_too() -> None:
    assert readings("bse fut") == [Reading(("BSE",), kinds=FUT)]


@pytest.mark.parametrize(
    ("text", "month", "day", "year"),
    [
        ("nifty dec", 12, None, None),
        ("nifty december", 12, None, None),
        ("nifty sept", 9, None, None),
        ("nifty 26dec", 12, 26, 2026),
        ("nifty 26 dec", 12, 26, 2026),
        ("nifty dec26", 12, 26, 2026),
        ("nifty dec 26", 12, 26, 2026),
        ("nifty dec2026", 12, None, 2026),
        ("nifty dec 2026", 12, None, 2026),
    ],
)
def test_a_number_at_a_month_is_a_day_or_a_year(
    text: str, month: int, day: int | None, year: int | None
) -> None:
    wanted = Reading(("NIFTY",), kinds=FUT, month=month, day=day, year=year)
    assert readings(f"{text} fut") == [wanted]


@pytest.mark.parametrize("text", ["2026-12-29", "29dec26", "29DEC2026", "29 dec 2026"])
def test_a_whole_date_is_an_expiry(text: str) -> None:
    assert readings(f"nifty {text} fut") == [
        Reading(("NIFTY",), kinds=FUT, expiry=date(2026, 12, 29))
    ]


def test_a_date_that_does_not_exist_is_a_word() -> None:
    assert readings("nifty 31feb26 fut")[0].words == ("NIFTY", "31FEB26")


def test_a_month_and_a_strike_are_told_apart() -> None:
    meant = Reading(("BANKNIFTY",), kinds=PE, strike=52000, month=12, day=26, year=2026)
    assert readings("banknifty 26dec 52000 pe")[0] == meant
    assert readings("banknifty dec 26 52000 pe")[0] == meant


@pytest.mark.parametrize("strike", [10, 2030])
def test_the_only_number_after_the_month_of_an_option_is_its_strike(strike: int) -> None:
    meant = Reading(("IDEA",), kinds=CE, month=12, strike=strike)
    assert readings(f"idea dec {strike} ce")[0] == meant


def test_a_number_without_a_kind_belongs_to_a_name_or_is_a_strike() -> None:
    assert readings("nifty 50") == [
        Reading(("NIFTY", "50")),
        Reading(("NIFTY",), kinds=OPTIONS, strike=50),
    ]


def test_a_number_with_a_kind_is_a_strike_or_belongs_to_a_name() -> None:
    assert readings("nifty 50 ce") == [
        Reading(("NIFTY",), kinds=CE, strike=50),
        Reading(("NIFTY", "50"), kinds=CE),
    ]


def test_a_number_in_the_name_of_a_future_is_no_strike() -> None:
    assert readings("nifty next 50 fut") == [Reading(("NIFTY", "NEXT", "50"), kinds=FUT)]


@given(st.text() | st.text("0123456789 DECFUTNIY:.,-", max_size=30))
def test_any_text_has_a_reading(text: str) -> None:
    assert 1 <= len(readings(text)) <= 2
