"""Quotes of both brokers, read without a network."""

import copy
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest

from market_pipeline.brokers import fyers_quotes, kite_quotes, quotes
from market_pipeline.errors import RequestRefused, UnexpectedReply
from market_pipeline.market import PACKET_COLUMNS, QUOTE_SCHEMA

INFY, NIFTY = 408065, 256265
FYERS_INFY, FYERS_NIFTY = 10101594, 101026000
TICKER, INDEX = "NSE:INFY-EQ", "NSE:NIFTY50-INDEX"
TRADED = datetime(2021, 6, 8, 10, 15, 52, tzinfo=UTC)  # 15:45:52 in India

# As in https://kite.trade/docs/connect/v3/market-quotes/, with one level a side
KITE = {
    "instrument_token": INFY,
    "timestamp": "2021-06-08 15:45:56",
    "last_trade_time": "2021-06-08 15:45:52",
    "last_price": 1412.95,
    "last_quantity": 5,
    "buy_quantity": 0,
    "sell_quantity": 5191,
    "volume": 7360198,
    "average_price": 1412.47,
    "oi": 0,
    "net_change": 0,
    "ohlc": {"open": 1396, "high": 1421.75, "low": 1395.55, "close": 1389.65},
    "depth": {
        "buy": [{"price": 0, "quantity": 0, "orders": 0}],
        "sell": [{"price": 1412.95, "quantity": 5191, "orders": 13}],
    },
}
KITE_INDEX = {
    "instrument_token": NIFTY,
    "timestamp": "2021-06-08 15:31:00",
    "last_price": 15740.1,
    "net_change": -11.55,
    "ohlc": {"open": 15773.9, "high": 15778.8, "low": 15680, "close": 15751.65},
}
DEPTH = {
    "totalbuyqty": 2396063,
    "totalsellqty": 4990001,
    "bids": [{"price": 2427, "volume": 1, "ord": 1}],
    "ask": [{"price": 2427.4, "volume": 100, "ord": 2}],
    "o": 2417.9,
    "h": 2430,
    "l": 2402.3,
    "c": 2413.35,
    "chp": 0.57,
    "ltq": 9,
    "ltt": int(TRADED.timestamp()),
    "ltp": 2427.1,
    "v": 3_000_000_005,
    "atp": 2420.14,
    "oi": 0,
    "oiflag": False,
}
FYERS_INDEX = {
    "n": INDEX,
    "s": "ok",
    "v": {
        "lp": 24812.5,
        "open_price": 24700,
        "high_price": 24850,
        "low_price": 24680,
        "prev_close_price": 24750,
        "ask": 0,
        "bid": 0,
        "volume": 0,
        "tt": "1780704000",
    },
}


def kite(quote: dict[str, Any], **changes: Any) -> pl.DataFrame:
    changed = copy.deepcopy(quote) | changes
    return kite_quotes.parse_quotes({"408065": changed}, [quote["instrument_token"]])


def depth(**changes: Any) -> pl.DataFrame:
    reply = {"s": "ok", "d": {TICKER: copy.deepcopy(DEPTH) | changes}}
    return quotes.frame_of([fyers_quotes.depth_row(reply, TICKER, FYERS_INFY)], [FYERS_INFY])


def index_quotes(*elements: Any) -> pl.DataFrame:
    reply = {"s": "ok", "d": list(elements)}
    rows = fyers_quotes.index_rows(reply, {INDEX: FYERS_NIFTY})
    return quotes.frame_of(rows, [FYERS_NIFTY])


def values(frame: pl.DataFrame) -> dict[str, Any]:
    return {name: value for name, value in frame.row(0, named=True).items() if value is not None}


def test_a_quote_has_the_columns_of_a_packet() -> None:
    assert list(QUOTE_SCHEMA) == list(PACKET_COLUMNS)


def test_kite_tells_everything_of_what_is_traded() -> None:
    frame = kite(KITE)
    assert frame.schema == pl.Schema(QUOTE_SCHEMA)
    assert values(frame) == {
        "token": INFY,
        "last_price": 1412.95,
        "last_quantity": 5,
        "average_price": 1412.47,
        "day_volume": 7360198,
        "buy_quantity": 0,
        "sell_quantity": 5191,
        "day_open": 1396.0,
        "day_high": 1421.75,
        "day_low": 1395.55,
        "previous_close": 1389.65,
        "last_trade_time": TRADED,
        "open_interest": 0,
        "exchange_time": datetime(2021, 6, 8, 10, 15, 56, tzinfo=UTC),
        "bid_price": 0.0,
        "bid_quantity": 0,
        "ask_price": 1412.95,
        "ask_quantity": 5191,
    }


DAY = {"token", "last_price", "day_open", "day_high", "day_low", "previous_close"}


def test_an_index_of_kite_has_neither_trades_nor_a_book() -> None:
    assert values(kite(KITE_INDEX)).keys() == DAY | {"exchange_time"}


def test_an_index_of_fyers_has_neither_trades_nor_a_book_nor_a_time() -> None:
    found = values(index_quotes(FYERS_INDEX))
    assert found.keys() == DAY
    assert (found["last_price"], found["previous_close"]) == (24812.5, 24750.0)


