"""Candles of any length, made on reading: aligned to the opening, short at the close, with gaps."""

import csv
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, LiteralString, NamedTuple

import psycopg
import pytest

from market_pipeline.sessions import EXCHANGE_TZ
from market_pipeline.storage import candles
from market_pipeline.storage.database import Database
from market_pipeline_tests.builders import OPEN, Tick, fetch
from market_pipeline_tests.candle_feed import Feed

_DATA = Path(__file__).parents[3] / "shared" / "data"
_SYMBOLS = ("RELIANCE", "SBIN", "PAGEIND")
_OPENS = {"NSE": "09:15", "MCX": "09:00"}


class Minute(NamedTuple):
    at: int  # seconds since 1970
    open: float
    high: float
    low: float
    close: float
    volume: int


def ticks_of(minute: Minute, instrument: int = 1) -> list[Tick]:
    """Make ticks that are exactly this candle."""
    prices = (minute.open, minute.high, minute.low, minute.close)
    volumes = (minute.volume, 0, 0, 0)
    return [
        Tick(at=minute.at - OPEN + second, price=price, volume=volume, instrument=instrument)
        for second, (price, volume) in enumerate(zip(prices, volumes, strict=True))
    ]


def ist(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=EXCHANGE_TZ)


def list_instrument(database: Database, exchange: str, day: str) -> None:
    """List instrument 1, and when its exchange opens on a day."""
    fetch(
        database,
        "INSERT INTO instruments (exchange, segment, exchange_token, symbol, name, kind, listed_on)"
        " VALUES (%s, 'CM', '1', 'X', 'X', 'EQ', '2020-01-01')",
        exchange,
    )
    fetch(
        database,
        "INSERT INTO trading_sessions VALUES (%s, %s, %s, %s)",
        *(exchange, day, ist(f"{day} {_OPENS[exchange]}"), ist(f"{day} 23:30")),
    )


def read(database: Database, interval: str, start: datetime, end: datetime) -> list[Any]:
    return fetch(
        database,
        "SELECT time, open, high, low, close, volume, open_interest, trades, state, has_gap"
        " FROM candles(1, %s::interval, %s, %s)",
        *(interval, start, end),
    )


def begins(database: Database, interval: str, day: str) -> list[str]:
    rows = read(database, interval, ist(f"{day} 00:00"), ist(f"{day} 23:59"))
    return [f"{row[0].astimezone(EXCHANGE_TZ):%H:%M}" for row in rows]


@pytest.fixture
def feed(database: Database) -> Iterator[Feed]:
    opened = Feed(database)
    yield opened
    opened.close()


def real_minutes(symbol: str) -> list[Minute]:
    """Read the first day of real candles; a minute without volume had no trade and no candle."""
    file = _DATA / f"candles_1m_{symbol}.csv"
    if not file.exists():
        pytest.skip(f"no market data: {file.name}")
    with file.open(newline="") as opened:
        rows = [row for row in csv.DictReader(opened) if row["Date"].startswith("2016-08-16")]
    assert len(rows) == 375
    made = [
        Minute(
            at=int(ist(row["Date"]).timestamp()),
            open=float(row["Open"]),
            high=float(row["High"]),
            low=float(row["Low"]),
            close=float(row["Close"]),
            volume=int(row["Volume"]),
        )
        for row in rows
    ]
    return sorted(minute for minute in made if minute.volume)


