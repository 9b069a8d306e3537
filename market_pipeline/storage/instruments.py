"""The instrument master and what is subscribed."""

import difflib
import threading
from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any, NamedTuple

import polars as pl

from market_pipeline.errors import UnexpectedReply, UnknownInstrument
from market_pipeline.market import INSTRUMENT_SCHEMA, Mode
from market_pipeline.storage.database import Connection, Database, load_query, run

_IMPLAUSIBLE_LOSS = 0.3
"""A master smaller by this share, in all or at one exchange, is taken for a broken download."""

_JUDGED_ALONE = 100
"""Contracts from which on an exchange is large enough to be judged by itself."""

_CONTRACT = ["exchange", "segment", "exchange_token", "kind", "expiry", "strike"]
"""What makes a contract the same one for ever: the unique key of table `instruments`."""


class SyncCounts(NamedTuple):
    """What a sync has done: instruments, except for tokens_reused."""

    total: int
    added: int
    renamed: int
    changed: int  # name, underlying, lot size or tick size
    expired: int
    delisted: int  # before they expired
    relisted: int
    tokens_reused: int  # mean a contract now that they did not mean before, and meant another


def sync(
    database: Database,
    broker: str,
    master: pl.DataFrame,
    today: date,
    yields_to: Sequence[str] = (),
) -> SyncCounts:
    """Bring instruments and tokens in line with the broker's master of today, or change nothing.

    A contract keeps its instrument_id for ever; a token that now means another contract is closed
    for the old one and opened for the new one. What was superseded goes to instrument_history.
    Of several syncs on one day the last decides what holds on it. A contract that one of the
    brokers of `yields_to` offers as well keeps the name, lot and tick that it has there.

    Raises:
        UnexpectedReply: the master is empty, ambiguous or has lost 30 % of what it had, expired
            contracts not counted; see _refuse_a_broken_master. Nothing was changed.
        DatabaseError: nothing was changed.
    """
    _refuse_an_ambiguous_master(broker, master)
    with database.transaction() as connection:
        _load_master(connection, master.select(list(INSTRUMENT_SCHEMA)))
        _refuse_a_broken_master(connection, broker, today)
        added = _count(connection, "add_instruments", today=today)
        run(connection, "resolve_instrument_master")
        names = list(yields_to)
        run(connection, "keep_instrument_versions", today=today, yields_to=names)
        renamed = _count(connection, "rename_instruments", yields_to=names)
        changed = _count(connection, "change_instruments", yields_to=names)
        run(connection, "forget_instrument_versions", today=today)
        tokens_reused = _move_tokens(connection, broker, today)
        relisted = _count(connection, "relist_instruments")
        expired, delisted = run(connection, "delist_instruments", today=today).fetchall()[0]
        # After a first sync the server would plan for empty tables until it looks by itself.
        run(connection, "analyze_instruments")
    return SyncCounts(
        master.height, added, renamed, changed, expired, delisted, relisted, tokens_reused
    )


def _load_master(connection: Connection, master: pl.DataFrame) -> None:
    run(connection, "lock_instrument_sync")
    run(connection, "create_instrument_master")
    statement = load_query("copy_instrument_master").text
    with connection.cursor().copy(statement) as copy:
        copy.write(master.write_csv(include_header=False).encode())
    run(connection, "analyze_instrument_master")


def _move_tokens(connection: Connection, broker: str, today: date) -> int:
    """Make the tokens mean what the master says and return how many meant something else before."""
    run(connection, "close_broker_instruments", broker=broker, today=today)
    run(connection, "reopen_broker_instruments", broker=broker, today=today)
    opened = run(connection, "open_broker_instruments", broker=broker, today=today).fetchall()
    run(connection, "forget_broker_instruments", broker=broker, today=today)
    run(connection, "resize_broker_instruments", broker=broker)
    return int(opened[0][0])


def _refuse_an_ambiguous_master(broker: str, master: pl.DataFrame) -> None:
    for key, meaning in ((["token"], "token"), (_CONTRACT, "contract")):
        doubled = master.filter(pl.struct(key).is_duplicated()).sort(key)
        if not doubled.is_empty():
            rows = [f"{r['exchange']}:{r['symbol']} ({r['token']})" for r in doubled[:2].to_dicts()]
            raise UnexpectedReply(
                f"in the instrument master of {broker} {doubled.height} rows claim a {meaning} "
                f"that another row claims too, as {' and '.join(rows)}: nothing was changed; "
                "look at the download and sync again"
            )


def _refuse_a_broken_master(connection: Connection, broker: str, today: date) -> None:
    """Compare with what is in force, in all and for each exchange that is large enough."""
    exchanges = run(connection, "instruments_in_force", broker=broker, today=today).fetchall()
    known = sum(row[1] for row in exchanges)
    offered = sum(row[2] for row in exchanges)
    shrunk = [row for row in exchanges if _is_implausible(*row[1:])]
    large = [row for row in shrunk if row[1] >= _JUDGED_ALONE]
    if offered and not large and not _is_implausible(known, offered):
        return
    where = ", ".join(f"{name} {now} of {before}" for name, before, now in shrunk)
    raise UnexpectedReply(
        f"the instrument master of {broker} has {offered} rows where {known} are known"
        f"{f' ({where})' if where else ''}: what was in force stays so; "
        "look at the download and sync again"
    )


