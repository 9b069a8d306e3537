"""What instruments were called and what tokens meant on past days, and what syncs have changed."""

from collections.abc import Sequence
from datetime import date

import polars as pl

from market_pipeline.storage.database import Database

CHANGES = ("renamed", "changed", "delisted", "relisted", "added", "expired", "token_reused")
"""What a sync can do to an instrument. Delisted means before it expired."""

_LARGEST_TOKEN = 2**63 - 1


def meanings(database: Database, broker: str, name: str) -> pl.DataFrame:
    """Return everything a name has ever meant at a broker, the oldest first.

    A name is EXCHANGE:SYMBOL, a symbol, a token or the broker's own symbol. Columns: instrument_id,
    exchange, segment, exchange_token, symbol, name, kind, underlying, expiry, strike, lot_size,
    tick_size, listed_on, delisted_on, token, broker_symbol, valid_from and valid_to (dates; the
    first day that it no longer holds, null: it holds still).
    """
    exchange, colon, symbol = name.upper().strip().partition(":")
    is_token = name.isdecimal() and int(name) <= _LARGEST_TOKEN
    return database.query(
        "instrument_meanings",
        broker=broker,
        name=name.upper().strip(),
        symbol=symbol if colon else exchange,
        exchange=exchange if colon else None,
        token=int(name) if is_token else None,
    )


def as_of(database: Database, broker: str, name: str, day: date) -> pl.DataFrame:
    """Return what a name meant on a day, the cash market first; empty if it meant nothing.

    Columns as of `meanings`; those that change are as they were on that day. Days before the first
    sync are unknown. A day has one state: that of its last sync.
    """
    ended = pl.col("valid_to") <= day
    return meanings(database, broker, name).filter(
        pl.col("valid_from") <= day, ~ended.fill_null(value=False)
    )


def versions(database: Database, instrument_id: int) -> pl.DataFrame:
    """Return an instrument's names and sizes by date: see sql/queries/instrument_versions.sql."""
    return database.query("instrument_versions", instrument_id=instrument_id)


def tokens(database: Database, instrument_id: int) -> pl.DataFrame:
    """Return what each broker called an instrument: see sql/queries/instrument_tokens.sql."""
    return database.query("instrument_tokens", instrument_id=instrument_id)


def changes(
    database: Database, broker: str, since: date, until: date, kinds: Sequence[str] = CHANGES
) -> pl.DataFrame:
    """Return what syncs changed from one day to another, both included, the newest day first.

    Several syncs of one day count as one: what one does and the next takes back is no change.

    Columns: day, change (of `kinds`, a selection of CHANGES, in that order), name, kind,
    instrument_id, field, before and after (text; null where nothing but the change is to be told).
    """
    return database.query(
        "instrument_changes", broker=broker, since=since, until=until, kinds=list(kinds)
    )
