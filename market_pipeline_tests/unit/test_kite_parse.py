"""Kite's instrument dump and errors, read without a network."""

import gzip
import logging
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from market_pipeline.brokers.kite_rest import broker_error, parse_instruments
from market_pipeline.errors import (
    BrokerError,
    BrokerUnavailable,
    RateLimited,
    RequestRefused,
    TokenExpired,
    UnexpectedReply,
)
from market_pipeline.market import INSTRUMENT_SCHEMA

DATA = Path(__file__).parents[2] / "../shared/data"
HEADER = (
    "instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,"
    "lot_size,instrument_type,segment,exchange"
)
EQUITY = "408065,1594,INFY,INFOSYS,0.0,,0.0,0.05,1,EQ,NSE,NSE"
OPTION = "14000130,54688,NIFTY26NOV25000CE,NIFTY,0.0,2026-11-24,25000.0,0.05,65,CE,NFO-OPT,NFO"
FUTURE = "13000707,50784,GOLD26DECFUT,GOLD,0.0,2026-12-04,0.0,1.0,1,FUT,MCX-FUT,MCX"
INDEX = "256265,1001,NIFTY 50,NIFTY 50,0.0,,0.0,0.0,0,EQ,INDICES,NSE"
FOREIGN = "291849,1140,GIFT NIFTY,GIFT NIFTY,0.0,,0.0,0.0,0,EQ,INDICES,NSEIX"


def dump(*rows: str) -> bytes:
    return "\n".join([HEADER, *rows, ""]).encode()


def parsed(*rows: str) -> dict[str, Any]:
    return parse_instruments(dump(*rows)).row(0, named=True)


def sample(name: str) -> Path:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{path.resolve()} is not there")
    return path


def test_an_equity_has_no_expiry_strike_or_underlying() -> None:
    assert parsed(EQUITY) == {
        "token": 408065,
        "broker_symbol": "INFY",
        "exchange": "NSE",
        "segment": "CM",
        "exchange_token": "1594",
        "symbol": "INFY",
        "name": "INFOSYS",
        "kind": "EQ",
        "underlying": None,
        "expiry": None,
        "strike": None,
        "lot_size": 1,
        "tick_size": 0.05,
    }


def test_an_option_has_underlying_expiry_and_strike() -> None:
    row = parsed(OPTION)
    assert (row["underlying"], row["expiry"], row["strike"], row["kind"], row["segment"]) == (
        "NIFTY",
        date(2026, 11, 24),
        25000.0,
        "CE",
        "FO",
    )


def test_a_future_has_no_strike() -> None:
    row = parsed(FUTURE)
    assert (row["kind"], row["strike"], row["underlying"]) == ("FUT", None, "GOLD")


def test_an_index_is_told_by_its_segment_and_has_neither_lot_nor_tick() -> None:
    row = parsed(INDEX)
    assert (row["segment"], row["kind"], row["exchange"]) == ("INDEX", "INDEX", "NSE")
    assert row["lot_size"] is row["tick_size"] is None


@pytest.mark.parametrize(
    ("exchange", "segment"),
    [("NSE", "CM"), ("BSE", "CM"), ("NFO", "FO"), ("BFO", "FO"), ("CDS", "CD"), ("BCD", "CD")]
    + [("MCX", "COM"), ("NCO", "COM")],
)
def test_every_exchange_has_its_segment(exchange: str, segment: str) -> None:
    assert parsed(f"1,1,X,X,0.0,,0.0,0.05,1,EQ,{exchange},{exchange}")["segment"] == segment


def test_the_columns_are_those_of_the_schema() -> None:
    assert parse_instruments(dump(EQUITY, OPTION, INDEX)).schema == pl.Schema(INSTRUMENT_SCHEMA)


def test_instruments_of_unknown_exchanges_are_left_out_and_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO):
        assert parse_instruments(dump(EQUITY, FOREIGN))["token"].to_list() == [408065]
    assert "1 instruments left out (NSEIX)" in caplog.text


