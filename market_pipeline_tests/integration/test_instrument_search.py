"""What a search finds, and in which order."""

from datetime import date, timedelta
from typing import Any

import pytest

from market_pipeline.storage import instruments
from market_pipeline.storage.database import Database
from market_pipeline.storage.instrument_search import Filters, search
from market_pipeline_tests.builders import TODAY
from market_pipeline_tests.instrument_cases import (
    DUMP_DAY,
    INFY,
    OTHERS,
    TCS,
    Row,
    equity,
    future,
    index,
    real_master,
    sync,
)

NOVEMBER, DECEMBER, JANUARY = date(2026, 11, 24), date(2026, 12, 29), date(2027, 1, 26)
_MONTHS = {NOVEMBER: "26NOV", DECEMBER: "26DEC", JANUARY: "27JAN"}
FUTURES = ["26NOVFUT", "26DECFUT", "27JANFUT"]


def derivatives(first: int, underlying: str, strikes: range, exchange: str = "NFO") -> list[Row]:
    """Make futures and options of three months on something."""
    rows: list[Row] = []
    for expiry, month in _MONTHS.items():
        contracts: list[dict[str, Any]] = [{"kind": "FUT"}]
        contracts += [
            {"kind": kind, "strike": strike} for strike in strikes for kind in ("CE", "PE")
        ]
        for contract in contracts:
            symbol = f"{underlying}{month}{contract.get('strike', '')}{contract['kind']}"
            more = {"name": underlying, "underlying": underlying, "exchange": exchange, **contract}
            rows.append(future((first + len(rows)) << 8 | 2, symbol, expiry, **more))
    return rows


MARKET: list[Row] = [
    *derivatives(1000, "NIFTY", range(24100, 24300, 50)),
    *derivatives(2000, "BANKNIFTY", range(51900, 52100, 100)),
    *derivatives(3000, "RELIANCE", range(1400, 1420, 10)),
    *derivatives(4000, "GOLD", range(0), "MCX"),
    *derivatives(5000, "INFY", range(0)),
    index(1 << 8 | 9, "NIFTY 50"),
    index(2 << 8 | 9, "NIFTY BANK"),
    index(3 << 8 | 9, "NIFTY 500"),
    equity(11 << 8 | 1, "NIFTYBEES", name="NIPPON INDIA ETF"),
    equity(12 << 8 | 1, "SETFNIFTY", name="SBI ETF"),
    equity(13 << 8 | 1, "RELIANCE", name="RELIANCE INDUSTRIES"),
    equity(14 << 8 | 4, "RELIANCE", name="RELIANCE INDUSTRIES", exchange="BSE"),
    equity(15 << 8 | 1, "RELINFRA", name="RELIANCE INFRASTRUCTURE"),
    equity(16 << 8 | 1, "HDFCBANK", name="HDFC BANK"),
    equity(17 << 8 | 1, "HDFCLIFE", name="HDFC LIFE INSURANCE"),
    equity(18 << 8 | 1, "INFY", name="INFOSYS"),
    equity(19 << 8 | 1, "INFYBEES", name="SOME ETF"),
    equity(20 << 8 | 1, "XINFY", name="ANOTHER"),
    equity(21 << 8 | 1, "TRACKER", name="INFY TRACKER"),
    equity(22 << 8 | 1, "BSE", name="BSE LIMITED"),
    equity(23 << 8 | 1, "M&M", name="MAHINDRA & MAHINDRA"),
    equity(24 << 8 | 1, "A_B", name="100% PURE"),
    equity(25 << 8 | 1, "AXB", name="1000 PURE"),
]


@pytest.fixture
def market(database: Database) -> Database:
    sync(database, *MARKET, day=TODAY)
    return database


def found(database: Database, text: str, limit: int = 20, **filters: Any) -> list[str]:
    rows = search(database, ["kite"], text, TODAY, limit, Filters(**filters))
    return [f"{row['exchange']}:{row['symbol']}" for row in rows.to_dicts()]


def test_an_index_comes_before_its_futures_and_options_last(market: Database) -> None:
    futures = [f"NFO:NIFTY{month}" for month in FUTURES]
    names = found(market, "NIFTY", 100)
    assert names[:4] == ["NSE:NIFTY 50", *futures]
    assert names[4:7] == ["NSE:NIFTY 500", "NSE:NIFTYBEES", "NSE:NIFTY BANK"]
    assert names[-1] == "NFO:NIFTY27JAN24250PE"


