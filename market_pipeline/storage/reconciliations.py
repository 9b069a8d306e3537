"""What was compared with the broker's candles, and which of ours readers get as the broker's."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple

import polars as pl

from market_pipeline.storage.database import Connection, Database, load_query, run

_FIELDS = ("open", "high", "low", "close", "volume", "open_interest")
_REPAIR_COLUMNS = [
    *("instrument_id", "time", "broker", *_FIELDS),
    *(f"replaced_{name}" for name in (*_FIELDS, "trades")),
    *("fields", "reason", "repaired_by"),
]
"""Those of table candle_repairs, but for when it was. A frame of repairs has neither broker nor
repaired_by yet, and in it `fields` is a list of names."""


class Span(NamedTuple):
    """From one instant to before another."""

    starts_at: datetime
    ends_at: datetime


def instruments(database: Database, span: Span) -> pl.DataFrame:
    """Return which instruments are to be compared on a day: see reconcilable_instruments.sql."""
    return database.query("reconcilable_instruments", **span._asdict())


def live(database: Database, instrument_ids: Sequence[int], span: Span) -> pl.DataFrame:
    """Return our one-minute candles as the ticks make them, with column has_gap."""
    return database.query("live_minutes", instrument_ids=list(instrument_ids), **span._asdict())


def theirs(
    database: Database, broker: str, instrument_ids: Sequence[int], span: Span
) -> pl.DataFrame:
    """Return the broker's one-minute candles, with columns fetched_at and has_gap."""
    return database.query(
        "broker_minutes", broker=broker, instrument_ids=list(instrument_ids), **span._asdict()
    )


def store_day(
    database: Database,
    broker: str,
    day: date,
    span: Span,
    repairs: pl.DataFrame,
    verdicts: Iterable[Mapping[str, Any]],
) -> None:
    """Store what the comparison of some instruments on a day has found, all of it or nothing.

    Repairs of theirs that are not among `repairs` are taken back: ours agree by now. `verdicts`
    have the columns of table reconciliations but for day, broker and reconciled_at.

    Raises:
        DatabaseError: nothing was stored.
    """
    rows = list(verdicts)
    ids = [row["instrument_id"] for row in rows]
    with database.transaction() as connection:
        _load(connection, repairs, broker, f"reconciliation of {day}")
        run(connection, "delete_needless_repairs", instrument_ids=ids, **span._asdict())
        run(connection, "upsert_candle_repairs")
        for row in rows:
            run(connection, "upsert_reconciliation", broker=broker, day=day, **row)


def store_repairs(database: Database, broker: str, repairs: pl.DataFrame, repaired_by: str) -> None:
    """Let readers get the broker's candles in place of ours from now on.

    Raises:
        DatabaseError: nothing was stored.
    """
    with database.transaction() as connection:
        _load(connection, repairs, broker, repaired_by)
        run(connection, "upsert_candle_repairs")


def _load(connection: Connection, repairs: pl.DataFrame, broker: str, repaired_by: str) -> None:
    run(connection, "create_found_repairs")
    rows = repairs.with_columns(
        pl.concat_str(pl.lit("{"), pl.col("fields").list.join(","), pl.lit("}")).alias("fields"),
        broker=pl.lit(broker),
        repaired_by=pl.lit(repaired_by),
    ).select(_REPAIR_COLUMNS)
    with connection.cursor().copy(load_query("copy_found_repairs").text) as copy:
        copy.write(rows.write_csv(include_header=False, quote_style="non_numeric").encode())
