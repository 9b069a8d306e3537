"""The brokers' own candles and the record of what was asked for."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

import polars as pl

from market_pipeline.market import CANDLE_SCHEMA
from market_pipeline.storage.database import Connection, Database, load_query, run


class Outcome(StrEnum):
    COMPLETE = "complete"
    EMPTY = "empty"
    BEFORE_LISTING = "before_listing"
    FAILED = "failed"


class Answer(NamedTuple):
    """What became of one request for candles from `starts_at` to before `ends_at`."""

    instrument_id: int
    minutes: int
    starts_at: datetime
    ends_at: datetime
    asked_at: datetime
    outcome: Outcome
    detail: str | None = None


class HistoryWriter:
    """Stores answers, each with its candles in one transaction, over one connection."""

    def __init__(self, connection: Connection, broker: str, purpose: str) -> None:
        self._connection, self._broker, self._purpose = connection, broker, purpose

    def store(self, answer: Answer, candles: pl.DataFrame) -> None:
        """Store an answer whole or not at all; a candle that is there already is updated.

        `candles` has the columns of CANDLE_SCHEMA.

        Raises:
            DatabaseError: nothing was stored.
        """
        with self._connection.transaction():
            if not candles.is_empty():
                self._upsert(answer, candles)
            run(
                self._connection,
                "add_backfill",
                **answer._asdict(),
                broker=self._broker,
                purpose=self._purpose,
                candles=candles.height,
            )

    def _upsert(self, answer: Answer, candles: pl.DataFrame) -> None:
        run(self._connection, "create_fetched_candles")
        rows = candles.select(
            pl.lit(answer.instrument_id),
            pl.lit(answer.minutes).alias("minutes"),
            "time",
            pl.lit(self._broker).alias("broker"),
            *(name for name in CANDLE_SCHEMA if name != "time"),
            pl.lit(answer.asked_at.isoformat()).alias("asked_at"),
        )
        statement = load_query("copy_fetched_candles").text
        with self._connection.cursor().copy(statement) as copy:
            copy.write(rows.write_csv(include_header=False).encode())
        run(self._connection, "upsert_broker_candles")


@contextmanager
def writer(database: Database, broker: str, purpose: str) -> Iterator[HistoryWriter]:
    """Open a writer; `purpose` is kept with each request.

    Raises:
        DatabaseError: see Database.session.
    """
    with database.session() as connection:
        yield HistoryWriter(connection, broker, purpose)


def covering(
    database: Database,
    broker: str,
    minutes: int,
    instrument_ids: Sequence[int],
    span: tuple[datetime, datetime],
) -> pl.DataFrame:
    """Return which requests were answered that touch a stretch of time.

    Columns: instrument_id, starts_at, ends_at, asked_at, outcome.
    """
    return database.query(
        "backfills_covering",
        broker=broker,
        minutes=minutes,
        instrument_ids=list(instrument_ids),
        starts_at=span[0],
        ends_at=span[1],
    )
