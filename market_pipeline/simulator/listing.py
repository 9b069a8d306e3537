"""What the simulated exchange lists: rows like those of Kite's instrument dump, and as arrays."""

import calendar
import csv
import io
import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime, time, timedelta
from typing import Any, NamedTuple

import numpy as np

from market_pipeline.brokers.kite_wire import CODE_BY_EXCHANGE, INDICES
from market_pipeline.sessions import EXCHANGE_TZ
from market_pipeline.simulator import securities
from market_pipeline.simulator.securities import Chain, Company, Contract

UNITS = 10_000
"""Prices are integers inside the exchange: this many to a rupee or an index point."""

_TUESDAY = 1
_STRIKES = 100  # of an option chain, on each side of the money
_MONTHS = 3
_SYNTHETIC_TOKENS = 200_000
_DERIVATIVE_TOKENS = 1_000_000


_PLACES = {company.symbol: place for place, company in enumerate(securities.COMPANIES)}


class Security(NamedTuple):
    """One listed instrument and the character of its trading."""

    token: int
    symbol: str
    name: str
    exchange: str
    segment: str
    kind: str
    price: float
    tick: float  # 0 for indices, as in Kite's dump
    lot: int  # 0 for indices
    rate: float  # trades a minute
    size: int = 20  # lots in a trade, about
    expiry: date | None = None
    strike: float = 0.0
    follows: int = 0  # token of the instrument whose price this one tracks, 0 for its own
    swing: float = 1.0  # how strongly it tracks it
    listed: date | None = None  # None for always


