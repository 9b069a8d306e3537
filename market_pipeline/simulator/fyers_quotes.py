"""The bodies of Fyers' quotes and market depth, made of the same packets as the live feed."""

from typing import Any

from market_pipeline.market import Columns
from market_pipeline.simulator.fyers_symbols import Symbol, expiry_epoch
from market_pipeline.simulator.listing import Security

_IST_SECONDS = 19_800


def quote(symbol: Symbol, packets: Columns, at: int) -> dict[str, Any]:
    """Describe one packet as an element of /quotes."""
    last, previous = _price(packets, "last_price", at), _price(packets, "previous_close", at)
    bid, ask = _price(packets, "bid_price", at), _price(packets, "ask_price", at)
    values = {
        **_change(last, previous),
        "lp": last,
        "spread": round(ask - bid, 4),
        "ask": ask,
        "bid": bid,
        "open_price": _price(packets, "day_open", at),
        "high_price": _price(packets, "day_high", at),
        "low_price": _price(packets, "day_low", at),
        "prev_close_price": previous,
        "atp": round(_price(packets, "average_price", at), 2),
        "volume": int(packets["day_volume"][at]),
        "short_name": symbol.short,
        "exchange": symbol.market.prefix,
        "description": symbol.ticker,
        "original_name": symbol.ticker,
        "symbol": symbol.ticker,
        "fyToken": symbol.fy_token,
        "tt": str(_midnight(int(packets["exchange_time"][at]))),
    }
    return {"n": symbol.ticker, "s": "ok", "v": values}


def _midnight(seconds: int) -> int:
    """Return what Fyers stamps quotes with: their day in India, as midnight in UTC."""
    return (seconds + _IST_SECONDS) // 86_400 * 86_400


def no_quote(ticker: str) -> dict[str, Any]:
    """Describe a symbol that is not listed as an element of /quotes."""
    problem = {"code": -300, "errmsg": "invalid symbol", "s": "error"}
    return {"n": ticker, "s": "error", "v": problem}


def depth(security: Security, packets: Columns, at: int, with_day: bool) -> dict[str, Any]:
    """Describe one packet as /depth does; `with_day` adds the day's prices and volume."""
    last, previous = _price(packets, "last_price", at), _price(packets, "previous_close", at)
    described = {
        "totalbuyqty": int(packets["buy_quantity"][at]),
        "totalsellqty": int(packets["sell_quantity"][at]),
        "ask": _levels(packets, at, 5),
        "bids": _levels(packets, at, 0),
        **_change(last, previous),
        "tick_Size": security.tick,
        "ltq": int(packets["last_quantity"][at]),
        "ltt": int(packets["last_trade_time"][at]),
        "ltp": last,
        "atp": round(_price(packets, "average_price", at), 2),
        "lower_ckt": round(previous * 0.9, 2),
        "upper_ckt": round(previous * 1.1, 2),
        "expiry": str(expiry_epoch(security) or ""),
        "oi": int(packets["open_interest"][at]),
        "oiflag": security.expiry is not None,
        "pdoi": 0,
        "oipercent": 0,
    }
    if with_day:
        described |= {
            "o": _price(packets, "day_open", at),
            "h": _price(packets, "day_high", at),
            "l": _price(packets, "day_low", at),
            "c": previous,
            "v": int(packets["day_volume"][at]),
        }
    return described


def _price(packets: Columns, name: str, at: int) -> float:
    return float(packets[name][at])


def _change(last: float, previous: float) -> dict[str, float]:
    change = round(last - previous, 4)
    return {"ch": change, "chp": round(change / previous * 100, 2) if previous else 0.0}


def _levels(packets: Columns, at: int, first: int) -> list[dict[str, Any]]:
    return [
        {
            "price": float(packets["depth_price"][at, level]),
            "volume": int(packets["depth_quantity"][at, level]),
            "ord": int(packets["depth_orders"][at, level]),
        }
        for level in range(first, first + 5)
    ]
