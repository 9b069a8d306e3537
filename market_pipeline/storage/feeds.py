"""What two brokers' feeds were, and how far they agree, as the database knows it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import polars as pl

from market_pipeline.storage.database import Database

SETTLES_WITHIN = timedelta(seconds=15)
"""How long after its end a minute is complete: what stands by is held until the preferred feed's
next frame, or for some seconds if there is none, and then stored."""

_SLICE = timedelta(minutes=15)


def closed_minutes(now: datetime, count: int) -> tuple[datetime, datetime]:
    """Return from when to when the last `count` minutes are that have ended and settled."""
    settled = now.astimezone(UTC) - SETTLES_WITHIN
    end = settled.replace(second=0, microsecond=0)
    return end - timedelta(minutes=count), end


def minutes(database: Database, start: datetime, end: datetime) -> pl.DataFrame:
    """Return function feed_minutes' rows of a time, with the `name` of each instrument.

    Asked for in pieces, so that the server need not sort a whole day's ticks at once.
    """
    span = database.query("feed_span", from_time=start, to_time=end).row(0, named=True)
    since = max(start, span["since"] or end)  # before, there is nothing to compare
    until = min(end, span["until"] if span["since"] else end)
    pieces = [
        database.query("feed_minutes", from_time=begins, to_time=ends)
        for begins, ends in _slices(since, until)
    ]
    return pl.concat(pieces)


def _slices(start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    while start + _SLICE < end:
        yield start, start + _SLICE
        start += _SLICE
    yield start, end


def shares(database: Database, start: datetime, end: datetime) -> pl.DataFrame:
    """Return broker, ticks and standby_ticks of a time, and the share of all ticks as `share`."""
    rows = database.query("feed_shares", from_time=start, to_time=end)
    return rows.with_columns(share=pl.col("ticks") / pl.col("ticks").sum())


def take_overs(database: Database, start: datetime, end: datetime) -> pl.DataFrame:
    """Return stream, broker, covered_by, started_at, ended_at, cause and seconds, in order."""
    return database.query("take_overs", from_time=start, to_time=end)


def states(database: Database) -> pl.DataFrame:
    """Return stream, place, broker, state, detail, frames, reconnects and heartbeat_age in seconds.

    A row for each broker of each stream; place 1 is the preferred one.
    """
    return database.query("stream_feeds")
