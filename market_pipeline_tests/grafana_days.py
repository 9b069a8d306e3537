"""A market for Grafana's dashboards to show, and what the pipeline notes of itself.

An index, its future, shares, and the index's options. Made inside the database, by the files of
market_days/, so that a day of many instruments takes a minute.
"""

from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg

from market_pipeline.sessions import bounds, trading_date
from market_pipeline.storage import candles
from market_pipeline.storage.database import Database

_FOLDER = Path(__file__).parent / "market_days"
_AT_ONCE = timedelta(minutes=5)


def make_instruments(
    database: Database, expiry: date, shares: int, strikes: int, weeks: int
) -> int:
    """Make instruments that are subscribed; return how many. The first options end on `expiry`."""
    sizes = {"expiry": expiry, "shares": shares, "strikes": strikes, "weeks": weeks}
    with psycopg.connect(database.url) as connection:
        made = connection.execute(_sql("instruments"), sizes).rowcount
        connection.execute(_sql("subscriptions"))
    return made


def make_ticks(database: Database, start: datetime, minutes: int, every: timedelta) -> int:
    """Make ticks of every instrument in the order of their time, and all candles; return how many.

    The day before each instrument closed at 100, as the broker has it.
    """
    made, number, last = 0, 0, int(timedelta(minutes=minutes) / every)
    for day in {trading_date(start), trading_date(start + timedelta(minutes=minutes))}:
        database.execute("ensure_tick_day", day=day)
    with psycopg.connect(database.url, autocommit=True) as connection:
        while number < last:
            until = min(number + int(_AT_ONCE / every), last)
            values: dict[str, Any] = {"first": number, "last": until - 1}
            values |= {"start": start, "every": every}
            made += connection.execute(_sql("ticks"), values).rowcount
            number = until
        connection.execute(_sql("closes"), {"midnight": bounds(trading_date(start))[0]})
        connection.execute("ANALYZE")
    # As the process of a stream does: the last minute is computed when it is read.
    candles.refresh(database, at_least=start + timedelta(minutes=minutes - 1))
    return made


def make_notes(database: Database) -> None:
    """Make what streams, checks and requests leave behind, gaps of every outcome among it."""
    with psycopg.connect(database.url) as connection:
        connection.execute(_sql("notes"))


def _sql(name: str) -> bytes:
    return (_FOLDER / f"{name}.sql").read_bytes()
