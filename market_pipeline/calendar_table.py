"""The trading calendar as values: the hours of each kind of instrument, and the days that differ.

Pure. Times are the exchanges' own clock and carry no zone: sessions.py makes instants of them.
The facts are in calendar.yaml, which calendar_file.py reads.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from enum import StrEnum
from typing import NamedTuple
from zoneinfo import ZoneInfo

from market_pipeline.errors import ConfigurationError
from market_pipeline.market import Exchange, Kind

EVENING = time(17, 0)
"""When the commodity exchanges' morning session ends and the evening session begins (MCX, "Trading
& Surveillance: trading holidays"); on many holidays only one of the two is held."""

_NEW_YORK = ZoneInfo("America/New_York")


class Market(StrEnum):
    """Exchanges that keep the same holidays."""

    EQUITY = "equity"
    CURRENCY = "currency"
    COMMODITY = "commodity"


MARKET_BY_EXCHANGE: dict[str, Market] = {
    Exchange.NSE: Market.EQUITY,
    Exchange.BSE: Market.EQUITY,
    Exchange.NFO: Market.EQUITY,
    Exchange.BFO: Market.EQUITY,
    Exchange.CDS: Market.CURRENCY,
    Exchange.BCD: Market.CURRENCY,
    Exchange.MCX: Market.COMMODITY,
    Exchange.NCO: Market.COMMODITY,
}


def market_of(exchange: str) -> Market:
    """Return whose holidays an exchange keeps.

    Raises:
        ConfigurationError: there is no such exchange.
    """
    try:
        return MARKET_BY_EXCHANGE[exchange]
    except KeyError:
        raise ConfigurationError(f"no trading hours are known of exchange {exchange!r}") from None


class InstrumentClass(StrEnum):
    """Instruments that keep the same hours."""

    EQUITY = "equity"
    EQUITY_WITH_DERIVATIVES = "equity_with_derivatives"  # has a closing auction since 2026-08-03
    INDEX = "index"
    EQUITY_DERIVATIVES = "equity_derivatives"
    CURRENCY = "currency"
    COMMODITY = "commodity"
    AGRI = "agri"
    AGRI_INTERNATIONAL = "agri_international"


# MCX circulars on trading hours, such as that of March 2024: "select agri commodities" close at
# 21:00, all other agri commodities at 17:00. An underlying that is not here counts as not agri,
# the longest day: a stream that runs too long costs nothing.
_AGRI_BY_UNDERLYING = {
    name: instrument_class
    for instrument_class, names in {
        InstrumentClass.AGRI_INTERNATIONAL: "COTTON COTTONCNDY CPO KAPAS RBDPMOLEIN",
        InstrumentClass.AGRI: "BLACKPEPPER CARDAMOM CASTORSEED MENTHAOIL RUBBER",
    }.items()
    for name in names.split()
}


def instrument_class(
    exchange: str, kind: str, underlying: str | None = None, has_derivatives: bool = False
) -> InstrumentClass:
    """Return whose hours an instrument keeps.

    A stock `has_derivatives` if futures or options on it are listed on NFO or BFO: the closing
    auction is held on NSE and BSE as long as one of them lists some (NSE circular of May 2026 on
    trade modalities in equity derivatives). An MCX or NCO index keeps the hours of commodities.
    """
    market = market_of(exchange)
    if market is Market.CURRENCY:
        return InstrumentClass.CURRENCY
    if market is Market.COMMODITY:
        return _AGRI_BY_UNDERLYING.get(underlying or "", InstrumentClass.COMMODITY)
    if exchange in (Exchange.NFO, Exchange.BFO):
        return InstrumentClass.EQUITY_DERIVATIVES
    if kind == Kind.INDEX:
        return InstrumentClass.INDEX
    has = InstrumentClass.EQUITY_WITH_DERIVATIVES
    return has if has_derivatives else InstrumentClass.EQUITY


class PeriodKind(StrEnum):
    """What happens in a part of a session. Each price of a closing auction is made once, at its
    end; in an unconfirmed period there may or may not be trading."""

    PRE_OPEN = "pre_open"
    CONTINUOUS = "continuous"
    CLOSING_AUCTION = "closing_auction"
    POST_CLOSE = "post_close"
    UNCONFIRMED = "unconfirmed"


