"""Whole days of candles for the tests of their checks: sound ones, and what is done to them."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import dagster as dg

from market_pipeline.config import Settings
from market_pipeline.orchestration import candles, instruments, ticks
from market_pipeline.orchestration.resources import MarketBroker
from market_pipeline.sessions import Calendar, bounds
from market_pipeline.storage import candles as candle_store
from market_pipeline.storage.database import Database
from market_pipeline_tests import dagster_cases as cases

MINUTES = 375
OPENS = bounds(cases.DAY)[0] + timedelta(hours=9, minutes=15)
_COLUMNS = "open high low close volume open_interest trades".split()


class Nse(cases.Simulator):
    """A broker of the exchange with its hours and holidays."""

    @property
    def settings(self) -> Settings:
        return _NseSettings(_env_file=None)


class _NseSettings(Settings):
    @property
    def calendar(self) -> Calendar:
        return Calendar()


def store_day(
    store: Database, quiet: Sequence[int] = (), minutes: int = MINUTES, change: str = ""
) -> None:
    """A trade of 5 every five seconds of each of two instruments, subscribed long before.

    The second had traded 1000 when we first saw it; the first does not trade in the quiet minutes
    after the opening. Ticks are changed before candles are stored, which is to the end of the day.
    """
    store.execute("ensure_tick_day", day=cases.DAY)
    cases.run_sql(
        store,
        "UPDATE subscriptions SET since = %(opens)s::timestamptz - interval '9 days'",
        "INSERT INTO ticks (time, instrument_id, seq, last_price, volume, day_volume,"
        " open_interest, high, low, received_at, is_trade)"
        " SELECT at, instrument_id, extract(epoch FROM at)::bigint << 32 | n, price,"
        " CASE WHEN instrument_id = 1 OR n > 0 THEN 5 END,"
        " CASE instrument_id WHEN 1 THEN 0 ELSE 995 END"
        " + 5 * row_number() OVER (PARTITION BY instrument_id ORDER BY n),"
        " n / 100, price + 1, price - 1, at, true"
        " FROM subscriptions, generate_series(0, %(count)s - 1) AS n,"
        " LATERAL (SELECT %(opens)s::timestamptz + n * interval '5 seconds' AS at,"
        " 100 + n * 7 %% 31 AS price) AS _"
        " WHERE NOT (instrument_id = 1 AND n / 12 = ANY (%(quiet)s::bigint[]))",
        opens=OPENS,
        count=minutes * 12,
        quiet=list(quiet),
    )
    if change:
        cases.run_sql(store, change, noon=minute(165))
    candle_store.refresh(store, at_least=bounds(cases.DAY)[1])


def store_trade(store: Database, at: datetime, instrument: int = 1) -> None:
    """A trade of which no volume is known; before the candles of the day are stored."""
    store.execute("ensure_tick_day", day=cases.DAY)
    cases.run_sql(
        store,
        "INSERT INTO ticks (time, instrument_id, seq, last_price, high, low, received_at, is_trade)"
        " VALUES (%(at)s, %(instrument)s, extract(epoch FROM %(at)s)::bigint << 32, 9, 9, 9,"
        " %(at)s, true)",
        at=at,
        instrument=instrument,
    )


def store_gap(store: Database, since: datetime, until: datetime | None, ids: str = "{}") -> None:
    cases.run_sql(
        store,
        "INSERT INTO gaps (stream, started_at, ended_at, cause, instruments)"
        " VALUES ('simulator-0', %(since)s, %(until)s, 'stall', %(ids)s)",
        since=since,
        until=until,
        ids=ids,
    )


def minute(number: int) -> datetime:
    """Return when a minute after the opening begins."""
    return OPENS + timedelta(minutes=number)


def damage(store: Database, name: str, where: str = "true", **columns: str) -> None:
    """Let one view of candles show other columns, or fewer candles; others stand on what it was."""
    shown = ", ".join(f"{columns.get(column, column)} AS {column}" for column in _COLUMNS)
    cases.run_sql(
        store,
        f"ALTER VIEW {name} RENAME TO {name}_sound",
        f"CREATE VIEW {name} AS SELECT instrument_id, time, {shown}"  # noqa: S608
        f" FROM {name}_sound WHERE {where}",
    )


def look(
    instance: dg.DagsterInstance,
    store: Database,
    check: dg.AssetChecksDefinition,
    broker: MarketBroker | None = None,
) -> dg.AssetCheckEvaluation:
    """Return what one check says of the day, on NSE unless told otherwise; nothing is refreshed."""
    result = dg.materialize(
        [instruments.instruments, ticks.ticks, *candles.CANDLES, check],
        selection=dg.AssetSelection.checks(check),
        tags={"dagster/partition": cases.DAY.isoformat()},
        instance=instance,
        resources=cases.resources(store, broker or Nse()),
    )
    (found,) = result.get_asset_check_evaluations()
    return found


def failed_checks(instance: dg.DagsterInstance, store: Database) -> set[str]:
    """Return the checks that fail when all candles of the day on NSE are looked at."""
    return cases.failed_checks(cases.look_at_candles(instance, store, broker=Nse()))


def value(found: dg.AssetCheckEvaluation, name: str) -> Any:
    return found.metadata[name].value


def worst(found: dg.AssetCheckEvaluation, label: str = "worst instruments") -> list[list[str]]:
    """Return the cells of a check's table, without its head."""
    lines = str(value(found, label)).splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
