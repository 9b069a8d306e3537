"""Prints, the state of an instrument at some second, and the packets a broker makes of them."""

from typing import Any, NamedTuple

import numpy as np

from market_pipeline.market import Columns, empty_packets
from market_pipeline.simulator.ledger import NO_LOW, Days, typical_price
from market_pipeline.simulator.listing import UNITS, Listing
from market_pipeline.simulator.noise import Bits, Int, hashed, integer
from market_pipeline.simulator.tape import Minutes, Trades

_LEVELS = np.arange(5)


class Prints(NamedTuple):
    """The last trade and the day so far, arrays of one length; prices in UNITS, times since 1970.

    One entry for each trade, and one whenever only the book changed after it.
    """

    row: Int
    second: Int  # of the trade
    sent: Int  # the second of this book: that of the trade, or a later one
    price: Int
    quantity: Int
    day_volume: Int
    day_open: Int
    day_high: Int
    day_low: Int
    average: Int
    open_interest: Int
    previous_close: Int

    def pick(self, chosen: Any) -> "Prints":
        """Index every array alike."""
        return Prints(*(values[chosen] for values in self))


def no_prints(count: int = 0) -> Prints:
    """Make room for `count` prints."""
    return Prints(*(np.zeros(count, np.int64) for _ in Prints._fields))


def joined(parts: list[Prints]) -> Prints:
    """Put prints behind one another."""
    if len(parts) == 1:
        return parts[0]
    return Prints(*(np.concatenate(values) for values in zip(*parts, strict=True)))


def print_trades(rows: Int, before: Days, minute: Minutes, trades: Trades, closed: Int) -> Prints:
    """Describe the day after each trade of a minute, shaped (instruments, trades).

    `before` is the session up to that minute, `closed` the previous session's close. The average
    price counts each minute at its typical price.
    """
    begun = before["traded"]
    low_before = np.where(begun, before["low"], NO_LOW)
    high = np.maximum.accumulate(np.where(trades.exists, trades.price, 0), axis=1)
    low = np.minimum.accumulate(np.where(trades.exists, trades.price, NO_LOW), axis=1)
    high = np.maximum(high, np.where(begun, before["high"], 0)[:, None])
    low = np.minimum(low, low_before[:, None])
    day_volume = before["volume"][:, None] + trades.volume
    turnover = before["turnover"][:, None] + trades.volume * typical_price(minute)[:, None]
    average = np.where(day_volume > 0, turnover / np.maximum(day_volume, 1), trades.price)
    shape = trades.price.shape

    def wide(values: Int) -> Int:
        return np.broadcast_to(values[:, None], shape)

    return Prints(
        row=wide(rows),
        second=trades.second,
        sent=trades.second,
        price=trades.price,
        quantity=np.diff(trades.volume, axis=1, prepend=0),
        day_volume=day_volume,
        day_open=wide(np.where(begun, before["open"], minute.open)),
        day_high=high,
        day_low=low,
        average=np.clip(average, low, high).astype(np.int64),
        open_interest=wide(minute.open_interest),
        previous_close=wide(closed),
    )


def packets(listing: Listing, keys: Bits, prints: Prints) -> Columns:
    """Make what a broker would send for each print: PACKET_COLUMNS, and five levels of depth."""
    columns = empty_packets(len(prints.row))
    columns["token"] = listing.token[prints.row]
    for name, values in (
        ("last_price", prints.price),
        ("average_price", prints.average),
        ("day_open", prints.day_open),
        ("day_high", prints.day_high),
        ("day_low", prints.day_low),
        ("previous_close", prints.previous_close),
    ):
        columns[name] = values / UNITS
    columns["last_quantity"] = prints.quantity
    columns["day_volume"] = prints.day_volume
    columns["open_interest"] = prints.open_interest
    columns["last_trade_time"] = prints.second
    columns["exchange_time"] = prints.sent
    columns |= _depth(listing, keys, prints)
    for side, best in (("bid", 0), ("ask", 5)):
        columns[f"{side}_price"] = columns["depth_price"][:, best]
        columns[f"{side}_quantity"] = columns["depth_quantity"][:, best]
    columns["buy_quantity"] = columns["depth_quantity"][:, :5].sum(axis=1) * 11
    columns["sell_quantity"] = columns["depth_quantity"][:, 5:].sum(axis=1) * 12
    return columns


def _depth(listing: Listing, keys: Bits, prints: Prints) -> Columns:
    """Invent an order book around the last price, which is either the best bid or the best ask."""
    row = prints.row
    bits = hashed(keys[row][:, None], prints.sent[:, None] * 2 + np.array([0, 1]))
    tick = listing.tick[row][:, None]
    bid = prints.price[:, None] - tick * (integer(bits[:, :1], 60, 1) + _LEVELS)
    ask = prints.price[:, None] - tick * (integer(bits[:, :1], 60, 1) - 1 - _LEVELS)
    price = np.concatenate((bid, ask), axis=1)
    shifts = (_LEVELS * 12).astype(np.uint64)
    numbers = ((bits[:, :, None] >> shifts) & np.uint64(0xFFF)).astype(np.int64).reshape(-1, 10)
    exists = (price > 0) & ~listing.is_index[row][:, None]
    size = (listing.lot[row] * listing.size[row])[:, None]
    quantity = (
        listing.lot[row][:, None]
        + numbers * size // (1024 * listing.lot[row][:, None]) * (listing.lot[row][:, None])
    )
    return {
        "depth_price": np.where(exists, price, 0) / UNITS,
        "depth_quantity": np.where(exists, quantity, 0),
        "depth_orders": np.where(exists, 1 + numbers % 37, 0),
    }
