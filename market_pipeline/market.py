"""The vocabulary of the market: exchanges, instruments, packets and ticks. No protocols, no I/O."""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

Columns = dict[str, NDArray[Any]]
"""Equally long one-dimensional arrays by column name."""

_LENGTH = re.compile(r"([0-9]{1,4})([mhd])")
_UNITS = {"m": 1, "h": 60, "d": 1440}

MISSING = -1
"""Marks an integer that a packet does not carry; wire integers are unsigned. No price is NaN."""


DAMAGED_JOURNAL = "damaged journal"
"""The cause of a gap in which bytes were received that the disk then spoilt."""


class Exchange(StrEnum):
    NSE = "NSE"
    BSE = "BSE"
    NFO = "NFO"
    BFO = "BFO"
    CDS = "CDS"
    BCD = "BCD"
    MCX = "MCX"
    NCO = "NCO"


class Segment(StrEnum):
    """What is traded: cash equity, equity derivatives, currency, commodity, or an index."""

    CM = "CM"
    FO = "FO"
    CD = "CD"
    COM = "COM"
    INDEX = "INDEX"


class Kind(StrEnum):
    EQ = "EQ"
    INDEX = "INDEX"
    FUT = "FUT"
    CE = "CE"
    PE = "PE"


class Mode(StrEnum):
    """How much a packet carries: the last price; plus the day's figures; plus depth and stamps."""

    LTP = "ltp"
    QUOTE = "quote"
    FULL = "full"


UNDERLYING_BY_INDEX = {
    "NIFTY 50": "NIFTY",
    "NIFTY BANK": "BANKNIFTY",
    "NIFTY FIN SERVICE": "FINNIFTY",
    "NIFTY MID SELECT": "MIDCPNIFTY",
    "NIFTY NEXT 50": "NIFTYNXT50",
    "SENSEX": "SENSEX",
    "BANKEX": "BANKEX",
}
"""What derivatives of an index call it, by its symbol. Everything else is called by its symbol."""

INSTRUMENT_SCHEMA: dict[str, pl.DataType] = {
    "token": pl.Int64(),  # the broker's key; brokers re-use it, so it names a contract for a while
    "broker_symbol": pl.String(),
    "exchange": pl.String(),
    "segment": pl.String(),
    "exchange_token": pl.String(),  # the exchange's own key: the same at every broker
    "symbol": pl.String(),
    "name": pl.String(),
    "kind": pl.String(),
    "underlying": pl.String(),  # null unless a derivative
    "expiry": pl.Date(),  # null unless a derivative
    "strike": pl.Float64(),  # null unless an option
    "lot_size": pl.Int64(),  # null for indices
    "tick_size": pl.Float64(),  # null for indices
}
"""Columns of a broker's instrument master after parsing."""

CANDLE_SCHEMA: dict[str, pl.DataType] = {
    "time": pl.Datetime("us", "UTC"),  # when the candle begins
    "open": pl.Float64(),
    "high": pl.Float64(),
    "low": pl.Float64(),
    "close": pl.Float64(),
    "volume": pl.Int64(),  # null for indices
    "open_interest": pl.Int64(),  # null where there is none
}
"""Columns of one instrument's candles of one length, as a broker gives them."""

PACKET_COLUMNS: dict[str, str] = {
    "token": "i8",
    "last_price": "f8",
    "last_quantity": "i8",
    "average_price": "f8",
    "day_volume": "i8",
    "buy_quantity": "i8",
    "sell_quantity": "i8",
    "day_open": "f8",
    "day_high": "f8",
    "day_low": "f8",
    "previous_close": "f8",
    "last_trade_time": "i8",  # epoch seconds
    "open_interest": "i8",
    "exchange_time": "i8",  # epoch seconds
    "bid_price": "f8",  # best bid and ask; zero quantity means an empty side
    "bid_quantity": "i8",
    "ask_price": "f8",
    "ask_quantity": "i8",
}
"""What one packet says of one instrument, by column and numpy type. See MISSING."""

QUOTE_SCHEMA: dict[str, pl.DataType] = {
    name: pl.Float64() if kind == "f8" else pl.Int64() for name, kind in PACKET_COLUMNS.items()
} | dict.fromkeys(("last_trade_time", "exchange_time"), pl.Datetime("us", "UTC"))
"""Columns of a broker's quotes: those of a packet, with null for what the broker does not tell."""

TICK_COLUMNS: dict[str, str] = {
    "time": "i8",  # epoch microseconds
    "instrument_id": "i8",
    "seq": "i8",
    "last_price": "f8",
    "last_quantity": "i8",
    "average_price": "f8",
    "day_volume": "i8",
    "volume": "i8",
    "open_interest": "i8",
    "buy_quantity": "i8",
    "sell_quantity": "i8",
    "bid_price": "f8",
    "bid_quantity": "i8",
    "ask_price": "f8",
    "ask_quantity": "i8",
    "high": "f8",
    "low": "f8",
    "exchange_time": "i8",  # epoch microseconds
    "received_at": "i8",  # epoch microseconds
    "is_trade": "?",
    "feed": "i2",  # the place of the broker that sent it among those of its stream
}
"""The columns of table `ticks`, in order, as the writer holds them before they are stored."""


def empty_packets(count: int) -> Columns:
    """Make `count` packets that carry nothing yet."""
    return {
        name: np.full(count, MISSING if kind == "i8" else np.nan, kind)
        for name, kind in PACKET_COLUMNS.items()
    }


def empty_ticks() -> Columns:
    """Make the columns of no tick at all."""
    return {name: np.zeros(0, kind) for name, kind in TICK_COLUMNS.items()}


class Fault(NamedTuple):
    """A part of a frame that could not be understood."""

    frame: int  # position of the frame in the sequence that was decoded
    reason: str
    payload: bytes


@dataclass(frozen=True)
class Decoded:
    """Packets in order of arrival, the frame each came in, and what could not be understood."""

    packets: Columns
    frame: NDArray[np.int64]
    faults: list[Fault]


class Interval(NamedTuple):
    """A candle length."""

    name: str
    minutes: int

    @classmethod
    def read(cls, text: str) -> "Interval":
        """Read a length written as 1m, 5m, 1h or 1d.

        Raises:
            ValueError: it is none, or not from a minute to a day.
        """
        found = _LENGTH.fullmatch(text.strip().lower())
        minutes = int(found[1]) * _UNITS[found[2]] if found else 0
        if not 1 <= minutes <= _UNITS["d"]:
            raise ValueError(f"{text} is no length up to a day: write it as 1m, 5m, 1h or 1d")
        return cls(found[0] if found else text, minutes)


STORED_INTERVALS = (Interval("1m", 1), Interval("5m", 5), Interval("15m", 15), Interval("1d", 1440))
