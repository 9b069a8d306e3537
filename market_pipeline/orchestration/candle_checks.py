"""Whether a day's candles can be relied on: there, possible, and what ticks and each other make."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import chain
from typing import Any

import dagster as dg
import numpy as np
import polars as pl

from market_pipeline import quality
from market_pipeline.errors import ConfigurationError
from market_pipeline.orchestration import checks
from market_pipeline.orchestration.candles import (
    CANDLES,
    candles_1d,
    candles_1m,
    candles_5m,
    candles_15m,
    of_day,
)
from market_pipeline.orchestration.resources import MarketBroker, MarketDatabase
from market_pipeline.sessions import (
    EXCHANGE_TZ,
    Calendar,
    InstrumentClass,
    PeriodKind,
    bounds,
    instrument_class,
    trading_date,
)

_SAMPLE = 50
"""How many instruments one run compares with their ticks; each run takes others."""

_ARRIVES_WITHIN = timedelta(minutes=1)
"""How long after the end of a minute its candle is surely there."""

_WORST = 20
_MINUTES = pl.List(pl.Int64)
_HOURS: dict[str, Any] = {
    "exchange": pl.String,
    "class": pl.String,
    "expected": _MINUTES,
    "possible": _MINUTES,
    "auctions": _MINUTES,
}


@checks.asset_check(asset=candles_1m)
def rows_arrive(
    context: dg.AssetCheckExecutionContext, database: MarketDatabase
) -> dg.AssetCheckResult:
    """There are candles where there were trades."""
    day = _day(context)
    row = of_day(database.open(), "candles_and_trades", day).row(0, named=True)
    return dg.AssetCheckResult(
        passed=row["candles"] > 0 or not row["traded"],
        metadata={"day": str(day), "candles": row["candles"], "traded": row["traded"]},
    )


@checks.multi_asset_check(
    specs=[dg.AssetCheckSpec("ohlc_is_sane", asset=candles) for candles in CANDLES]
)
def ohlc_checks(
    context: dg.AssetCheckExecutionContext, database: MarketDatabase
) -> Iterator[dg.AssetCheckResult]:
    """Low and high enclose open and close, nothing is missing and no volume is negative."""
    day = _day(context)
    store = database.open()
    for candles in CANDLES:
        name = candles.key.to_user_string()
        row = of_day(store, "insane_candles", day, name=name).row(0, named=True)
        yield dg.AssetCheckResult(
            asset_key=candles.key,
            check_name="ohlc_is_sane",
            passed=row["candles"] == 0,
            metadata={"day": str(day), "insane": row["candles"], "instruments": row["instruments"]},
        )


@checks.multi_asset_check(
    specs=[
        dg.AssetCheckSpec("aggregates_agree", asset=candles_5m),
        dg.AssetCheckSpec("aggregates_agree", asset=candles_15m),
        dg.AssetCheckSpec("aggregates_agree", asset=candles_1d),
    ]
)
def aggregate_checks(
    context: dg.AssetCheckExecutionContext, database: MarketDatabase
) -> Iterator[dg.AssetCheckResult]:
    """Five minutes and a day are what their minutes make, a quarter of an hour what its fives."""
    day = _day(context)
    store = database.open()
    for candles in (candles_5m, candles_15m, candles_1d):
        name = candles.key.to_user_string()
        row = of_day(store, "aggregates_differing", day, name=name).row(0, named=True)
        yield dg.AssetCheckResult(
            asset_key=candles.key,
            check_name="aggregates_agree",
            passed=row["differing"] == 0,
            metadata={"day": str(day), **row},
        )


@checks.asset_check(asset=candles_1m)
def candles_are_complete(
    context: dg.AssetCheckExecutionContext, database: MarketDatabase, broker: MarketBroker
) -> dg.AssetCheckResult:
    """Liquid instruments have a candle each minute that no gap explains, and none has one outside
    the session.

    A missing candle is a warning: perhaps nothing traded. A candle outside the session is an error:
    a stamp was misread, or the calendar is wrong.
    """
    day = _day(context)
    rows = of_day(database.open(), "minutes_of_day", day)
    until = datetime.now(UTC) - _ARRIVES_WITHIN
    try:
        found = quality.completeness(_with_hours(rows, broker.settings.calendar, day, until))
    except ConfigurationError as error:
        return dg.AssetCheckResult(
            passed=False, severity=dg.AssetCheckSeverity.WARN, description=str(error)
        )
    counts = ("outside", "suspect", "explained", "expected", "present", "auctions")
    total = found.select(pl.col(counts).sum()).row(0, named=True)
    is_wrong = total["outside"] > 0
    worst = found.filter(pl.any_horizontal(pl.col(counts[:3]) > 0))
    return dg.AssetCheckResult(
        passed=not is_wrong and total["suspect"] == 0,
        severity=dg.AssetCheckSeverity.ERROR if is_wrong else dg.AssetCheckSeverity.WARN,
        metadata={
            "day": str(day),
            "expected": total["expected"],
            "present": total["present"],
            "missing": total["suspect"],
            "missing, in a recorded gap": total["explained"],
            "outside the session": total["outside"],
            "in the auctions before and after it": total["auctions"],
            **worst_rows(worst, ["name", *counts[:5]], by=list(counts[:3])),
        },
    )


@checks.asset_check(asset=candles_1m)
def candles_agree_with_ticks(
    context: dg.AssetCheckExecutionContext, database: MarketDatabase
) -> dg.AssetCheckResult:
    """Completed minutes of some instruments are in every column what their ticks make of them.

    A difference is an error: readers get prices or volumes that never were.
    """
    day = _day(context)
    seed = int(datetime.now(UTC).timestamp())
    store = database.open()
    rows = of_day(store, "ticks_and_candles", day, seed=seed, sample=_SAMPLE)
    is_tick = pl.col("trades").is_null()
    made = quality.minute_candles(rows.filter(is_tick))
    found = quality.disagreements(made, rows.filter(~is_tick).select(made.columns))
    faulty = found.filter(pl.col("differing") > 0)
    worst = faulty.head(_WORST).with_columns(
        pl.col("first").dt.convert_time_zone(EXCHANGE_TZ.key).dt.strftime("%H:%M")
    )
    if not worst.is_empty():
        ids = worst["instrument_id"].to_list()
        names = store.query("instrument_names", instrument_ids=ids)
        worst = worst.join(names, on="instrument_id")
    return dg.AssetCheckResult(
        passed=faulty.is_empty(),
        metadata={
            "day": str(day),
            "compared": int(found["compared"].sum()),
            "differing": int(found["differing"].sum()),
            **worst_rows(worst, ["name", "differing", "first", "columns"], by=["differing"]),
        },
    )


@checks.asset_check(asset=candles_1m)
def volume_of_the_day_adds_up(
    context: dg.AssetCheckExecutionContext, database: MarketDatabase
) -> dg.AssetCheckResult:
    """The volumes of a day's candles make what the exchange says was traded since the first tick.

    A difference is an error: volume was lost or counted twice. Instruments of which a tick does not
    know what was traded before it are not compared, but counted.
    """
    day = _day(context)
    rows = of_day(database.open(), "volumes_of_day", day)
    known = rows.filter(~pl.col("is_unknown"))
    difference = (pl.col("in_candles") - pl.col("in_ticks")).alias("difference")
    differing = known.with_columns(difference).filter(pl.col("difference") != 0)
    by_size = differing.with_columns(size=pl.col("difference").abs())
    columns = ["name", "in_candles", "in_ticks", "difference"]
    return dg.AssetCheckResult(
        passed=differing.is_empty(),
        metadata={
            "day": str(day),
            "compared": known.height,
            "differing": differing.height,
            "not known": rows.height - known.height,
            **worst_rows(by_size, columns, by=["size"]),
        },
    )


@checks.asset_check(asset=candles_1m)
def anomalies_are_few(
    context: dg.AssetCheckExecutionContext, database: MarketDatabase
) -> dg.AssetCheckResult:
    """Nothing was received that could not be right: volumes that fell, impossible stamps, bytes
    that are no packets.

    A warning: what was understood is stored, and the rest is kept in table `rejected`.
    """
    day = _day(context)
    rows = of_day(database.open(), "anomalies_of_day", day)
    return dg.AssetCheckResult(
        passed=rows.is_empty(),
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "day": str(day),
            "anomalies": int(rows["count"].sum()),
            **worst_rows(rows, ["reason", "count"], by=["count"], label="reasons"),
        },
    )


def _day(context: dg.AssetCheckExecutionContext) -> date:
    """Return the trading date of the run's partition, else today's."""
    run = context.op_execution_context
    if run.has_partition_key:
        return date.fromisoformat(run.partition_key)
    return trading_date(datetime.now(UTC))


def _with_hours(rows: pl.DataFrame, calendar: Calendar, day: date, until: datetime) -> pl.DataFrame:
    """Add the minutes in which each instrument should have candles, and those in which it can."""
    of_kind = rows.select("exchange", "kind", "underlying", "has_derivatives")
    classes = [instrument_class(*row).value for row in of_kind.iter_rows()]
    placed = rows.with_columns(pl.Series("class", classes, pl.String))
    kinds = placed.select("exchange", "class").unique()
    hours = pl.DataFrame(
        [(venue, kind, *_hours(calendar, venue, kind, day)) for venue, kind in kinds.iter_rows()],
        schema=_HOURS,
        orient="row",
    )
    end = int(min(until, bounds(day)[1]).timestamp()) // 60
    wanted = pl.int_ranges(pl.col("expected_from").fill_null(end), end)
    return placed.join(hours, on=["exchange", "class"]).with_columns(
        pl.col("expected").list.set_intersection(wanted)
    )


def _hours(calendar: Calendar, exchange: str, name: str, day: date) -> tuple[list[int], ...]:
    """Return the minutes of continuous trading, of the whole session, and of what is around it."""
    kind = InstrumentClass(name)
    expected = calendar.expected_minutes(exchange, kind, day)
    possible = calendar.possible_minutes(exchange, kind, day)
    # Trades are stamped with the second of the closing bell too, and indices settle after it.
    possible = np.union1d(possible, possible + 1)
    auctions = [
        range(int(period.opens_at.timestamp()) // 60, int(period.closes_at.timestamp()) // 60)
        for period in calendar.periods(exchange, kind, day)
        if period.kind in (PeriodKind.PRE_OPEN, PeriodKind.POST_CLOSE)
    ]
    return expected.tolist(), possible.tolist(), list(chain.from_iterable(auctions))


def worst_rows(
    rows: pl.DataFrame, columns: list[str], by: list[str], label: str = "worst instruments"
) -> dict[str, dg.MetadataValue[Any]]:
    """Return a table of the rows with the most, the worst first; nothing where there is none."""
    if rows.is_empty():
        return {}
    worst = rows.sort(*by, columns[0], descending=[*(True for _ in by), False]).head(_WORST)
    lines = [columns, ["---"] * len(columns), *worst.select(columns).iter_rows()]
    cells = (" | ".join(str(cell).replace("|", "\\|") for cell in line) for line in lines)
    return {label: dg.MetadataValue.md("\n".join(f"| {line} |" for line in cells))}