def test_the_depth_of_fyers_tells_everything_but_when_the_exchange_spoke() -> None:
    frame = depth()
    assert frame.schema == pl.Schema(QUOTE_SCHEMA)
    found = values(frame)
    assert QUOTE_SCHEMA.keys() - found.keys() == {"exchange_time"}
    assert found["last_trade_time"] == TRADED
    assert (found["day_volume"], found["buy_quantity"]) == (3_000_000_005, 2396063)
    assert (found["day_open"], found["previous_close"]) == (2417.9, 2413.35)
    assert (found["bid_price"], found["bid_quantity"]) == (2427.0, 1)
    assert (found["ask_price"], found["ask_quantity"]) == (2427.4, 100)


@pytest.mark.parametrize("never", [None, "", "1970-01-01 05:30:00", "0001-01-01 00:00:00"])
def test_what_never_traded_at_kite_has_no_time_of_a_trade(never: str | None) -> None:
    assert kite(KITE, last_trade_time=never)["last_trade_time"].to_list() == [None]


def test_what_never_traded_at_fyers_has_no_time_of_a_trade() -> None:
    assert depth(ltt=0)["last_trade_time"].to_list() == [None]


def test_an_empty_side_of_the_book_has_the_quantity_zero() -> None:
    empty = kite(KITE, depth={"buy": [], "sell": []})
    for frame in (empty, depth(bids=[], ask=None)):
        sides = frame.select("bid_price", "bid_quantity", "ask_price", "ask_quantity")
        assert sides.row(0) == (0.0, 0, 0.0, 0)


def test_a_price_may_be_below_zero() -> None:
    assert depth(ltp=-37.63)["last_price"].to_list() == [-37.63]


def test_quotes_come_in_the_order_asked_for_each_once_and_without_the_unlisted() -> None:
    rows = [{"token": token, "last_price": token} for token in (1, 2, 3, 4)]
    assert quotes.frame_of(rows, [3, 9, 1, 3])["token"].to_list() == [3, 1]
    assert quotes.frame_of([], [1]).schema == pl.Schema(QUOTE_SCHEMA)


def test_requests_hold_no_more_than_allowed_and_are_as_few_as_can_be() -> None:
    assert [list(part) for part in quotes.batches([1, 2, 3, 4, 5], 2)] == [[1, 2], [3, 4], [5]]
    assert [list(part) for part in quotes.batches([1, 2], 2)] == [[1, 2]]
    assert list(quotes.batches([], 2)) == []


@pytest.mark.parametrize(
    "change",
    [
        {"last_price": None},
        {"last_price": "1412.95"},
        {"last_price": float("nan")},
        {"last_price": True},
        {"volume": 10.5},
        {"volume": -1},
        {"volume": 10**30},
        {"volume": float("inf")},
        {"buy_quantity": [1]},
        {"instrument_token": None},
        {"timestamp": "08/06/2021"},
        {"last_trade_time": 1623147356},
        {"ohlc": None},
        {"ohlc": []},
        {"depth": []},
        {"depth": {"buy": []}},
        {"depth": {"buy": [{}], "sell": []}},
        {"depth": {"buy": [{"price": 1, "quantity": "many"}], "sell": []}},
    ],
)
def test_what_is_no_quote_of_kite_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(UnexpectedReply, match="quote"):
        kite_quotes.parse_quotes({"408065": KITE | change}, [change.get("instrument_token", INFY)])


@pytest.mark.parametrize("payload", [None, [], "x", {"408065": None}, {"408065": {}}])
def test_what_holds_no_quotes_of_kite_is_refused(payload: Any) -> None:
    with pytest.raises(UnexpectedReply, match="a quote is not in the expected form"):
        kite_quotes.parse_quotes(payload, [INFY])


@pytest.mark.parametrize(
    "change",
    [
        {"ltp": None},
        {"ltp": "x"},
        {"v": 1.5},
        {"v": -1294967291},
        {"ltt": 1623147356000},
        {"ltt": "yesterday"},
        {"bids": [{"price": 1}]},
        {"ask": [7]},
        {"ask": 7},
    ],
)
def test_what_is_no_depth_of_fyers_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(UnexpectedReply):
        depth(**change)


@pytest.mark.parametrize("reply", [None, [], {}, {"d": None}, {"d": {}}, {"d": {TICKER: None}}])
def test_what_holds_no_depth_of_fyers_is_refused(reply: Any) -> None:
    with pytest.raises(UnexpectedReply, match=f"the depth of {TICKER}"):
        fyers_quotes.depth_row(reply, TICKER, FYERS_INFY)


@pytest.mark.parametrize(
    "elements",
    [
        [],
        [None],
        [{"n": INDEX}],
        [{**FYERS_INDEX, "v": None}],
        [{**FYERS_INDEX, "v": {"lp": None}}],
        [{**FYERS_INDEX, "s": "error", "v": None}],
    ],
)
def test_what_is_no_quote_of_fyers_is_refused(elements: list[Any]) -> None:
    with pytest.raises(UnexpectedReply, match="quote"):
        index_quotes(*elements)


def test_what_fyers_does_not_know_is_left_out_and_another_refusal_is_told() -> None:
    problem = {"code": -300, "errmsg": "invalid symbol", "s": "error"}
    assert index_quotes({"n": INDEX, "s": "error", "v": problem}).is_empty()
    problem = {"code": -50, "errmsg": "no data for this plan"}
    with pytest.raises(RequestRefused, match=f"{INDEX}: no data for this plan"):
        index_quotes({"n": INDEX, "s": "error", "v": problem})