@pytest.mark.parametrize("text", ["nifty 50", "nifty50", "NSE:NIFTY 50"])
def test_an_index_is_found_by_its_own_name(market: Database, text: str) -> None:
    assert found(market, text)[0] == "NSE:NIFTY 50"


@pytest.mark.parametrize("text", ["nifty bank", "banknifty", "bank nifty fut"])
def test_an_index_and_its_underlying_are_one_name(market: Database, text: str) -> None:
    assert "NFO:BANKNIFTY26NOVFUT" in found(market, text)[:2]


def test_a_strike_and_a_kind_give_that_option_the_nearest_first(market: Database) -> None:
    assert found(market, "nifty 24200 ce") == [
        f"NFO:NIFTY{month}24200CE" for month in _MONTHS.values()
    ]


def test_a_strike_without_a_kind_gives_both(market: Database) -> None:
    assert found(market, "nifty 24200")[:2] == ["NFO:NIFTY26NOV24200CE", "NFO:NIFTY26NOV24200PE"]


def test_a_strike_alone_is_enough(market: Database) -> None:
    assert found(market, "52000 pe")[0] == "NFO:BANKNIFTY26NOV52000PE"


def test_futures_are_found_the_nearest_first(market: Database) -> None:
    assert found(market, "reliance fut")[:3] == [f"NFO:RELIANCE{month}" for month in FUTURES]


def test_a_month_confines_futures(market: Database) -> None:
    assert found(market, "reliance dec fut") == ["NFO:RELIANCE26DECFUT"]


@pytest.mark.parametrize("month", ["26dec", "dec", "29 dec", "29dec26", "2026-12-29"])
def test_a_month_and_a_strike_give_one_option(market: Database, month: str) -> None:
    assert found(market, f"banknifty {month} 52000 pe") == ["NFO:BANKNIFTY26DEC52000PE"]


def test_companies_are_found_by_their_names(market: Database) -> None:
    assert found(market, "hdfc bank")[0] == "NSE:HDFCBANK"
    assert found(market, "bank hdfc") == ["NSE:HDFCBANK"]
    assert found(market, "infosys")[0] == "NSE:INFY"


def test_futures_are_found_by_the_name_of_their_company(market: Database) -> None:
    assert found(market, "infosys fut") == [f"NFO:INFY{month}" for month in FUTURES]


def test_exact_comes_before_beginning_before_part_before_name(market: Database) -> None:
    names = [name for name in found(market, "INFY") if not name.startswith("NFO:")]
    assert names == ["NSE:INFY", "NSE:INFYBEES", "NSE:XINFY", "NSE:TRACKER"]


def test_the_national_exchange_comes_first(market: Database) -> None:
    assert found(market, "reliance")[:3] == [
        "NSE:RELIANCE",
        "BSE:RELIANCE",
        "NFO:RELIANCE26NOVFUT",
    ]
    assert found(market, "reliance bse") == ["BSE:RELIANCE"]


def test_commodities_have_no_cash_market_to_be_found_by(market: Database) -> None:
    assert found(market, "gold") == [f"MCX:GOLD{month}" for month in FUTURES]


@pytest.mark.parametrize("text", ["NIFTY26DEC24200CE", "NFO:NIFTY26DEC24200CE", "nifty26dec24200c"])
def test_an_option_is_found_by_its_symbol_or_its_beginning(market: Database, text: str) -> None:
    assert found(market, text) == ["NFO:NIFTY26DEC24200CE"]


def test_a_token_is_a_name(market: Database) -> None:
    assert found(market, str(18 << 8 | 1))[0] == "NSE:INFY"
    assert found(market, "9" * 30) == []


@pytest.mark.parametrize(
    ("text", "name"), [("m&m", "NSE:M&M"), ("a_b", "NSE:A_B"), ("100% pure", "NSE:A_B")]
)
def test_characters_of_patterns_are_characters(market: Database, text: str, name: str) -> None:
    assert found(market, text) == [name]


