"""Schemas of their own in the market database, in which days are replayed.

Guarantee: a replay writes nothing outside of its schema. The search path of its connections is that
schema alone, which is checked before the first write; so it is a plain one, with partitions, on a
server with TimescaleDB too, whose functions are in a schema that may have the pipeline's tables. A
schema is dropped only if its comment says that it was made for a replay of this pipeline.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import polars as pl

from market_pipeline.errors import ReplayRefused
from market_pipeline.storage import migrations, schema
from market_pipeline.storage.database import Connection, Database, in_schema, run


@dataclass(frozen=True)
class Contents:
    """What is copied from the pipeline's schema besides instruments, feeds and sessions."""

    starts_at: datetime
    ends_at: datetime
    instrument_ids: Sequence[int] | None = None
    """Whose subscriptions; those of all where None."""

    has_gaps: bool = False
    is_repaired: bool = False
    """Whether the broker's candles, and what they have replaced, are copied as well."""


@dataclass(frozen=True)
class Scratch:
    """A schema made for the replay of a day of the pipeline in another."""

    database: Database
    schema: str
    source: str

    @property
    def url(self) -> str:
        return self.database.url

    def require_apart(self) -> None:
        """Check that unqualified names mean the tables of this schema and no others.

        Raises:
            ReplayRefused: they could mean the pipeline's own.
        """
        row = self.database.query("replay_is_apart", source=self.source).row(0, named=True)
        if self.schema == self.source or list(row["path"]) != [self.schema]:
            raise ReplayRefused(
                f"a connection for schema {self.schema} searches {', '.join(row['path'])}: the "
                "server or a pooler before it ignores search_path; give DATABASE_URL without one"
            )
        if len(row["elsewhere"]):
            raise ReplayRefused(f"{', '.join(row['elsewhere'])} would not be those of the replay")


def source_of(database: Database) -> str:
    """Return the schema of the pipeline that a database is.

    Raises:
        ReplayRefused: it was made for a replay, or the database is not at this version.
    """
    row = database.query("replay_source").row(0, named=True)
    if row["is_replay"]:
        raise ReplayRefused(f"schema {row['schema']} was made for a replay: give the pipeline's")
    pending = [each for each in migrations.status(database.url) if not each.applied_at]
    if any(each.is_needed for each in pending):
        raise ReplayRefused("the database is not at this version: run `market-pipeline db init`")
    return str(row["schema"])


def name_of(source: str, day: date) -> str:
    """Return the schema in which a day of a pipeline is replayed."""
    own = "" if source == "public" else f"{source}_"
    return f"{own}replay_{day:%Y%m%d}"


def listed(database: Database) -> pl.DataFrame:
    """Return columns schema, day and bytes of the replays that were kept."""
    return database.query("replay_schemas", source=source_of(database))


def kept(database: Database, day: date) -> Scratch:
    """Return the schema of a day's last replay.

    Raises:
        ReplayRefused: none was kept, or its names could mean the pipeline's tables.
    """
    source = source_of(database)
    name = name_of(source, day)
    if name not in listed(database)["schema"].to_list():
        raise ReplayRefused(f"no replay of {day} was kept: see `market-pipeline replay-day --list`")
    found = Scratch(Database(in_schema(database.url, name)), name, source)
    found.require_apart()
    return found


@contextmanager
def making(database: Database, day: date, contents: Contents) -> Iterator[Scratch]:
    """Make the schema of a day anew and hold it; it stays when the body has ended.

    Raises:
        ReplayRefused: another replay uses it, or it is not what it must be.
        DatabaseError: it cannot be made.
    """
    source = source_of(database)
    name = name_of(source, day)
    with holding(database, name):
        _drop(database, source, name)
        with database.transaction() as connection:
            statements = run(connection, "make_replay_schema", schema=name, source=source, day=day)
            _execute(connection, statements.fetchall())
        scratch = Scratch(Database(in_schema(database.url, name)), name, source)
        schema.prepare(scratch.url, is_plain=True)
        scratch.require_apart()
        _fill(scratch, contents)
        yield scratch


def drop(database: Database, day: date) -> bool:
    """Drop the schema of a day; return whether there was one.

    Raises:
        ReplayRefused: a replay uses it, or it was not made for one.
    """
    source = source_of(database)
    name = name_of(source, day)
    with holding(database, name):
        return _drop(database, source, name)


@contextmanager
def holding(database: Database, name: str) -> Iterator[None]:
    """Keep other replays off a schema.

    Raises:
        ReplayRefused: one is under way.
    """
    with database.session() as connection:
        row = run(connection, "hold_replay_schema", schema=name).fetchone()
        if not row or not row[0]:
            raise ReplayRefused(
                f"schema {name} is used by another replay: wait until that has ended, or end it"
            )
        yield


def _drop(database: Database, source: str, name: str) -> bool:
    with database.transaction() as connection:
        found = run(connection, "drop_replay_schema", source=source, schema=name).fetchall()
        if found and found[0][0] is None:
            raise ReplayRefused(
                f"schema {name} is there and was not made for a replay of {source}: rename it"
            )
        _execute(connection, found)
    return bool(found)


def _fill(scratch: Scratch, contents: Contents) -> None:
    with scratch.database.transaction() as connection:
        names: dict[str, Any] = {"source": scratch.source, "schema": scratch.schema}
        ids = contents.instrument_ids
        values = vars(contents) | {"instrument_ids": None if ids is None else list(ids)}
        _execute(connection, run(connection, "fill_replay_schema", **names, **values).fetchall())
        run(connection, "analyze_instruments")


def _execute(connection: Connection, statements: list[tuple[Any, ...]]) -> None:
    for (statement,) in statements:
        connection.execute(statement.encode())
