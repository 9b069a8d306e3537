"""The live table: what has just been stored of a few instruments, read from the database."""

from datetime import datetime
from typing import Any

import polars as pl
from rich.table import Table

from market_pipeline.sessions import EXCHANGE_TZ
from market_pipeline.storage.database import Database

_ROWS = 12
_COLUMNS = ("ltp", "candle", "open", "high", "low", "close", "volume", "ticks/s", "lag")


def render(database: Database) -> Table:
    """Draw the table as of now.

    Raises:
        DatabaseError: the database does not answer; ask again.
    """
    table = Table(
        "instrument",
        title="One-minute candles, times of Asia/Kolkata",
        caption=_streams(database.query("live_streams")),
    )
    for name in _COLUMNS:
        table.add_column(name, justify="right")
    for row in database.query("live_instruments", rows=_ROWS).iter_rows(named=True):
        table.add_row(row["name"], *_cells(row))
    return table


def _cells(row: dict[str, Any]) -> list[str]:
    return [
        price_text(row["last_price"]),
        _clock(row["time"]),
        *(price_text(row[name]) for name in ("open", "high", "low", "close")),
        f"{row['volume']:,}" if row["volume"] is not None else "",
        f"{row['ticks_per_second']:.1f}",
        f"{row['lag_seconds']:.1f} s" if row["lag_seconds"] is not None else "",
    ]


def _streams(streams: pl.DataFrame) -> str:
    lines = [
        f"{row['stream']}: {row['state']}, {row['instruments']} instruments, "
        f"{row['ticks_per_second']:.0f} ticks/s, {row['lag_ms'] or 0:.0f} ms from received to "
        f"stored, {row['ticks']:,} ticks"
        for row in streams.iter_rows(named=True)
    ]
    return "\n".join(lines) or "waiting for the first stream"


def price_text(value: float | None) -> str:
    """Write a price or a count with as many decimals as it needs, nothing for None."""
    if value is None:
        return ""
    decimals = 2 if round(value, 2) == round(value, 4) else 4  # currencies move by 0.0025
    return f"{value:,.{decimals}f}"


def _clock(instant: datetime | None) -> str:
    return "" if instant is None else f"{instant.astimezone(EXCHANGE_TZ):%H:%M}"
