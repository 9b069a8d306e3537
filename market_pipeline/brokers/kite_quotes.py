"""Kite's quotes, read. No I/O, no clock.

Source of the fields: https://kite.trade/docs/connect/v3/market-quotes/#retrieving-full-market-quotes
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import polars as pl

from market_pipeline.brokers import quotes
from market_pipeline.errors import UnexpectedReply
from market_pipeline.sessions import to_ist

MOST = 500
"""Instruments of one request."""

_NAMES = {
    "last_price": "last_price",
    "last_quantity": "last_quantity",
    "average_price": "average_price",
    "day_volume": "volume",
    "buy_quantity": "buy_quantity",
    "sell_quantity": "sell_quantity",
    "open_interest": "oi",
}
_DAY = {
    "day_open": "open",
    "day_high": "high",
    "day_low": "low",
    "previous_close": "close",
}
_INSTANT = "%Y-%m-%d %H:%M:%S"
_LONGEST_QUOTE = 200  # characters of the broker's own words in our messages


def parse_quotes(payload: Any, tokens: Sequence[int]) -> pl.DataFrame:
    """Read the `data` of a reply of /quote into the columns of QUOTE_SCHEMA.

    Kite names instruments in it as they were asked for, and leaves out those it does not list.

    Raises:
        UnexpectedReply: it is not made of quotes.
    """
    try:
        rows = [_row(quote) for quote in payload.values()]
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        reason = f"{type(error).__name__}: {error}"[:_LONGEST_QUOTE]
        raise UnexpectedReply(f"a quote is not in the expected form: {reason}") from None
    return quotes.frame_of(rows, tokens)


def _row(quote: Mapping[str, Any]) -> quotes.Row:
    """Read one quote. That of an index has neither trades nor a book."""
    return {
        "token": quote["instrument_token"],
        **{ours: quote.get(theirs) for ours, theirs in _NAMES.items()},
        **{ours: quote["ohlc"].get(theirs) for ours, theirs in _DAY.items()},
        "last_trade_time": _epoch(quote.get("last_trade_time")),
        "exchange_time": _epoch(quote.get("timestamp")),
        **_best(quote.get("depth"), "bid", "buy"),
        **_best(quote.get("depth"), "ask", "sell"),
    }


def _epoch(text: str | None) -> int | None:
    """Read a time, which Kite writes as clocks in India show it. Before 1970 there is none."""
    if not text:
        return None
    return max(int(to_ist(datetime.strptime(text, _INSTANT)).timestamp()), 0)  # noqa: DTZ007


def _best(depth: Mapping[str, Any] | None, ours: str, theirs: str) -> quotes.Row:
    if depth is None:
        return {}
    best = depth[theirs][0] if depth[theirs] else {"price": 0, "quantity": 0}
    return {f"{ours}_price": best["price"], f"{ours}_quantity": best["quantity"]}