def grouped(minutes: list[Minute], width: int, anchor: int) -> list[tuple[Any, ...]]:
    """Make candles of `width` minutes that begin at an instant, plainly."""
    bins: dict[int, list[Minute]] = {}
    for minute in minutes:
        bins.setdefault((minute.at - anchor) // (60 * width), []).append(minute)
    return [
        (
            datetime.fromtimestamp(anchor + 60 * width * number, UTC),
            part[0].open,
            max(minute.high for minute in part),
            min(minute.low for minute in part),
            part[-1].close,
            sum(minute.volume for minute in part),
        )
        for number, part in sorted(bins.items())
    ]


@pytest.mark.parametrize("symbol", _SYMBOLS)
def test_real_minutes_make_exact_candles_of_any_length(
    database: Database, feed: Feed, symbol: str
) -> None:
    minutes = real_minutes(symbol)
    list_instrument(database, "NSE", "2016-08-16")
    feed.send(*(tick for minute in minutes for tick in ticks_of(minute)))
    candles.refresh(database)
    start, end = ist("2016-08-16 09:00"), ist("2016-08-16 16:00")
    anchor = int(ist("2016-08-16 09:15").timestamp())
    for width in (1, 3, 5, 10, 15, 30, 60):
        made = [row[:6] for row in read(database, f"{width} minutes", start, end)]
        assert made == grouped(minutes, width, anchor), f"{width} minutes"


@pytest.mark.parametrize(
    ("width", "query"),
    [
        (5, "SELECT time, open, high, low, close, volume FROM candles_5m ORDER BY 1"),
        (15, "SELECT time, open, high, low, close, volume FROM candles_15m ORDER BY 1"),
    ],
)
def test_stored_lengths_are_what_reading_makes(
    database: Database, feed: Feed, width: int, query: LiteralString
) -> None:
    list_instrument(database, "NSE", "2026-11-20")
    feed.send(*(tick for at in range(40) for tick in ticks_of(minute(at))))
    stored = fetch(database, query)
    made = read(database, f"{width} minutes", ist("2026-11-20 09:00"), ist("2026-11-20 16:00"))
    assert [row[:6] for row in made] == stored


def minute(number: int, price: float = 100.0) -> Minute:
    """Make a minute after 09:15 of 20 November 2026."""
    at = OPEN + 60 * number
    return Minute(at, price, price + 2 + number % 3, price - 1 - number % 4, price + 1, 10 + number)


def test_half_hours_of_shares_begin_at_a_quarter_past_nine(database: Database, feed: Feed) -> None:
    list_instrument(database, "NSE", "2026-11-20")
    feed.send(*(tick for at in range(0, 100, 5) for tick in ticks_of(minute(at))))
    assert begins(database, "30 minutes", "2026-11-20") == ["09:15", "09:45", "10:15", "10:45"]
    assert begins(database, "1 hour", "2026-11-20") == ["09:15", "10:15"]


def test_half_hours_of_commodities_begin_at_nine(database: Database, feed: Feed) -> None:
    list_instrument(database, "MCX", "2026-11-20")
    feed.send(*(tick for at in range(-15, 50, 5) for tick in ticks_of(minute(at))))
    assert begins(database, "30 minutes", "2026-11-20") == ["09:00", "09:30", "10:00"]
    assert begins(database, "1 hour", "2026-11-20") == ["09:00", "10:00"]


def test_a_print_before_the_open_is_in_a_candle_of_its_own(database: Database, feed: Feed) -> None:
    list_instrument(database, "NSE", "2026-11-20")
    feed.send(*(tick for at in (-7, 0) for tick in ticks_of(minute(at))))
    assert begins(database, "30 minutes", "2026-11-20") == ["08:45", "09:15"]


def test_the_last_candle_of_a_session_may_be_short(database: Database, feed: Feed) -> None:
    list_instrument(database, "NSE", "2026-11-20")
    feed.send(*(tick for at in range(360, 375) for tick in ticks_of(minute(at))))
    ((begin, *_, trades, _, _),) = read(
        database, "1 hour", ist("2026-11-20 09:15"), ist("2026-11-20 16:00")
    )
    assert (begin, trades) == (ist("2026-11-20 15:15"), 60)


def test_candles_begin_within_the_times_asked_for(database: Database, feed: Feed) -> None:
    list_instrument(database, "NSE", "2026-11-20")
    feed.send(*(tick for at in range(60) for tick in ticks_of(minute(at))))
    rows = read(database, "15 minutes", ist("2026-11-20 09:16"), ist("2026-11-20 10:00"))
    assert [row[0] for row in rows] == [ist("2026-11-20 09:30"), ist("2026-11-20 09:45")]
    assert rows[0][7] == 60  # whole, though the asking ended soon after


def test_a_day_without_a_known_opening_opens_as_usual(database: Database, feed: Feed) -> None:
    list_instrument(database, "NSE", "2026-11-19")
    feed.send(*(tick for at in range(40) for tick in ticks_of(minute(at))))
    assert begins(database, "30 minutes", "2026-11-20") == ["09:15", "09:45"]


def test_an_exchange_that_never_closes_is_aligned_to_midnight(
    database: Database, feed: Feed
) -> None:
    list_instrument(database, "NSE", "2026-11-20")
    fetch(database, "TRUNCATE trading_sessions")
    feed.send(*(tick for at in range(40) for tick in ticks_of(minute(at))))
    assert begins(database, "30 minutes", "2026-11-20") == ["09:00", "09:30"]


def test_a_day_is_one_candle_and_begins_at_midnight_in_india(
    database: Database, feed: Feed
) -> None:
    list_instrument(database, "NSE", "2026-11-20")
    feed.send(*(tick for at in range(5) for tick in ticks_of(minute(at))))
    for _ in range(2):  # computed, then stored
        ((begin, *_, volume, _, trades, _, _),) = read(
            database, "1 day", ist("2026-11-20 00:00"), ist("2026-11-21 00:00")
        )
        assert (begin, volume, trades) == (ist("2026-11-20 00:00"), 60, 20)
        candles.refresh(database, at_least=ist("2026-11-21 00:00"))


def test_a_candle_that_touches_a_gap_says_so(database: Database, feed: Feed) -> None:
    list_instrument(database, "NSE", "2026-11-20")
    feed.send(*(tick for at in range(20) for tick in ticks_of(minute(at))))
    gap = "INSERT INTO gaps (stream, started_at, ended_at, cause, instruments) VALUES "
    begin = ist("2026-11-20 09:19") + timedelta(seconds=30)
    fetch(
        database,
        gap + "('kite-0', %s, %s, 'line lost', '{1,7}')",
        *(begin, begin + timedelta(minutes=1)),
    )
    fetch(database, gap + "('kite-1', %s, NULL, 'of others', '{8}')", begin)
    rows = read(database, "5 minutes", ist("2026-11-20 09:15"), ist("2026-11-20 10:00"))
    assert [row[9] for row in rows] == [True, True, False, False]


@pytest.mark.parametrize("interval", ["30 seconds", "90 seconds", "2 days", "-5 minutes"])
def test_a_length_that_no_candle_has_is_refused(database: Database, interval: str) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="choose whole minutes"):
        read(database, interval, ist("2026-11-20 09:15"), ist("2026-11-20 10:00"))
