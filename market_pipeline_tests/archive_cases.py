"""Days of ticks to archive, each value of which is another."""

import random
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from market_pipeline.archive.store import FolderStore
from market_pipeline.sessions import bounds
from market_pipeline.storage.database import Connection, Database

DAY = date(2026, 11, 20)

Row = tuple[Any, ...]

_ADD_INSTRUMENT = """
INSERT INTO instruments (exchange, segment, exchange_token, symbol, name, kind)
VALUES ($1, 'CM', $2, $2, $2, 'EQ') RETURNING instrument_id
"""
_COPY = "COPY {} FROM STDIN"


def add_instruments(database: Database, exchange: str, count: int, prefix: str = "S") -> list[int]:
    """Store instruments and return their numbers."""
    with database.transaction() as connection:
        return [
            connection.execute(_ADD_INSTRUMENT, [exchange, f"{prefix}{number}"]).fetchone()[0]  # type: ignore[index]
            for number in range(count)
        ]


def ticks(instruments: Sequence[int], each: int, day: date = DAY, seed: int = 1) -> list[Row]:
    """Make ticks of a day, some of whose values are missing, as rows of table `ticks`."""
    chance, (start, _) = random.Random(seed), bounds(day)
    rows = []
    for number, instrument in enumerate(instruments):
        for index in range(each):
            time = start + timedelta(hours=10, seconds=index // 2)
            rows.append(_tick(chance, time, instrument, number * each + index))
    return rows


def _tick(chance: random.Random, time: datetime, instrument: int, arrival: int) -> Row:
    def price() -> float:
        return chance.randrange(100, 1_000_000) / 20

    def quantity() -> int:
        return chance.randrange(1, 1 << 40)

    def maybe(value: Any) -> Any:
        return None if chance.random() < 0.2 else value

    seq = (int(time.timestamp()) << 32) + arrival
    return (
        *(time, instrument, seq, price(), maybe(quantity()), maybe(price())),
        *(maybe(quantity()) for _ in range(5)),
        *(maybe(price()), maybe(quantity()), maybe(price()), maybe(quantity())),
        *(price(), price(), maybe(time), time + timedelta(milliseconds=chance.randrange(900))),
        *(chance.random() < 0.5, maybe(1)),
    )


def store(database: Database, rows: Iterable[Row], table: str = "ticks", day: date = DAY) -> None:
    """Store ticks as a stream does, without noting them as late."""
    with database.transaction() as connection:
        connection.execute("SELECT ensure_tick_day($1)", [day])
        copy_rows(connection, rows, table)


def copy_rows(connection: Connection, rows: Iterable[Row], table: str) -> None:
    with connection.cursor().copy(_COPY.format(table).encode()) as copy:
        for row in rows:
            copy.write_row(row)


def execute(database: Database, statement: str, *values: Any) -> None:
    with database.transaction() as connection:
        connection.execute(statement.encode(), list(values) or None)


def paths(folder: FolderStore, kind: str = "*") -> list[Path]:
    """Return what a reader would take for files of a kind, and what else is in its folders."""
    return sorted(each for each in Path(folder.location).glob(f"{kind}/**/*") if each.is_file())


def archived(folder: FolderStore, kind: str) -> pl.DataFrame:
    """Read a kind as somebody would who has the files alone."""
    frame = pl.scan_parquet(f"{folder.location}/{kind}/**/*.parquet", hive_partitioning=True)
    key = "time" if kind != "instruments" else "symbol"
    names = [name for name in frame.collect_schema().names() if name not in ("exchange", "date")]
    order = [name for name in ("instrument_id", key, "seq") if name in names]
    return frame.select(names).sort(order).collect()
