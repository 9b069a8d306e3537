"""Search for instruments as traders name them: "nifty 24200 ce", "reliance fut", "hdfc bank"."""

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import polars as pl

from market_pipeline.market import UNDERLYING_BY_INDEX
from market_pipeline.storage.database import Connection, Database, run
from market_pipeline.storage.instrument_text import Reading, readings

_SHORTEST_MISTYPED = 3  # characters; nearly everything is similar to less
_CORRECTIONS = 3
_LARGEST_TOKEN = 2**63 - 1
_COLUMNS: dict[str, pl.DataType] = {
    "instrument_id": pl.Int64(),
    "exchange": pl.String(),
    "segment": pl.String(),
    "symbol": pl.String(),
    "name": pl.String(),
    "kind": pl.String(),
    "underlying": pl.String(),
    "expiry": pl.Date(),
    "strike": pl.Float64(),
    "lot_size": pl.Int64(),
    "tick_size": pl.Float64(),
    "token": pl.Int64(),
    "rank": pl.Int64(),
}


@dataclass(frozen=True)
class Filters:
    """What results are confined to; None: anything. Those gone for good have to be asked for."""

    exchange: str | None = None
    segment: str | None = None
    kind: str | None = None
    underlying: str | None = None
    expiry: date | None = None
    with_expired: bool = False  # and delisted


_NO_FILTERS = Filters()


def search(
    database: Database,
    brokers: Sequence[str],
    text: str,
    today: date,
    limit: int = 20,
    filters: Filters = _NO_FILTERS,
) -> pl.DataFrame:
    """Return what a text may mean of what any of some brokers offers, best first, at most `limit`
    rows. The token is that of the first of them which offers it.

    Exact symbols come first, then what begins with the text, what contains its words and what is
    named so; each is followed by its futures, the nearest first. Options come last unless they are
    asked for. An empty text lists what the filters leave. If nothing is found, words are taken for
    mistyped.

    Columns: instrument_id, exchange, segment, symbol, name, kind, underlying, expiry, strike,
    lot_size, tick_size, token, rank (see sql/queries/search_instruments.sql) and is_similar, which
    tells that words had to be corrected.
    """
    with database.transaction() as connection:
        for is_similar, reading in _attempts(connection, text):
            values = _values(reading, filters)
            values |= {"brokers": list(brokers), "today": today, "rows": limit}
            if rows := run(connection, "search_instruments", **values).fetchall():
                return _frame(rows, is_similar)
    return _frame([], is_similar=False)


def _frame(rows: Sequence[tuple[Any, ...]], is_similar: bool) -> pl.DataFrame:
    frame = pl.DataFrame(rows, schema=_COLUMNS, orient="row")
    return frame.with_columns(is_similar=pl.lit(is_similar))


def _attempts(connection: Connection, text: str) -> Iterator[tuple[bool, Reading]]:
    """Yield what a text may mean as it stands, then with its words corrected."""
    wanted = readings(text)
    yield from ((False, reading) for reading in wanted)
    words = dict.fromkeys(word for reading in wanted for word in reading.words)
    near = {word: _near(connection, word) for word in words}
    for place in range(max(map(len, near.values()), default=0)):
        for reading in wanted:
            corrected = tuple(near[word][min(place, len(near[word]) - 1)] for word in reading.words)
            if corrected != reading.words:
                yield True, replace(reading, words=corrected)


def _near(connection: Connection, word: str) -> list[str]:
    """Return the words of the master most like this one; itself if it is right or like none."""
    if len(word) < _SHORTEST_MISTYPED or word.isdecimal():
        return [word]
    known = [row[0] for row in run(connection, "instrument_vocabulary", length=len(word))]
    if word in known:
        return [word]
    return difflib.get_close_matches(word, known, _CORRECTIONS) or [word]


def _values(reading: Reading, filters: Filters) -> dict[str, Any]:
    compact = "".join(reading.words)
    underlying = (filters.underlying or "").upper()
    is_token = compact.isdecimal() and int(compact) <= _LARGEST_TOKEN
    return {
        "compact": compact,
        "beginning": f"{_literal(compact)}%",
        "patterns": [f"%{_literal(word)}%" for word in reading.words],
        "token": int(compact) if is_token else None,
        "indices": list(UNDERLYING_BY_INDEX),
        "their_underlyings": list(UNDERLYING_BY_INDEX.values()),
        "strike": reading.strike,
        "month": reading.month,
        "day": reading.day,
        "year": reading.year,
        "kinds": list(reading.kinds),
        "kind": filters.kind,
        "exchanges": _given(reading.exchange, filters.exchange),
        "segment": filters.segment,
        "underlying": UNDERLYING_BY_INDEX.get(underlying, underlying) or None,
        "expiries": _given(reading.expiry, filters.expiry),
        "with_expired": filters.with_expired,
    }


def _literal(word: str) -> str:
    """Take away the meaning that some characters have for LIKE."""
    return re.sub(r"([\\%_])", r"\\\1", word)


def _given(*values: Any) -> list[Any]:
    return [value for value in values if value is not None]
