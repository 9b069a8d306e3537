"""Fyers' symbol masters, read without a network, and beside Kite's where real ones are at hand."""

import gzip
import logging
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from market_pipeline.brokers.fyers_indices import INDICES
from market_pipeline.brokers.fyers_master import parse_master
from market_pipeline.brokers.fyers_wire import token_of
from market_pipeline.brokers.kite_rest import parse_instruments
from market_pipeline.errors import UnexpectedReply
from market_pipeline.market import INSTRUMENT_SCHEMA

DATA = Path(__file__).parents[2] / "../shared/data/instruments"


def row(ticker: str, codes: str, token: str, **fields: Any) -> str:
    """Write a row of a master; expiry in epoch seconds."""
    values: list[Any] = [
        f"{codes.replace(',', '')}000000{token}",
        fields.get("name", "A NAME"),
        *(fields.get("type", 0), fields.get("lot", 1), 0.05, "", "0915-1530|1815-1915:"),
        *("2026-11-25", fields.get("expiry", ""), ticker, codes, token),
        *(fields.get("underlying", "X"), "1", fields.get("strike", -1.0)),
        *(fields.get("option", "XX"), "10100000001", "None", 0, 0.0),
    ]
    return ",".join(map(str, values))


INFY = row("NSE:INFY-EQ", "10,10", "1594", name="INFOSYS LIMITED")
OPTION = row(
    "NSE:NIFTY26N2425000CE",
    "10,11",
    "54688",
    lot=65,
    expiry=1795514400,
    underlying="NIFTY",
    strike=25000.0,
    option="CE",
)
FUTURE = row("MCX:GOLD26DECFUT", "11,20", "50784", expiry=1796407200, underlying="GOLD")
NIFTY = row("NSE:NIFTY50-INDEX", "10,10", "26000", type=10, lot=0, expiry=" ")


def master(*rows: str) -> bytes:
    return "\n".join([*rows, ""]).encode()


def parsed(*rows: str) -> dict[str, Any]:
    return parse_master(master(*rows)).row(0, named=True)


def sample(name: str) -> bytes:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{path.resolve()} is not there")
    return gzip.decompress(path.read_bytes())


def test_an_equity_has_no_expiry_strike_or_underlying() -> None:
    assert parsed(INFY) == {
        "token": token_of(10, 10, "1594"),
        "broker_symbol": "NSE:INFY-EQ",
        "exchange": "NSE",
        "segment": "CM",
        "exchange_token": "1594",
        "symbol": "INFY",
        "name": "INFOSYS LIMITED",
        "kind": "EQ",
        "underlying": None,
        "expiry": None,
        "strike": None,
        "lot_size": 1,
        "tick_size": 0.05,
    }


def test_an_option_has_underlying_expiry_and_strike() -> None:
    found = parsed(OPTION)
    assert (found["exchange"], found["segment"], found["kind"]) == ("NFO", "FO", "CE")
    assert (found["underlying"], found["strike"]) == ("NIFTY", 25000.0)
    assert (found["expiry"], found["symbol"]) == (date(2026, 11, 24), "NIFTY26N2425000CE")


def test_a_future_has_no_strike() -> None:
    found = parsed(FUTURE)
    assert (found["kind"], found["strike"], found["underlying"]) == ("FUT", None, "GOLD")


def test_an_expiry_is_the_date_in_india() -> None:
    last_second_of_the_24th_in_india = 1795544999
    late = row("NSE:XFUT", "10,11", "1", expiry=last_second_of_the_24th_in_india)
    assert parsed(late)["expiry"] == date(2026, 11, 24)


def test_an_index_has_kites_symbol_and_key_and_no_lot() -> None:
    found = parsed(NIFTY)
    assert (found["segment"], found["kind"], found["symbol"]) == ("INDEX", "INDEX", "NIFTY 50")
    assert (found["exchange_token"], found["token"]) == ("1001", token_of(10, 10, "26000"))
    assert (found["lot_size"], found["tick_size"]) == (None, None)


def test_an_index_that_is_in_no_map_has_a_key_that_no_other_broker_has() -> None:
    found = parsed(row("BSE:TECK-INDEX", "12,10", "5", type=10))
    assert (found["symbol"], found["exchange_token"]) == ("TECK", "BSE:TECK-INDEX")


@pytest.mark.parametrize(
    ("ticker", "codes", "symbol"),
    [
        ("NSE:M&M-EQ", "10,10", "M&M"),
        ("NSE:CDSL-BE", "10,10", "CDSL-BE"),
        ("NSE:BAJAJ-AUTO-EQ", "10,10", "BAJAJ-AUTO"),
        ("BSE:RELIANCE-A", "12,10", "RELIANCE"),
        ("BSE:BAJAJ-AUTO-A", "12,10", "BAJAJ-AUTO"),
    ],
)
def test_an_equity_is_called_as_at_kite(ticker: str, codes: str, symbol: str) -> None:
    assert parsed(row(ticker, codes, "1"))["symbol"] == symbol


