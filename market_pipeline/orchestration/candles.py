"""Candles of one, five and fifteen minutes and of a day: stored, described, looked at in time."""

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg
import polars as pl

from market_pipeline.orchestration.partitions import trading_days
from market_pipeline.orchestration.resources import BATCH_TAGS, MarketDatabase
from market_pipeline.orchestration.ticks import tick_checks, ticks
from market_pipeline.sessions import bounds, trading_date
from market_pipeline.storage import candles as candle_store
from market_pipeline.storage.database import Database

_LAUNCH_EVERY = timedelta(minutes=5)
_GIVEN_UP_AFTER = timedelta(minutes=15)

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


@dg.asset(
    deps=[candles_1m],
    partitions_def=trading_days,
    group_name="candles",
    kinds={"postgres", "sql"},
)
def candles_1d(
    context: dg.AssetExecutionContext, database: MarketDatabase
) -> dg.MaterializeResult[None]:
    """The day's candle of each instrument. Stored by the refresh of candles_1m once the day is over
    and computed until then; this only tells what there is."""
    return _described(database.open(), context, "candles_1d")


CANDLES = (candles_1m, candles_5m, candles_15m, candles_1d)


def _described(
    store: Database,
    context: dg.AssetExecutionContext,
    name: str,
    more: dict[str, Any] | None = None,
) -> dg.MaterializeResult[None]:
    day = date.fromisoformat(context.partition_key)
    row = of_day(store, "candles_of_day", day, name=name).row(0, named=True)
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


def of_day(store: Database, query: str, day: date, **values: Any) -> pl.DataFrame:
    """Return the rows of a query that takes the first instant of a day and the first after it."""
    starts_at, ends_at = bounds(day)
    return store.query(query, starts_at=starts_at, ends_at=ends_at, **values)


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
    if is_unfinished(context.instance, candle_job.name, now - _GIVEN_UP_AFTER):
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


def is_unfinished(instance: dg.DagsterInstance, job_name: str, since: datetime) -> bool:
    """Tell whether a run of a job lasts; one that began earlier has lost its process."""
    unfinished = dg.RunsFilter(job_name=job_name, statuses=_UNFINISHED, created_after=since)
    return bool(instance.get_run_records(unfinished, limit=1))


def _days(start: datetime, end: datetime) -> list[date]:
    """Return the days whose candles were stored meanwhile: after midnight the last one's too."""
    dates = {trading_date(instant - timedelta(microseconds=1)) for instant in (start, end)}
    return sorted(day for day in dates if trading_days.has_partition_key(str(day)))