def _is_implausible(known: int, offered: int) -> bool:
    return known > 0 and known - offered >= known * _IMPLAUSIBLE_LOSS


def _count(connection: Connection, name: str, **values: Any) -> int:
    return run(connection, name, **values).rowcount


def subscribe(
    database: Database,
    broker: str,
    names: Sequence[str],
    mode: Mode = Mode.FULL,
    standby: str | None = None,
) -> list[str]:
    """Subscribe instruments and return their symbols; those already subscribed take the new mode.

    A name is EXCHANGE:SYMBOL, a symbol, or the broker's token; or, where it means nothing to the
    broker, the same of the one that stands by.

    Raises:
        UnknownInstrument: names that match nothing, with near matches; nothing was changed.
    """
    found = resolve(database, broker, names, standby)
    database.execute("subscribe", instrument_ids=[id for id, _ in found], mode=mode.value)
    return [symbol for _, symbol in found]


def unsubscribe(
    database: Database, broker: str, names: Sequence[str], standby: str | None = None
) -> list[str]:
    """Unsubscribe instruments, named as for subscribe, and return their symbols."""
    found = resolve(database, broker, names, standby)
    database.execute("unsubscribe", instrument_ids=[id for id, _ in found])
    return [symbol for _, symbol in found]


def resolve(
    database: Database, broker: str, names: Sequence[str], standby: str | None = None
) -> list[tuple[int, str]]:
    """Return instrument_id and symbol of what is named as for subscribe.

    Raises:
        UnknownInstrument: names that match nothing, with near matches.
    """
    asked = [broker, *([standby] if standby else [])]
    missing = list(dict.fromkeys(names))
    found: dict[int, str] = {}
    with database.transaction() as connection:
        for each in asked:
            rows = run(connection, "find_instruments", broker=each, names=missing).fetchall()
            found |= {instrument_id: symbol for _, instrument_id, symbol in rows}
            meant = {row[0] for row in rows}
            missing = [name for name in missing if name not in meant]
        if missing:
            near = nearest(missing[0], _candidates(connection, asked, missing[0]))
            raise UnknownInstrument(_unknown(asked, missing, near))
    return list(found.items())


def current_tokens(database: Database, broker: str, instrument_ids: Sequence[int]) -> pl.DataFrame:
    """Return columns instrument_id, token, exchange and symbol of what a broker offers now."""
    return database.query("current_tokens", broker=broker, instrument_ids=list(instrument_ids))


def _candidates(connection: Connection, brokers: Sequence[str], name: str) -> list[str]:
    found = [run(connection, "near_instruments", broker=each, name=name) for each in brokers]
    return [row[0] for rows in found for row in rows]


def nearest(name: str, candidates: Iterable[str]) -> list[str]:
    """Return the most similar of EXCHANGE:SYMBOL; an exchange in the name counts as well."""
    has_exchange = ":" in name
    by_key = {each if has_exchange else each.split(":")[1]: each for each in candidates}
    return [by_key[key] for key in difflib.get_close_matches(name.upper(), by_key, 5)]


def _unknown(brokers: Sequence[str], missing: list[str], near: list[str]) -> str:
    has = "has" if len(brokers) == 1 else "have"
    message = f"{' and '.join(brokers)} {has} no instrument {', '.join(missing)}"
    if near:
        return f"{message}; did you mean {', '.join(near)}?"
    return f"{message}; run `market-pipeline instruments sync` if the master is old"


class Catalogue:
    """Which instrument each of a broker's tokens means, by date."""

    def __init__(self, database: Database, broker: str) -> None:
        self._database, self._broker = database, broker
        self._lock = threading.Lock()
        self.reload()

    def reload(self) -> None:
        """Read the tokens again; another thread may be asking for them meanwhile."""
        rows = self._database.query("broker_tokens", broker=self._broker)
        with self._lock:
            self._rows = rows
            self._by_day: dict[date, pl.DataFrame] = {}

    def on(self, day: date) -> pl.DataFrame:
        """Return columns token (sorted), instrument_id and is_index as they were on a day."""
        with self._lock:
            if day not in self._by_day:
                valid = (pl.col("valid_from") <= day) & (
                    pl.col("valid_to").is_null() | (pl.col("valid_to") > day)
                )
                self._by_day[day] = self._rows.filter(valid).sort("token")
            return self._by_day[day]


def wanted_tokens(
    database: Database, brokers: Sequence[str], stream: str, per_stream: int
) -> pl.DataFrame:
    """Return what a stream is to carry now: see sql/queries/stream_tokens.sql.

    The preferred broker comes first; column `broker` says whose token each row has. Whichever
    stream asks first puts newcomers on one, for good: nothing is ever carried by two, and what is
    carried is not moved when others leave. What was subscribed before today gets a gap.

    Raises:
        DatabaseUnavailable: call again later.
    """
    limits = {"brokers": list(brokers), "per_stream": per_stream}
    rows = database.query("stream_tokens", stream=stream, **limits)
    if rows.is_empty() or rows["has_newcomers"].any():
        with database.transaction() as connection:
            run(connection, "lock_places")
            run(connection, "note_pauses", **limits)
            run(connection, "place_newcomers", **limits)
        rows = database.query("stream_tokens", stream=stream, **limits)
    return rows.drop("has_newcomers")