@pytest.mark.parametrize(
    ("codes", "exchange", "segment"),
    [
        ("10,10", "NSE", "CM"),
        ("10,11", "NFO", "FO"),
        ("10,12", "CDS", "CD"),
        ("10,20", "NCO", "COM"),
        ("11,20", "MCX", "COM"),
        ("12,10", "BSE", "CM"),
        ("12,11", "BFO", "FO"),
        ("12,12", "BCD", "CD"),
    ],
)
def test_codes_say_exchange_and_segment(codes: str, exchange: str, segment: str) -> None:
    found = parsed(row("X:YFUT", codes, "1", expiry=1795514400))
    assert (found["exchange"], found["segment"]) == (exchange, segment)


def test_what_is_not_known_is_left_out_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    foreign, spot = row("X:Y", "13,10", "1"), row("NSE:USDINR", "10,12", "2")
    with caplog.at_level(logging.INFO):
        found = parse_master(master(foreign, INFY, spot))
    assert found["symbol"].to_list() == ["INFY"]
    assert "2 instruments left out" in caplog.text


def test_of_rows_that_repeat_a_token_the_first_is_kept(caplog: pytest.LogCaptureFixture) -> None:
    found = parse_master(master(INFY, row("NSE:OTHER-EQ", "10,10", "1594")))
    assert found["symbol"].to_list() == ["INFY"]
    assert "1 rows repeat a token" in caplog.text


@pytest.mark.parametrize(
    ("csv", "message"),
    [
        (b"", "cannot be read as CSV"),
        (b"<html><body>502</body></html>", "a web page came"),
        (b"1,2,3\n", "3 columns instead of 21"),
        (master(INFY.replace("NSE:INFY-EQ", "")), "1 rows of the symbol master are incomplete"),
        (master(INFY.replace(",1594,", ",abc,")), "unreadable"),
        (master(INFY.replace("INFOSYS LIMITED,0,1,", "INFOSYS LIMITED,0,many,")), "unreadable"),
        (master(row("X:Y", "13,10", "1")), "no instrument of a known exchange"),
    ],
)
def test_what_is_no_master_is_refused(csv: bytes, message: str) -> None:
    with pytest.raises(UnexpectedReply, match=message):
        parse_master(csv)


def test_columns_added_at_the_end_are_passed_over() -> None:
    assert parsed(f"{INFY},new,newer")["symbol"] == "INFY"


def test_the_map_of_indices_names_each_once() -> None:
    for names in zip(*INDICES, strict=True):
        known = [name for name in names if name]
        assert len(set(known)) == len(known)


def test_a_real_master_of_currencies_is_read_whole() -> None:
    found = parse_master(sample("fyers_2025-11-10_NSE_CD.csv.gz"))
    assert dict(found.schema) == INSTRUMENT_SCHEMA
    assert dict(found.group_by("kind").len().iter_rows()) == {"FUT": 183, "CE": 5440, "PE": 5440}
    assert found["exchange"].unique().to_list() == ["CDS"]
    assert (
        found.select("expiry", "underlying", "lot_size", "tick_size")
        .null_count()
        .sum_horizontal()[0]
        == 0
    )


@pytest.fixture(scope="module")
def both() -> pl.DataFrame:
    """NSE of both brokers, a month apart: whatever either lists, Kite's columns to the right."""
    key = ["exchange", "segment", "exchange_token"]
    fyers = parse_master(sample("fyers_2025-11-10_NSE_CM.csv.gz"))
    kite = parse_instruments(sample("kite_2025-12_NSE.csv.gz"))
    return fyers.join(kite, on=key, how="full", suffix="_kite", coalesce=True)


def test_equities_of_both_brokers_are_joined_by_the_exchanges_own_token(
    both: pl.DataFrame, record_property: Any
) -> None:
    equities = both.filter(pl.col("segment") == "CM")
    pairs = equities.drop_nulls(["token", "token_kite"])
    found = {
        "matched": pairs.height,
        "of Fyers alone": equities["token_kite"].null_count(),
        "of Kite alone": equities["token"].null_count(),
    } | {
        name: pairs.filter(pl.col(name) != pl.col(f"{name}_kite")).height
        for name in ("symbol", "lot_size", "tick_size", "kind")
    }
    for name, count in found.items():
        record_property(name, count)
    assert found == {
        "matched": 8182,
        "of Fyers alone": 428,
        "of Kite alone": 408,
        "symbol": 7,  # renamed in the month between
        "lot_size": 2,
        "tick_size": 98,
        "kind": 0,
    }


def test_every_index_of_fyers_is_one_of_kites(both: pl.DataFrame) -> None:
    indices = both.filter(pl.col("segment") == "INDEX").drop_nulls("token")
    assert indices.height == 120
    assert indices["token_kite"].null_count() == 0
    assert indices.filter(pl.col("symbol") != pl.col("symbol_kite")).is_empty()
    known = {index.ticker: index.fyers_token for index in INDICES}
    assert [int(f"1010{known[ticker]}") for ticker in indices["broker_symbol"]] == (
        indices["token"].to_list()
    )
