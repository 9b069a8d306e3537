"""A small market by hand for what dashboards show: a share, a future, and options of two days.

`at` counts seconds after midnight, at which the day began in Kolkata. Everything is known to the
last tick, so what a dashboard's function returns can be said beforehand.
"""

from datetime import UTC, date, datetime, timedelta
from typing import Any, LiteralString

import psycopg
from psycopg.rows import dict_row

from market_pipeline.sessions import bounds, trading_date
from market_pipeline.storage.database import Database
from market_pipeline_tests.builders import fetch

OPENING = 9 * 3600 + 15 * 60
YESTERDAY = -9 * 3600  # at three in the afternoon
NEAR, FAR, OVER = date(2099, 12, 24), date(2099, 12, 31), date(2020, 1, 30)
UNDERLYING = "NFO:NIFTY"

_COLUMNS = "price day_volume volume open_interest buy sell bid bids ask asks".split()
_ADD_TICK = (
    "INSERT INTO ticks (time, instrument_id, seq, last_price, high, low, day_volume, volume, "
    "open_interest, buy_quantity, sell_quantity, bid_price, bid_quantity, ask_price, ask_quantity, "
    "received_at, is_trade) "
    "SELECT %(time)s, %(instrument)s, extract(epoch FROM %(time)s::timestamptz)::bigint << 32, "
    "%(price)s, %(price)s, %(price)s, %(day_volume)s, %(volume)s, %(open_interest)s, %(buy)s, "
    "%(sell)s, %(bid)s, %(bids)s, %(ask)s, %(asks)s, %(time)s, true"
)


def moment(at: float) -> datetime:
    return bounds(trading_date(datetime.now(UTC)))[0] + timedelta(seconds=at)


class Market:
    """Instruments by what they are called, and ticks of them."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.ids: dict[str, int] = {}
        for day in (trading_date(moment(YESTERDAY)), trading_date(moment(0))):
            database.execute("ensure_tick_day", day=day)

    def list(self, symbol: str, kind: str, *, subscribed: bool = True, **contract: Any) -> str:
        """Add an instrument, of NSE where it has no underlying; return its number as text."""
        exchange = "NFO" if "underlying" in contract else "NSE"
        ((number,),) = fetch(
            self.database,
            "INSERT INTO instruments (exchange, segment, exchange_token, symbol, name, kind, "
            "underlying, expiry, strike, lot_size, tick_size) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, 1, 0.05) RETURNING instrument_id",
            exchange,
            exchange,
            symbol,
            symbol,
            symbol,
            kind,
            *(contract.get(each) for each in ("underlying", "expiry", "strike")),
        )
        self.ids[symbol] = number
        if subscribed:
            fetch(self.database, "INSERT INTO subscriptions (instrument_id) VALUES (%s)", number)
        return str(number)

    def tick(self, symbol: str, at: float, price: float, **values: Any) -> None:
        """Store a tick with which one was traded, unless `volume` says otherwise."""
        row = dict.fromkeys(_COLUMNS) | {"price": price, "volume": 1} | values
        row |= {"time": moment(at), "instrument": self.ids[symbol]}
        rows(self.database, _ADD_TICK, **row)


def rows(database: Database, query: LiteralString, **values: Any) -> list[dict[str, Any]]:
    """Return what a query finds, by the names of its columns; %(name)s in it is a value."""
    with psycopg.connect(database.url, row_factory=dict_row) as connection:
        cursor = connection.execute(query, values)
        return cursor.fetchall() if cursor.description else []