class Listing:
    """The instruments of an exchange; a row number stands for an instrument everywhere else."""

    def __init__(self, securities: Iterable[Security]) -> None:
        self.securities = tuple(securities)
        self.row_by_token = {s.token: row for row, s in enumerate(self.securities)}
        self.row_by_name = {f"{s.exchange}:{s.symbol}": i for i, s in enumerate(self.securities)}
        self.token = self._column(lambda s: s.token, np.int64)
        self.path = self._column(lambda s: s.follows or s.token, np.int64)
        self.price = self._column(lambda s: round(s.price * UNITS), np.int64)
        self.tick = self._column(lambda s: round(s.tick * UNITS) or UNITS // 20, np.int64)
        self.lot = self._column(lambda s: max(s.lot, 1), np.int64)
        self.rate = self._column(lambda s: s.rate, np.float64)
        self.size = self._column(lambda s: s.size, np.int64)
        self.swing = self._column(lambda s: s.swing, np.float64)
        self.is_index = (self.token & 0xFF) == INDICES
        self.has_interest = self._column(lambda s: s.expiry is not None, np.bool_)
        self.listed = self._column(lambda s: _midnight(s.listed), np.int64)
        """When each was listed, in seconds since 1970; 0 for always."""
        venues = sorted({s.exchange for s in self.securities})
        self.venues = tuple(venues)
        self.venue = self._column(lambda s: venues.index(s.exchange), np.int64)

    def __len__(self) -> int:
        return len(self.securities)

    def _column(self, value: Callable[[Security], Any], kind: Any) -> np.ndarray[Any, Any]:
        return np.array([value(security) for security in self.securities], kind)

    def csv(self, exchange: str | None = None) -> str:
        """Write the dump of /instruments, or of one exchange."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(_CSV_HEADER)
        chosen = (s for s in self.securities if exchange is None or s.exchange == exchange)
        writer.writerows(_csv_row(security) for security in chosen)
        return text.getvalue()


_CSV_HEADER = (
    "instrument_token exchange_token tradingsymbol name last_price expiry strike tick_size "
    "lot_size instrument_type segment exchange"
).split()


def _csv_row(security: Security) -> tuple[object, ...]:
    return (
        security.token,
        security.token >> 8,
        security.symbol,
        security.name,
        0.0,
        security.expiry or "",
        security.strike,
        security.tick,
        security.lot,
        security.kind,
        security.segment,
        security.exchange,
    )


def default_listing(today: date, count: int, recent: int = 0) -> Listing:
    """List `count` instruments as of a day: the well-known ones first, then made-up equities.

    The last `recent` of all equities have been listed within the three months before.
    """
    months = _expiries(today)
    everything = itertools.chain(
        _indices(),
        map(equity, securities.COMPANIES),
        (
            _future(contract, slot, expiry)
            for slot, contract in enumerate(securities.CONTRACTS)
            for expiry in months
        ),
        *(
            _options(chain, 100 + 1000 * slot, expiry)
            for expiry in months
            for slot, chain in enumerate(securities.CHAINS)
        ),
        (synthetic_equity(number) for number in itertools.count(1)),
    )
    chosen = list(itertools.islice(everything, count))
    equities = [place for place, each in enumerate(chosen) if each.segment == "NSE"]
    for number, place in enumerate(equities[max(len(equities) - recent, 0) :]):
        listed = today - timedelta(days=7 * (1 + number % 12))
        chosen[place] = chosen[place]._replace(listed=listed)
    return Listing(chosen)


def _midnight(listed: date | None) -> int:
    return int(datetime.combine(listed, time(0), EXCHANGE_TZ).timestamp()) if listed else 0


def equity(company: Company) -> Security:
    """Make an NSE equity; how often it trades follows from its place among the companies."""
    place = _PLACES.get(company.symbol, 50)
    price = company.price
    return Security(
        token=company.exchange_token * 256 + CODE_BY_EXCHANGE["NSE"],
        symbol=company.symbol,
        name=company.name,
        exchange="NSE",
        segment="NSE",
        kind="EQ",
        price=price,
        tick=securities.equity_tick(price),
        lot=1,
        rate=max(13.0 - place / 4, 0.6),
        size=max(int(200_000 / price), 1),
    )


def synthetic_equity(number: int) -> Security:
    """Make an equity that does not exist. Prices and activity vary, many hardly trade."""
    price = 20.0 + (number * 7919) % 97_000 / 20
    company = Company(
        f"SIM{number:06}", _SYNTHETIC_TOKENS + number, f"SIMULATED {number:06}", price
    )
    rate = 0.2 + 12.0 * ((number * 31) % 101 / 100) ** 2
    return equity(company)._replace(rate=rate)


def _indices() -> Iterator[Security]:
    for symbol, exchange_token, value in securities.INDICES:
        token = exchange_token * 256 + INDICES
        yield Security(
            token, symbol, symbol, "NSE", "INDICES", "EQ", value, tick=0.0, lot=0, rate=13.0
        )


def _future(contract: Contract, slot: int, expiry: date) -> Security:
    followed = _token_of(contract.follows)
    months_away = _month_number(expiry) % 12
    return Security(
        token=_derivative_token(contract.exchange, expiry, slot),
        symbol=f"{contract.symbol}{expiry:%y%b}FUT".upper(),
        name=contract.symbol,
        exchange=contract.exchange,
        segment=f"{contract.exchange}-FUT",
        kind="FUT",
        price=_on_tick(contract.price * (1 + 0.0005 * months_away), contract.tick),
        tick=contract.tick,
        lot=contract.lot,
        rate=13.0 if slot < 2 else 5.0,
        size=8,
        expiry=expiry,
        follows=followed,
        listed=_listing_day(expiry),
    )


def _options(chain: Chain, slot: int, expiry: date) -> Iterator[Security]:
    """Yield calls and puts, those at the money first."""
    middle = round(chain.price / chain.step)
    outward = sorted(range(-_STRIKES, _STRIKES + 1), key=abs)
    for distance in outward:
        strike = (middle + distance) * chain.step
        for side, kind in enumerate(("CE", "PE")):
            yield _option(chain, expiry, strike, kind, slot + 2 * (distance + _STRIKES) + side)


def _option(chain: Chain, expiry: date, strike: int, kind: str, slot: int) -> Security:
    sign = 1 if kind == "CE" else -1
    spread = chain.price * 0.035
    moneyness = sign * (chain.price - strike) / spread
    delta = 1 / (1 + math.exp(-1.7 * moneyness))
    time_value = 0.4 * spread * math.exp(-(moneyness**2) / 2)
    price = max(_on_tick(max(moneyness, 0) * spread + time_value, 0.05), 0.05)
    return Security(
        token=_derivative_token("NFO", expiry, slot),
        symbol=f"{chain.symbol}{expiry:%y%b}{strike}{kind}".upper(),
        name=chain.symbol,
        exchange="NFO",
        segment="NFO-OPT",
        kind=kind,
        price=price,
        tick=0.05,
        lot=chain.lot,
        rate=max(12.0 * math.exp(-abs(moneyness)), 0.1),
        size=12,
        expiry=expiry,
        strike=float(strike),
        follows=_token_of(chain.follows),
        swing=sign * min(delta * chain.price / price, 400.0),
        listed=_listing_day(expiry),
    )


def _token_of(symbol: str | None) -> int:
    indices = {s.symbol: s.exchange_token * 256 + INDICES for s in securities.INDICES}
    companies = {s.symbol: s.exchange_token * 256 + 1 for s in securities.COMPANIES}
    return (indices | companies).get(symbol or "", 0)


def _derivative_token(exchange: str, expiry: date, slot: int) -> int:
    """Give a contract the same token whenever it is listed; after four years tokens come again."""
    exchange_token = _DERIVATIVE_TOKENS + _month_number(expiry) % 48 * 4_000 + slot
    return exchange_token * 256 + CODE_BY_EXCHANGE[exchange]


def _month_number(day: date) -> int:
    return day.year * 12 + day.month


def _expiries(today: date) -> list[date]:
    """Return the next last Tuesdays of a month, today included. Holidays are not looked at."""
    months = (
        (today.year + (today.month + n - 1) // 12, (today.month + n - 1) % 12 + 1)
        for n in range(_MONTHS + 1)
    )
    tuesdays = [_last_tuesday(year, month) for year, month in months]
    return [day for day in tuesdays if day >= today][:_MONTHS]


def _listing_day(expiry: date) -> date:
    """Return the day after the expiry three months before, when a contract begins to trade."""
    month = _month_number(expiry) - 1 - _MONTHS
    return _last_tuesday(month // 12, month % 12 + 1) + timedelta(days=1)


def _last_tuesday(year: int, month: int) -> date:
    last = date(year, month, calendar.monthrange(year, month)[1])
    return last - timedelta(days=(last.weekday() - _TUESDAY) % 7)


def _on_tick(price: float, tick: float) -> float:
    return round(round(price / tick) * tick, 4)
