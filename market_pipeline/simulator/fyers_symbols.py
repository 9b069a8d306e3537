"""What Fyers calls the listed instruments: tickers, tokens, topics and symbol masters.

Layout of the masters: https://public.fyers.in/sym_details/NSE_CM.csv and its siblings, without a
header. Codes of exchanges and segments are the first four digits of a fyToken.
"""

import csv
import io
from datetime import date, datetime, time
from typing import NamedTuple

import numpy as np

from market_pipeline.sessions import EXCHANGE_TZ
from market_pipeline.simulator import securities
from market_pipeline.simulator.clock import RealClock, ReplayClock
from market_pipeline.simulator.exchange import Exchange
from market_pipeline.simulator.listing import Listing, Security
from market_pipeline.simulator.noise import Int


class Market(NamedTuple):
    """Where an exchange of ours trades, in Fyers' terms."""

    prefix: str  # of its tickers
    code: str  # exchange and segment, two digits each
    name: str  # in topics
    master: str  # the name of its symbol master
    hours: str
    expires: time = time(15, 40)  # on the day of expiry, in IST
    precision: int = 2  # decimals of its prices on the wire


MARKETS = {
    "NSE": Market("NSE", "1010", "nse_cm", "NSE_CM", "0915-1530"),
    "NFO": Market("NSE", "1011", "nse_fo", "NSE_FO", "0915-1540"),
    "CDS": Market("NSE", "1012", "cde_fo", "NSE_CD", "0900-1700", time(12, 30), 4),
    "MCX": Market("MCX", "1120", "mcx_fo", "MCX_COM", "0900-2330", time(23, 30)),
    "BSE": Market("BSE", "1210", "bse_cm", "BSE_CM", "0915-1530"),
    "BFO": Market("BSE", "1211", "bse_fo", "BSE_FO", "0915-1540"),
    "NCO": Market("NSE", "1020", "nse_com", "NSE_COM", "0900-2330", time(23, 30)),
}
"""By our name of the exchange. Nothing else that is listed can be asked for at Fyers."""

FEED, DEPTH = 1, 2
"""What a topic is about: the price (sf, if), or five levels of the book (dp)."""


class Index(NamedTuple):
    """An index at Fyers, where neither symbol nor token are Kite's."""

    symbol: str
    exchange_token: str
    topic: str
    underlying: str


INDICES = {
    "NIFTY 50": Index("NIFTY50", "26000", "Nifty 50", "NIFTY"),
    "NIFTY BANK": Index("NIFTYBANK", "26009", "Nifty Bank", "BANKNIFTY"),
    "NIFTY FIN SERVICE": Index("FINNIFTY", "26037", "Nifty Fin Service", "FINNIFTY"),
    "NIFTY IT": Index("NIFTYIT", "26008", "Nifty IT", "NIFTYIT"),
    "NIFTY NEXT 50": Index("NIFTYNXT50", "26013", "Nifty Next 50", "NIFTYNXT50"),
    "NIFTY 100": Index("NIFTY100", "999001", "Nifty 100", "NIFTY100"),
}
"""By Kite's symbol, as in Fyers' master and its index mapping of November 2025."""


class Symbol(NamedTuple):
    """How one instrument is called."""

    ticker: str  # NSE:SBIN-EQ
    fy_token: str
    token: int  # exchange, segment and the exchange's token: what packets are known by
    exchange_token: str
    topic: str  # of its prices
    market: Market
    is_index: bool

    @property
    def short(self) -> str:
        return self.ticker.partition(":")[2]


