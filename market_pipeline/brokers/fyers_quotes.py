"""Fyers' quotes and market depth, read. No I/O, no clock.

Source: https://myapi.fyers.in/docsv3 as others report it. A quote has neither quantities nor open
interest; the depth of one instrument has all that a quote has and those. Neither says when the
exchange spoke: `tt` of a quote is midnight of its day in UTC.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from market_pipeline.brokers.quotes import Row
from market_pipeline.errors import RequestRefused, UnexpectedReply

MOST = 50
"""Instruments of one request for quotes; depth is given of one."""

_INVALID_SYMBOL = -300
_QUOTE = {
    "last_price": "lp",
    "day_open": "open_price",
    "day_high": "high_price",
    "day_low": "low_price",
    "previous_close": "prev_close_price",
}
_DEPTH = {
    "last_price": "ltp",
    "last_quantity": "ltq",
    "average_price": "atp",
    "day_volume": "v",
    "buy_quantity": "totalbuyqty",
    "sell_quantity": "totalsellqty",
    "day_open": "o",
    "day_high": "h",
    "day_low": "l",
    "previous_close": "c",
    "last_trade_time": "ltt",
    "open_interest": "oi",
}
_LONGEST_QUOTE = 200  # characters of the broker's own words in our messages


def index_rows(reply: Any, tokens: Mapping[str, int]) -> Sequence[Row]:
    """Read a reply of /quotes about indices, whose tokens are given by their tickers.

    What Fyers says it does not know is left out. Volume and book of an index are none, whatever
    numbers stand there.

    Raises:
        RequestRefused: Fyers refuses to tell one of them.
        UnexpectedReply: it is not made of quotes.
    """
    try:
        found = {each["n"]: each for each in reply["d"]}
        told = {ticker: found[ticker] for ticker in tokens if not _is_unknown(found[ticker])}
        return [_row(each["v"], _QUOTE, tokens[ticker]) for ticker, each in told.items()]
    except (AttributeError, KeyError, TypeError) as error:
        raise _unexpected("a quote", error) from None


def depth_row(reply: Any, ticker: str, token: int) -> Row:
    """Read a reply of /depth that was asked for with the day's prices and volume.

    Raises:
        UnexpectedReply: it is not the depth of `ticker`.
    """
    try:
        depth = reply["d"][ticker]
        sides = {**_best(depth["bids"], "bid"), **_best(depth["ask"], "ask")}
        return {**_row(depth, _DEPTH, token), **sides}
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        raise _unexpected(f"the depth of {ticker}", error) from None


def _is_unknown(quote: Mapping[str, Any]) -> bool:
    if quote["s"] == "ok":
        return False
    problem = quote["v"]
    if problem.get("code") == _INVALID_SYMBOL:
        return True
    words = str(problem.get("errmsg") or "no reason given")[:_LONGEST_QUOTE]
    raise RequestRefused(f"Fyers gives no quote of {quote['n']}: {words}")


def _row(values: Mapping[str, Any], names: Mapping[str, str], token: int) -> Row:
    return {"token": token, **{ours: values.get(theirs) for ours, theirs in names.items()}}


def _best(levels: Sequence[Mapping[str, Any]], side: str) -> Row:
    best = levels[0] if levels else {"price": 0, "volume": 0}
    return {f"{side}_price": best["price"], f"{side}_quantity": best["volume"]}


def _unexpected(what: str, error: Exception) -> UnexpectedReply:
    reason = f"{type(error).__name__}: {error}"[:_LONGEST_QUOTE]
    return UnexpectedReply(f"{what} is not in the expected form: {reason}")
