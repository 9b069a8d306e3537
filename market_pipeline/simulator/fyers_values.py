"""What Fyers' data socket says of instruments: integers in the order of the wire."""

import numpy as np

from market_pipeline.market import Columns
from market_pipeline.simulator.noise import Int


def prices(packets: Columns, scale: Int) -> Int:
    """Return the 21 values of each instrument (sf): (packets, 21).

    The year's high and low and the circuit limits are made up from the previous close.
    """
    previous = _price(packets, "previous_close", scale)
    return np.stack(
        (
            _price(packets, "last_price", scale),
            packets["day_volume"],
            packets["last_trade_time"],
            packets["exchange_time"],
            packets["bid_quantity"],
            packets["ask_quantity"],
            _price(packets, "bid_price", scale),
            _price(packets, "ask_price", scale),
            packets["last_quantity"],
            packets["buy_quantity"],
            packets["sell_quantity"],
            _price(packets, "average_price", scale),
            packets["open_interest"],
            _price(packets, "day_low", scale),
            _price(packets, "day_high", scale),
            previous * 6 // 5,
            previous * 4 // 5,
            previous * 9 // 10,
            previous * 11 // 10,
            _price(packets, "day_open", scale),
            previous,
        ),
        axis=1,
    )


def index_values(packets: Columns, scale: Int) -> Int:
    """Return the 6 values of each index (if): (packets, 6)."""
    first = [_price(packets, name, scale) for name in ("last_price", "previous_close")]
    rest = [_price(packets, name, scale) for name in ("day_high", "day_low", "day_open")]
    return np.stack((*first, packets["exchange_time"], *rest), axis=1)


def depth(packets: Columns, scale: Int) -> Int:
    """Return the 30 values of each book (dp): (packets, 30), of all five bids before the asks."""
    levels = np.rint(packets["depth_price"] * scale[:, None]).astype(np.int64)
    return np.concatenate((levels, packets["depth_quantity"], packets["depth_orders"]), axis=1)


def _price(packets: Columns, name: str, scale: Int) -> Int:
    return np.rint(packets[name] * scale).astype(np.int64)