@pytest.mark.parametrize("text", ["%\\", "\0", "'; --", '"', "::", "$1", ":today"])
def test_any_character_may_be_searched_for(market: Database, text: str) -> None:
    assert len(found(market, text)) <= 20


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("relaince fut", "NFO:RELIANCE26NOVFUT"),
        ("hdfcbnak", "NSE:HDFCBANK"),
        ("bannkifty 52000 pe", "NFO:BANKNIFTY26NOV52000PE"),
        ("infosis", "NSE:INFY"),
    ],
)
def test_typing_errors_give_what_is_similar(market: Database, text: str, name: str) -> None:
    rows = search(market, ["kite"], text, TODAY)
    assert rows["is_similar"].all()
    assert found(market, text)[0] == name


def test_what_is_like_nothing_is_not_found(market: Database) -> None:
    rows = search(market, ["kite"], "qqqqqq", TODAY)
    assert rows.is_empty()
    assert rows.schema == search(market, ["kite"], "INFY", TODAY).schema


def test_filters_confine_what_is_found(market: Database) -> None:
    assert found(market, "reliance", exchange="BSE") == ["BSE:RELIANCE"]
    assert found(market, "reliance", kind="FUT", expiry=DECEMBER) == ["NFO:RELIANCE26DECFUT"]
    assert found(market, "nifty", segment="INDEX") == [
        "NSE:NIFTY 50",
        "NSE:NIFTY 500",
        "NSE:NIFTY BANK",
    ]
    assert found(market, "reliance fut", exchange="BSE") == []


@pytest.mark.parametrize("underlying", ["NIFTY", "nifty 50"])
def test_an_empty_text_lists_what_the_filters_leave(market: Database, underlying: str) -> None:
    names = found(market, "", underlying=underlying, kind="FUT")
    assert names == [f"NFO:NIFTY{month}" for month in FUTURES]


def test_no_more_is_returned_than_asked_for(market: Database) -> None:
    assert len(found(market, "nifty", 5)) == 5


def test_another_broker_offers_nothing(market: Database) -> None:
    assert search(market, ["fyers"], "INFY", TODAY).is_empty()


def test_of_two_brokers_the_first_that_offers_it_gives_the_token(database: Database) -> None:
    sync(database, INFY, TCS)
    others = [equity(1, "INFY", exchange_token="1"), equity(2, "SBIN", exchange_token="3")]
    sync(database, *others, broker="fyers")
    for text, token in (("INFY", INFY["token"]), ("SBIN", 2), ("2", 2), ("TCS", TCS["token"])):
        assert search(database, ["kite", "fyers"], text, TODAY)["token"].to_list() == [token]
    assert search(database, ["fyers", "kite"], "INFY", TODAY)["token"].to_list() == [1]


def test_what_has_expired_is_found_only_if_asked_for(database: Database) -> None:
    gone = future(3, "INFY26OCTFUT", TODAY - timedelta(days=20))
    sync(database, gone, *OTHERS, day=TODAY - timedelta(days=30))
    assert found(database, "infy fut") == []  # though nothing was synchronised since
    near = future(259, "INFY26NOVFUT", TODAY)
    sync(database, near, *OTHERS)
    assert found(database, "infy fut") == ["NFO:INFY26NOVFUT"]
    expected = ["NFO:INFY26NOVFUT", "NFO:INFY26OCTFUT"]
    assert found(database, "infy fut", with_expired=True) == expected


def test_a_real_master_is_searched_as_a_trader_expects(database: Database) -> None:
    instruments.sync(database, "kite", real_master(), DUMP_DAY)

    def first(text: str, count: int = 1) -> list[str]:
        return search(database, ["kite"], text, DUMP_DAY, count)["symbol"].to_list()

    assert first("NIFTY", 2) == ["NIFTY 50", "NIFTY25DECFUT"]
    assert first("nifty 26000 ce", 2) == ["NIFTY25D2326000CE", "NIFTY25DEC26000CE"]
    assert first("reliance jan fut") == ["RELIANCE26JANFUT"]
    assert first("banknifty 25dec 52000 pe") == ["BANKNIFTY25DEC52000PE"]
    assert first("hdfc bank", 2) == ["HDFCBANK", "HDFCBANK25DECFUT"]
    assert first("state bank of india") == ["SBIN"]
    assert first("nifty mid select", 2) == ["NIFTY MID SELECT", "MIDCPNIFTY25DECFUT"]
    assert first("relaince") == ["RELIANCE"]