def test_of_rows_with_one_token_the_first_is_kept_with_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    again = EQUITY.replace("INFY", "TWICE")
    assert parse_instruments(dump(EQUITY, again, INDEX))["symbol"].to_list() == ["INFY", "NIFTY 50"]
    assert "1 rows repeat a token" in caplog.text


def test_a_missing_column_is_named() -> None:
    csv = dump(EQUITY).replace(b"lot_size", b"lots").replace(b"expiry", b"expires")
    with pytest.raises(UnexpectedReply, match="lacks the columns expiry, lot_size"):
        parse_instruments(csv)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\n<html><body>502 Bad Gateway</body></html>", id="a web page"),
        pytest.param(dump(), id="only a header"),
        pytest.param(dump(EQUITY)[:-30], id="cut in a row"),
        pytest.param(dump(EQUITY.replace("408065", "none")), id="a token that is no number"),
        pytest.param(dump(OPTION.replace("2026-11-24", "24 Nov")), id="an unknown date format"),
    ],
)
def test_what_is_no_dump_is_refused(body: bytes) -> None:
    with pytest.raises(UnexpectedReply):
        parse_instruments(body)


def test_zerodhas_sample_dump_parses_in_full() -> None:
    instruments = parse_instruments(sample("kiteconnect-mocks/instruments_all.csv").read_bytes())
    assert len(instruments) == 99
    assert (instruments["token"] // 256 == instruments["exchange_token"].cast(pl.Int64)).all()


@pytest.mark.parametrize(("exchange", "count"), [("NSE", 8725), ("NFO", 37258)])
def test_a_real_dump_parses_in_full(exchange: str, count: int) -> None:
    path = sample(f"instruments/kite_2025-12_{exchange}.csv.gz")
    instruments = parse_instruments(gzip.decompress(path.read_bytes()))
    assert len(instruments) == count
    if exchange == "NFO":
        assert instruments["expiry"].null_count() == instruments["underlying"].null_count() == 0


class TokenException(Exception):
    pass


class NetworkException(Exception):
    pass


class InputException(Exception):
    pass


class DataException(Exception):
    pass


class GeneralException(Exception):
    pass


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (TokenException("Incorrect `api_key` or `access_token`."), 403, TokenExpired),
        (NetworkException("Too many requests"), 429, RateLimited),
        (DataException("<html>"), 429, RateLimited),
        (NetworkException("OMS is down"), 503, BrokerUnavailable),
        (DataException("Unknown Content-Type (text/html)"), 504, BrokerUnavailable),
        (DataException("Unknown Content-Type (text/html)"), 200, UnexpectedReply),
        (InputException("interval exceeds max limit: 60 days"), 400, RequestRefused),
        (GeneralException("who are you"), 403, RequestRefused),
        (TypeError("attribute name must be string"), 500, BrokerUnavailable),
        (KeyError("content-type"), 200, UnexpectedReply),
        (ConnectionError("refused"), None, BrokerUnavailable),
        (TimeoutError("read timed out after the headers"), 200, BrokerUnavailable),
        (ValueError("no scheme"), None, RequestRefused),
    ],
)
def test_an_error_of_the_sdk_becomes_one_of_ours(
    error: Exception, status: int | None, kind: type[BrokerError]
) -> None:
    assert type(broker_error(error, status)) is kind


@pytest.mark.parametrize(
    ("header", "seconds"), [(None, None), ("7", 7.0), ("Wed, 21 Oct 2026 07:28:00 GMT", None)]
)
def test_a_refusal_tells_how_long_to_wait(header: str | None, seconds: float | None) -> None:
    error = broker_error(NetworkException("Too many requests"), 429, header)
    assert isinstance(error, RateLimited)
    assert error.retry_after == seconds


def test_the_brokers_words_are_quoted_without_tokens() -> None:
    error = InputException("bad request: token abc:SECRET access_token=SECRET&v=3")
    message = str(broker_error(error, 400))
    assert "bad request" in message
    assert "SECRET" not in message


def test_a_page_or_body_is_never_quoted() -> None:
    assert "SECRET" not in str(broker_error(DataException('{"access_token": "SECRET"'), 200))
