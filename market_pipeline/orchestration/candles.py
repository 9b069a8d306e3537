"""Candles of one, five and fifteen minutes: stored, described, and compared with each other."""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg

from market_pipeline.orchestration.partitions import bounds, trading_days
from market_pipeline.orchestration.resources import BATCH_TAGS, MarketDatabase
from market_pipeline.orchestration.ticks import tick_checks, ticks
from market_pipeline.sessions import trading_date
from market_pipeline.storage import candles as candle_store
from market_pipeline.storage.database import Database

_LAUNCH_EVERY = timedelta(minutes=5)
_GIVEN_UP_AFTER = timedelta(minutes=15)
_SAMPLE = 50
"""How many instruments one run compares with their ticks; each run takes others."""

_UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


@dg.asset(
    deps=[ticks],
    partitions_def=trading_days,
    group_name="candles",
    kinds={"postgres", "sql"},
)
def candles_1m(
    context: dg.AssetExecutionContext, database: MarketDatabase
) -> dg.MaterializeResult[None]:
    """One-minute candles. The refresh stores all intervals in one transaction."""
    store = database.open()
    written = candle_store.refresh(store)
    return _described(store, context, "candles_1m", {"rows written by this refresh": written})


@dg.asset(
    deps=[candles_1m],
    partitions_def=trading_days,
    group_name="candles",
    kinds={"postgres", "sql"},
)
def candles_5m(
    context: dg.AssetExecutionContext, database: MarketDatabase
) -> dg.MaterializeResult[None]:
    """Five-minute candles. Stored by the refresh of candles_1m; this only tells what there is."""
    return _described(database.open(), context, "candles_5m")


@dg.asset(
    deps=[candles_5m],
    partitions_def=trading_days,
    group_name="candles",
    kinds={"postgres", "sql"},
)
def candles_15m(
    context: dg.AssetExecutionContext, database: MarketDatabase
) -> dg.MaterializeResult[None]:
    """Quarter-hour candles. Stored by the refresh of candles_1m; this only tells what there is."""
    return _described(database.open(), context, "candles_15m")


CANDLES = (candles_1m, candles_5m, candles_15m)


def _described(
    store: Database,
    context: dg.AssetExecutionContext,
    name: str,
    more: dict[str, Any] | None = None,
) -> dg.MaterializeResult[None]:
    row = _one(store, "candles_of_day", date.fromisoformat(context.partition_key), name=name)
    metadata: dict[str, Any] = {
        "dagster/row_count": row["candles"],
        "instruments": row["instruments"],
        **(more or {}),
    }
    metadata |= {
        label: dg.MetadataValue.timestamp(row[label])
        for label in ("first", "last")
        if row[label] is not None
    }
    return dg.MaterializeResult(metadata=metadata)


@dg.asset_check(asset=candles_1m)
def rows_arrive(
    context: dg.AssetCheckExecutionContext, database: MarketDatabase
) -> dg.AssetCheckResult:
    """There are candles where there were trades."""
    day = _day(context)
    row = _one(database.open(), "candles_and_trades", day)
    return dg.AssetCheckResult(
        passed=row["candles"] > 0 or not row["traded"],
        metadata={"day": str(day), "candles": row["candles"], "traded": row["traded"]},
    )


@dg.asset_check(asset=candles_1m)
def volumes_agree_with_ticks(
    context: dg.AssetCheckExecutionContext, database: MarketDatabase
) -> dg.AssetCheckResult:
    """Volume and number of trades of completed minutes are those of the ticks."""
    day = _day(context)
    seed = int(datetime.now(UTC).timestamp())
    row = _one(database.open(), "candles_differing_from_ticks", day, seed=seed, sample=_SAMPLE)
    return _compared(day, row)


@dg.multi_asset_check(
    specs=[dg.AssetCheckSpec("ohlc_is_sane", asset=candles) for candles in CANDLES]
)
def ohlc_checks(
    context: dg.AssetCheckExecutionContext, database: MarketDatabase
) -> Iterator[dg.AssetCheckResult]:
    """Low and high enclose open and close, nothing is missing and no volume is negative."""
    day = _day(context)
    store = database.open()
    for candles in CANDLES:
        row = _one(store, "insane_candles", day, name=candles.key.to_user_string())
        yield dg.AssetCheckResult(
            asset_key=candles.key,
            check_name="ohlc_is_sane",
            passed=row["candles"] == 0,
            metadata={"day": str(day), "insane": row["candles"], "instruments": row["instruments"]},
        )


