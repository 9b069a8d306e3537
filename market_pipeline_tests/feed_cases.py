"""Hand-made ticks of two feeds. Times are seconds after the opening."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, LiteralString

import polars as pl
import psycopg

from market_pipeline.storage import feeds
from market_pipeline.storage.database import Database
from market_pipeline_tests.builders import OPEN, TODAY

BROKERS = ("kite", "fyers")
_INSERT: dict[bool, LiteralString] = {
    False: "INSERT INTO ticks",
    True: "INSERT INTO standby_ticks",
}
_COLUMNS: LiteralString = (
    " (time, instrument_id, seq, last_price, day_volume, volume, high, low, exchange_time,"
    " received_at, is_trade, feed) VALUES (to_timestamp(%s), %s, %s, %s, %s, %s, %s, %s,"
    " to_timestamp(%s), to_timestamp(%s), %s, (SELECT feed FROM feeds WHERE broker = %s))"
)


@dataclass(frozen=True)
class Sent:
    """A tick of the preferred feed, or of the one that stands by; None is NULL."""

    at: float
    price: float = 100.0
    day_volume: int | None = 100
    volume: int | None = 5
    after: float = 0.5  # seconds from the exchange's stamp to its arrival
    is_trade: bool = True
    stands_by: bool = False
    broker: str | None = None
    instrument: int = 1
    high: float | None = None
    low: float | None = None

    def values(self, number: int) -> tuple[Any, ...]:
        stamp = OPEN + self.at
        high, low = (self.price if each is None else each for each in (self.high, self.low))
        return (
            stamp,
            self.instrument,
            int(stamp) << 32 | number,
            self.price,
            self.day_volume,
            self.volume,
            high,
            low,
            stamp,
            stamp + self.after,
            self.is_trade,
            self.broker or BROKERS[self.stands_by],
        )


def prepare(database: Database) -> None:
    """Make a share with a tick of 0.05, an index, and both brokers' numbers."""
    database.execute("ensure_tick_day", day=TODAY)
    database.execute("add_feeds", brokers=list(BROKERS))
    with psycopg.connect(database.url) as connection:
        connection.execute(
            "INSERT INTO instruments (exchange, segment, exchange_token, symbol, name, kind,"
            " tick_size) VALUES ('NSE', 'CM', '1', 'INFY', 'Infosys', 'EQ', 0.05),"
            " ('NSE', 'INDEX', '2', 'NIFTY 50', 'Nifty', 'INDEX', NULL)"
        )


def send(database: Database, *sent: Sent) -> None:
    with psycopg.connect(database.url) as connection:
        for number, tick in enumerate(sent):
            connection.execute(_INSERT[tick.stands_by] + _COLUMNS, tick.values(number))


def add_gap(
    database: Database,
    broker: str | None,
    start: float,
    end: float | None,
    covered_by: str | None = None,
    instruments: tuple[int, ...] = (),
) -> None:
    with psycopg.connect(database.url) as connection:
        connection.execute(
            "INSERT INTO gaps (stream, cause, broker, started_at, ended_at, instruments,"
            " covered_by) VALUES ('kite-0', 'line lost', %s, to_timestamp(%s), to_timestamp(%s),"
            " %s, %s)",
            (broker, OPEN + start, end and OPEN + end, list(instruments), covered_by),
        )


def at(minute: float) -> datetime:
    return datetime.fromtimestamp(OPEN + minute * 60, UTC)


def found(database: Database, start: float = 0, end: float = 5) -> pl.DataFrame:
    """Return the rows between two minutes after the opening; `minute` counts from it."""
    rows = feeds.minutes(database, at(start), at(end))
    return rows.with_columns(minute=(pl.col("time").dt.epoch("s") - OPEN) // 60)
