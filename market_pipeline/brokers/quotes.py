"""Quotes of any broker: from rows that its parser has read to one frame. No I/O, no clock."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import polars as pl

from market_pipeline.errors import UnexpectedReply
from market_pipeline.market import PACKET_COLUMNS, QUOTE_SCHEMA

T = TypeVar("T")

Row = Mapping[str, Any]
"""What a broker tells of one instrument, by column of QUOTE_SCHEMA; times in seconds since 1970."""

_INSTANTS = ("last_trade_time", "exchange_time")
_MAY_BE_NEGATIVE = {name for name, kind in PACKET_COLUMNS.items() if kind == "f8"}
_REQUIRED = ("token", "last_price")
_LIMIT = 2**63  # what fits into a column
_LATEST = 253_402_300_800  # seconds: the year 10000, which datetime does not know
_LONGEST_VALUE = 40  # characters of what came in our messages


def batches(items: Sequence[T], most: int) -> Iterator[Sequence[T]]:
    """Cut items into as few parts as hold at most `most` each."""
    return (items[start : start + most] for start in range(0, len(items), most))


def frame_of(rows: Iterable[Row], tokens: Sequence[int]) -> pl.DataFrame:
    """Put rows into the columns of QUOTE_SCHEMA, in the order of `tokens`.

    Tokens without a row are left out, rows of other tokens too. An instant of zero is none: so
    brokers say that there was no trade.

    Raises:
        UnexpectedReply: a value is no number, or none that its column can have.
    """
    by_token = {row["token"]: row for row in rows}
    found = [by_token[token] for token in dict.fromkeys(tokens) if token in by_token]
    columns = {name: [_value(row, name) for row in found] for name in QUOTE_SCHEMA}
    return pl.DataFrame(columns, schema=QUOTE_SCHEMA)


def _value(row: Row, name: str) -> float | int | datetime | None:
    value: Any = row.get(name)
    if value is None and name not in _REQUIRED:
        return None
    if not _fits(name, value):
        shown = repr(value)[:_LONGEST_VALUE]
        raise UnexpectedReply(f"{name} in the quote of {row['token']} is {shown}")
    if name in _INSTANTS:
        return datetime.fromtimestamp(value, UTC) if value else None
    return float(value) if PACKET_COLUMNS[name] == "f8" else int(value)


def _fits(name: str, value: Any) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) < _LIMIT:
        return False
    if PACKET_COLUMNS[name] == "i8" and value != int(value):
        return False
    if name in _INSTANTS and value >= _LATEST:
        return False
    return value >= 0 or name in _MAY_BE_NEGATIVE