class Trading(StrEnum):
    """How a day differs from others, where no hours of its own are known."""

    USUAL = "usual"
    CLOSED = "closed"
    MORNING_CLOSED = "morning_closed"
    EVENING_CLOSED = "evening_closed"
    UNCONFIRMED = "unconfirmed"


class Season(StrEnum):
    """The clock of the United States, whose evening the commodity exchanges follow."""

    US_SUMMER_TIME = "us_summer_time"
    US_STANDARD_TIME = "us_standard_time"


def season(day: date) -> Season:
    """Return the season of a day, at noon: clocks change at night."""
    summer = datetime.combine(day, time(12), _NEW_YORK).dst()
    return Season.US_SUMMER_TIME if summer else Season.US_STANDARD_TIME


class Hours(NamedTuple):
    kind: PeriodKind
    opens: time
    closes: time


@dataclass(frozen=True)
class Rule:
    """The usual hours of some classes on some exchanges, until a later rule."""

    exchanges: frozenset[str]
    classes: frozenset[InstrumentClass]
    since: date
    season: Season | None
    hours: tuple[Hours, ...]

    def holds(self, exchange: str, instrument_class: InstrumentClass, day: date) -> bool:
        """Tell whether these are the hours that day, unless a later rule holds too."""
        if (
            exchange not in self.exchanges
            or instrument_class not in self.classes
            or day < self.since
        ):
            return False
        return self.season is None or self.season is season(day)


@dataclass(frozen=True, eq=False)  # its identity is its hash
class Table:
    """Rules, the holidays of whole years by market, and single days of single exchanges."""

    rules: tuple[Rule, ...]
    years: Mapping[tuple[Market, int], Mapping[date, Trading]]
    days: Mapping[tuple[str, date], Trading | tuple[Hours, ...]]

    def with_additions(self, other: "Table") -> "Table":
        """Return a table in which what `other` says of a year, day or rule's time goes first."""
        return Table(
            self.rules + other.rules, {**self.years, **other.years}, {**self.days, **other.days}
        )

    def classes(self, exchange: str) -> tuple[InstrumentClass, ...]:
        """Return the classes that trade on an exchange."""
        found = {each for rule in self.rules if exchange in rule.exchanges for each in rule.classes}
        return tuple(each for each in InstrumentClass if each in found)

    def knows(self, exchange: str, day: date) -> bool:
        """Tell whether the table says if an exchange trades that day."""
        return (exchange, day) in self.days or (market_of(exchange), day.year) in self.years

    def hours(
        self, exchange: str, instrument_class: InstrumentClass, day: date
    ) -> tuple[Hours, ...]:
        """Return the periods of a day in order; none if there is no trading.

        Every weekday of a year that is not in the table counts as a trading day: see `knows`.
        """
        found = self.days.get((exchange, day)) or self._trading(exchange, day)
        if not isinstance(found, Trading):
            return found
        return tuple(_changed(self._usual(exchange, instrument_class, day), found))

    def _trading(self, exchange: str, day: date) -> Trading:
        if day.weekday() >= 5:
            return Trading.CLOSED
        holidays = self.years.get((market_of(exchange), day.year), {})
        return holidays.get(day, Trading.USUAL)

    def _usual(
        self, exchange: str, instrument_class: InstrumentClass, day: date
    ) -> tuple[Hours, ...]:
        rules = [rule for rule in self.rules if rule.holds(exchange, instrument_class, day)]
        if not rules:
            raise ConfigurationError(f"no hours of {instrument_class} on {exchange} are known")
        return sorted(rules, key=lambda rule: rule.since)[-1].hours


def _changed(usual: Iterable[Hours], trading: Trading) -> Iterable[Hours]:
    if trading is Trading.CLOSED:
        return ()
    if trading is Trading.MORNING_CLOSED:
        return (h._replace(opens=max(h.opens, EVENING)) for h in usual if h.closes > EVENING)
    if trading is Trading.EVENING_CLOSED:
        return (h._replace(closes=min(h.closes, EVENING)) for h in usual if h.opens < EVENING)
    if trading is Trading.UNCONFIRMED:
        return (h._replace(kind=PeriodKind.UNCONFIRMED) for h in usual)
    return usual
