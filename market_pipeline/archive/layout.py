"""Where an archive keeps what: <kind>/exchange=NSE/date=2026-11-20/part-….parquet."""

import re
from datetime import date
from enum import StrEnum
from uuid import uuid4

SUFFIX = ".parquet"
STAGED = ".staged"
"""Ends the names of files that are not read back yet; no reader of *.parquet takes them."""

_ODD = re.compile(r"[^A-Za-z0-9_-]")


class ArchivedKind(StrEnum):
    """What is archived of a day."""

    TICKS = "ticks"
    STANDBY_TICKS = "standby_ticks"
    CANDLES = "candles"  # of a minute, as the ticks made them
    REPAIRED_CANDLES = "repaired_candles"  # of a minute, as readers get them
    INSTRUMENTS = "instruments"  # those in the others


def folder(kind: ArchivedKind, exchange: str, day: date) -> str:
    """Return the folder of a day's files, in the form that readers know as Hive's."""
    return f"{kind}/exchange={_ODD.sub('_', exchange)}/date={day}"


def new_path(kind: ArchivedKind, exchange: str, day: date) -> str:
    """Return a path that no file has had, so that files are never overwritten."""
    return f"{folder(kind, exchange, day)}/part-{uuid4().hex[:16]}{SUFFIX}"