@dg.multi_asset_check(
    specs=[
        dg.AssetCheckSpec("aggregates_agree", asset=candles_5m),
        dg.AssetCheckSpec("aggregates_agree", asset=candles_15m),
    ]
)
def aggregate_checks(
    context: dg.AssetCheckExecutionContext, database: MarketDatabase
) -> Iterator[dg.AssetCheckResult]:
    """Five minutes are what their minutes make, and a quarter of an hour what its fives make."""
    day = _day(context)
    store = database.open()
    for candles in (candles_5m, candles_15m):
        row = _one(store, f"{candles.key.to_user_string()}_differing", day)
        yield _compared(day, row, asset_key=candles.key, check_name="aggregates_agree")


def _compared(day: date, row: dict[str, Any], **of: Any) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        passed=row["differing"] == 0,
        metadata={"day": str(day), "compared": row["compared"], "differing": row["differing"]},
        **of,
    )


def _day(context: dg.AssetCheckExecutionContext) -> date:
    """Return the trading date of the run's partition, else today's."""
    run = context.op_execution_context
    if run.has_partition_key:
        return date.fromisoformat(run.partition_key)
    return trading_date(datetime.now(UTC))


def _one(store: Database, query: str, day: date, **values: Any) -> dict[str, Any]:
    starts_at, ends_at = bounds(day)
    frame = store.query(query, starts_at=starts_at, ends_at=ends_at, **values)
    return frame.row(0, named=True)


candle_job = dg.define_asset_job(
    "candles",
    selection=dg.AssetSelection.assets(*CANDLES),
    description="Store and check the candles of one trading day.",
    tags=BATCH_TAGS,
)


@dg.sensor(
    jobs=[candle_job, tick_checks],
    minimum_interval_seconds=14,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def candles_sensor(
    context: dg.SensorEvaluationContext, database: MarketDatabase
) -> dg.SensorResult | dg.SkipReason:
    """Look at the candles when new ones were stored, every five minutes at most."""
    row = database.open().query("candle_progress").row(0, named=True)
    watermark, now = row["watermark"], datetime.now(UTC)
    if watermark is None or not row["has_candles"]:
        return dg.SkipReason("no candle has been stored yet")
    seen = json.loads(context.cursor) if context.cursor else None
    if seen and watermark <= datetime.fromisoformat(seen["watermark"]):
        return dg.SkipReason(f"nothing new since {seen['watermark']}")
    if seen and now < datetime.fromisoformat(seen["launched_at"]) + _LAUNCH_EVERY:
        return dg.SkipReason(f"looked at {seen['launched_at']}")
    if _is_unfinished(context.instance, now - _GIVEN_UP_AFTER):
        return dg.SkipReason("the previous run has not finished")
    seen_until = datetime.fromisoformat(seen["watermark"]) if seen else watermark
    requests = [
        dg.RunRequest(
            job_name=candle_job.name,
            run_key=f"candles/{day}/{watermark.isoformat()}",
            partition_key=str(day),
        )
        for day in _days(seen_until, watermark)
    ]
    if not seen:  # from now on the schedule checks ticks; the first time nobody should wait for it
        requests.append(dg.RunRequest(job_name=tick_checks.name, run_key="ticks/first"))
    return dg.SensorResult(
        run_requests=requests,
        cursor=json.dumps({"watermark": watermark.isoformat(), "launched_at": now.isoformat()}),
    )


def _is_unfinished(instance: dg.DagsterInstance, since: datetime) -> bool:
    """Tell whether a run lasts; one that seems to for long has lost its process."""
    unfinished = dg.RunsFilter(job_name=candle_job.name, statuses=_UNFINISHED, created_after=since)
    return bool(instance.get_run_records(unfinished, limit=1))


def _days(start: datetime, end: datetime) -> list[date]:
    """Return the days whose candles were stored meanwhile: after midnight the last one's too."""
    dates = {trading_date(instant - timedelta(microseconds=1)) for instant in (start, end)}
    return sorted(day for day in dates if trading_days.has_partition_key(str(day)))