class Symbols:
    """The names of everything listed; a row number stands for an instrument, as in the listing."""

    def __init__(self, listing: Listing) -> None:
        self._listing = listing
        self.rows = {
            row: _symbol(security)
            for row, security in enumerate(listing.securities)
            if security.exchange in MARKETS
        }
        self.row_by_ticker = {s.ticker: row for row, s in self.rows.items()}
        self.row_by_token = {s.token: row for row, s in self.rows.items()}
        self.topics = {s.topic: (row, FEED) for row, s in self.rows.items()}
        self.topics |= {
            f"dp|{s.market.name}|{s.exchange_token}": (row, DEPTH)
            for row, s in self.rows.items()
            if not s.is_index
        }
        self.is_index = listing.is_index
        self.token: Int = np.zeros(len(listing), np.int64)
        self.scale: Int = np.ones(len(listing), np.int64)
        """How many units of the wire make a rupee or a point."""
        for row, symbol in self.rows.items():
            self.token[row] = symbol.token
            self.scale[row] = 10**symbol.market.precision

    def index_mapping(self) -> dict[str, str]:
        """Return the name of each index in topics, by its ticker."""
        indices = (s for s in self.rows.values() if s.is_index)
        return {s.ticker: s.topic.rpartition("|")[2] for s in indices}

    def master(self, name: str, today: date) -> str:
        """Write the symbol master of one segment; empty for one where nothing is listed."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        for row, symbol in self.rows.items():
            if symbol.market.master == name:
                writer.writerow(self._line(self._listing.securities[row], symbol, today))
        return text.getvalue()

    def _line(self, security: Security, symbol: Symbol, today: date) -> tuple[object, ...]:
        underlying, code, fy_token = self._underlying(security, symbol)
        return (
            symbol.fy_token,
            _details(security, symbol),
            _instrument_type(security, symbol),
            security.lot,
            0.05 if symbol.is_index else security.tick,
            "",
            f"{symbol.market.hours}|1815-1915:",
            today,
            expiry_epoch(security) or "",
            symbol.ticker,
            symbol.market.code[:2],
            symbol.market.code[2:],
            symbol.exchange_token,
            underlying,
            code,
            security.strike or -1.0,
            security.kind if security.kind in ("CE", "PE") else "XX",
            fy_token,
            None,
            0,
            0.0,
        )

    def _underlying(self, security: Security, symbol: Symbol) -> tuple[str, str, str]:
        """Return symbol, exchange token and fyToken of what a contract is written on."""
        if symbol.is_index:
            return INDICES[security.symbol].underlying, symbol.exchange_token, symbol.fy_token
        if security.expiry is None:
            return security.symbol, symbol.exchange_token, symbol.fy_token
        followed = self.rows.get(self._listing.row_by_token.get(security.follows, -1))
        if followed is not None:
            return security.name, followed.exchange_token, followed.fy_token
        code = 1 + [contract.symbol for contract in securities.CONTRACTS].index(security.name)
        return security.name, str(code), f"{symbol.market.code}000000{code}"


class World(NamedTuple):
    """What everything that Fyers says is made of."""

    exchange: Exchange
    clock: RealClock | ReplayClock
    symbols: Symbols


def _symbol(security: Security) -> Symbol:
    market = MARKETS[security.exchange]
    exchange_token, name, topic = str(security.token >> 8), security.symbol, ""
    is_index = security.segment == "INDICES"
    if is_index:
        index = INDICES[security.symbol]
        exchange_token, name = index.exchange_token, f"{index.symbol}-INDEX"
        topic = f"if|{market.name}|{index.topic}"
    elif security.expiry is None:
        name = f"{name}-EQ"
    expiry = f"{security.expiry:%y%m%d}" if security.expiry else "000000"
    return Symbol(
        f"{market.prefix}:{name}",
        f"{market.code}{expiry}{exchange_token}",
        int(f"{market.code}{exchange_token}"),
        exchange_token,
        topic or f"sf|{market.name}|{exchange_token}",
        market,
        is_index,
    )


def expiry_epoch(security: Security) -> int | None:
    """Return the second since 1970 in which a contract expires, None for what does not."""
    if security.expiry is None:
        return None
    expires = MARKETS[security.exchange].expires
    return int(datetime.combine(security.expiry, expires, EXCHANGE_TZ).timestamp())


def _details(security: Security, symbol: Symbol) -> str:
    if security.expiry is None:
        return symbol.short if symbol.is_index else security.name
    strike = f"{security.strike:g} " if security.strike else ""
    return f"{security.name} {security.expiry:%y %b %d} {strike}{security.kind}"


def _instrument_type(security: Security, symbol: Symbol) -> int:
    """Return Fyers' number for what is traded: 0 equity, 10 index, then kinds of contracts."""
    if symbol.is_index or security.expiry is None:
        return 10 if symbol.is_index else 0
    is_option = security.kind != "FUT"
    if symbol.market.code.endswith("12"):
        return 19 if is_option else 16
    if symbol.market.code.endswith("20"):
        return 32 if is_option else 30
    on_index = any(i.underlying == security.name for i in INDICES.values())
    return (14 if on_index else 15) if is_option else (11 if on_index else 13)
