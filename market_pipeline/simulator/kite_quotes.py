"""The bodies of Kite's three kinds of quote, made of the same packets as the live feed."""

from datetime import datetime
from typing import Any

from market_pipeline.brokers.kite_wire import INDICES
from market_pipeline.market import Columns
from market_pipeline.sessions import EXCHANGE_TZ


def last_price(packets: Columns, at: int) -> dict[str, Any]:
    """Describe one packet as /quote/ltp does."""
    return {
        "instrument_token": int(packets["token"][at]),
        "last_price": float(packets["last_price"][at]),
    }


def ohlc(packets: Columns, at: int) -> dict[str, Any]:
    """Describe one packet as /quote/ohlc does; `close` is the previous session's."""
    day = {
        "open": float(packets["day_open"][at]),
        "high": float(packets["day_high"][at]),
        "low": float(packets["day_low"][at]),
        "close": float(packets["previous_close"][at]),
    }
    return last_price(packets, at) | {"ohlc": day}


def quote(packets: Columns, at: int) -> dict[str, Any]:
    """Describe one packet as /quote does; indices have no volume and no depth."""
    previous_close = float(packets["previous_close"][at])
    described = ohlc(packets, at) | {
        "timestamp": _stamp(packets["exchange_time"][at]),
        "net_change": round(float(packets["last_price"][at]) - previous_close, 4),
    }
    if int(packets["token"][at]) & 0xFF == INDICES:
        return described
    return described | {
        "last_trade_time": _stamp(packets["last_trade_time"][at]),
        "last_quantity": int(packets["last_quantity"][at]),
        "buy_quantity": int(packets["buy_quantity"][at]),
        "sell_quantity": int(packets["sell_quantity"][at]),
        "volume": int(packets["day_volume"][at]),
        "average_price": round(float(packets["average_price"][at]), 2),
        "oi": int(packets["open_interest"][at]),
        "oi_day_high": 0,
        "oi_day_low": 0,
        "lower_circuit_limit": round(previous_close * 0.9, 2),
        "upper_circuit_limit": round(previous_close * 1.1, 2),
        "depth": {"buy": _levels(packets, at, 0), "sell": _levels(packets, at, 5)},
    }


def _levels(packets: Columns, at: int, first: int) -> list[dict[str, Any]]:
    return [
        {
            "price": float(packets["depth_price"][at, level]),
            "quantity": int(packets["depth_quantity"][at, level]),
            "orders": int(packets["depth_orders"][at, level]),
        }
        for level in range(first, first + 5)
    ]


def _stamp(seconds: int) -> str:
    return datetime.fromtimestamp(int(seconds), EXCHANGE_TZ).strftime("%Y-%m-%d %H:%M:%S")
