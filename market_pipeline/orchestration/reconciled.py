"""Candles compared with the broker's after the close, and gaps filled while the session lasts."""

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from threading import Event
from typing import Any

import dagster as dg
import polars as pl

from market_pipeline.brokers.limits import Priority
from market_pipeline.errors import MarketPipelineError, is_transient
from market_pipeline.history.fetching import SETTLES_WITHIN
from market_pipeline.history.reconciling import Reconciled, Reconciler
from market_pipeline.history.repairing import Repairer
from market_pipeline.orchestration import checks
from market_pipeline.orchestration.candle_checks import worst_rows
from market_pipeline.orchestration.candles import candles_1m, is_unfinished, of_day
from market_pipeline.orchestration.history import (
    RUN_TAGS,
    backfill,
    broker_candles,
    checked_day,
    closed_day,
)
from market_pipeline.orchestration.partitions import TIMEZONE, trading_days
from market_pipeline.orchestration.resources import BATCH_TAGS, MarketBroker, MarketDatabase
from market_pipeline.reconciliation_report import Outcome, report
from market_pipeline.storage import gaps
from market_pipeline.storage.database import Database
from market_pipeline.tolerances import Tolerances

_SHOWN = 20
_REPORTS = 5
_COUNTS = ("compared", "agreeing", "differing", "missing", "extra", "not_compared")
_FILLED_WITHIN = timedelta(hours=1)
_REPORTED = timedelta(days=2)
_GIVEN_UP_AFTER = timedelta(hours=2)
_TRY_AGAIN = timedelta(minutes=5)
"""After a run that filled nothing, as when the login is missing."""


@dg.asset(
    name="reconciled_candles",
    deps=[candles_1m, broker_candles],
    partitions_def=trading_days,
    group_name="history",
    kinds={"python", "postgres"},
)
def _reconciled_candles(
    context: dg.AssetExecutionContext, database: MarketDatabase, broker: MarketBroker
) -> dg.MaterializeResult[None]:
    """A day's one-minute candles, compared with the broker's; the broker's replace what differs.

    Both versions are kept: see table candle_repairs. Instruments that were compared before stay as
    they are.
    """
    days = [date.fromisoformat(key) for key in context.partition_keys]
    try:
        work, now = reconciler(database.open(), broker), datetime.now(UTC)
        found = [work.reconcile(day, now) for day in days]
    except MarketPipelineError as error:
        raise dg.Failure(str(error), allow_retries=is_transient(error)) from error
    return dg.MaterializeResult(metadata=_metadata(found, broker))


reconciled_candles = _reconciled_candles.with_attributes(
    backfill_policy=dg.BackfillPolicy.single_run()  # as broker_candles, with which it runs
)


def reconciler(store: Database, market: MarketBroker) -> Reconciler:
    """Return what compares candles, by the tolerances of the settings."""
    settings = market.settings
    return Reconciler(
        store, market.name, settings.calendar, Tolerances.load(settings.tolerance_file)
    )


def _metadata(found: Sequence[Reconciled], market: MarketBroker) -> dict[str, Any]:
    compared = [each for each in found if not each.summaries.is_empty()]
    metadata: dict[str, Any] = {
        name: sum(int(each.summaries[name].sum()) for each in compared) for name in _COUNTS
    }
    metadata |= {
        "instruments": sum(each.summaries.height for each in compared),
        "compared before": sum(each.done_before for each in found),
        "session not over": sum(len(each.not_closed) for each in found),
        "not fetched": [name for each in found for name in each.not_fetched][:_SHOWN],
    }
    tolerances = Tolerances.load(market.settings.tolerance_file)
    texts = [
        report(each.day, market.name, each.summaries, each.notable, tolerances)
        for each in compared[-_REPORTS:]
    ]
    return metadata | ({"report": dg.MetadataValue.md("\n\n".join(texts))} if texts else {})


@checks.asset_check(asset=reconciled_candles)
def candles_agree_with_broker(
    context: dg.AssetCheckExecutionContext, database: MarketDatabase
) -> dg.AssetCheckResult:
    """Outside recorded gaps our candles were the broker's, within tolerance.

    A warning: what differed is repaired. An error: candles of ours stay that the broker has not, or
    it has none of an instrument.
    """
    day = checked_day(context)
    rows = of_day(database.open(), "reconciliations_of_day", day)
    unexplained = rows.filter(pl.col("unexplained") > 0)
    unsettled = rows.filter(pl.col("verdict") == Outcome.UNSETTLED)
    is_error = not unsettled.is_empty()
    worst = pl.concat([unsettled, unexplained]).unique("name")
    columns = ["name", "verdict", "unexplained", "differing", "missing", "extra"]
    return dg.AssetCheckResult(
        passed=worst.is_empty(),
        severity=dg.AssetCheckSeverity.ERROR if is_error else dg.AssetCheckSeverity.WARN,
        metadata={
            "day": str(day),
            "instruments": rows.height,
            "with differences": unexplained.height,
            "unsettled": unsettled.height,
            **worst_rows(worst, columns, by=["unexplained", "extra"]),
        },
    )


@checks.asset_check(asset=reconciled_candles)
def gaps_are_filled(database: MarketDatabase, broker: MarketBroker) -> dg.AssetCheckResult:
    """No gap has waited for an hour to be filled, and none was given up."""
    rows = database.open().query(
        "unfilled_gaps",
        ended_before=datetime.now(UTC) - _FILLED_WITHIN,
        given_up_since=datetime.now(UTC) - _REPORTED,
    )
    return dg.AssetCheckResult(
        passed=rows.is_empty(),
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "unfilled": rows.height,
            **worst_rows(rows, ["gap", "cause", "ended_at", "why"], by=["gap"], label="gaps"),
        },
    )


daily_job = dg.define_asset_job(
    "daily_history",
    selection=dg.AssetSelection.assets(broker_candles, reconciled_candles),
    description="Fetch the candles of a day that is over and compare ours with them.",
    tags=RUN_TAGS,
)


@dg.schedule(
    job=daily_job,
    cron_schedule=["15 16 * * *", "30 0 * * *"],  # after shares and their derivatives; after MCX
    execution_timezone=TIMEZONE,
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
def reconcile_candles(
    context: dg.ScheduleEvaluationContext, broker: MarketBroker
) -> dg.RunRequest | dg.SkipReason:
    """Compare a day's candles once its exchanges are closed; at night those of the day before."""
    at = context.scheduled_execution_time
    day = closed_day(at)
    if not broker.settings.calendar.is_trading_day(day):
        return dg.SkipReason(f"{day} was not a trading day")
    config = {"ops": {"broker_candles": {"config": {"closed_only": True}}}}
    return dg.RunRequest(
        run_key=f"history/{at:%Y-%m-%dT%H:%M}", partition_key=str(day), run_config=config
    )


@dg.op
def fill_gaps(
    context: dg.OpExecutionContext, database: MarketDatabase, broker: MarketBroker
) -> None:
    """Let the broker's candles replace ours where packets were missed."""
    store, stop = database.open(), Event()
    try:
        work = backfill(store, broker, broker.open(store, Priority.URGENT, stop.is_set), stop)
        repairer = Repairer(store, broker.name, work, reconciler(store, broker))
        filled = repairer.repair(datetime.now(UTC))
    except MarketPipelineError as error:
        raise dg.Failure(str(error), allow_retries=False) from error
    finally:
        stop.set()
    context.add_output_metadata(filled._asdict())


@dg.job(executor_def=dg.in_process_executor, tags={**BATCH_TAGS, "dagster/max_runtime": "7200"})
def gap_repair() -> None:
    """Fill the gaps that have been recorded, the newest first."""
    fill_gaps()


@dg.sensor(
    job=gap_repair,
    minimum_interval_seconds=29,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def gap_sensor(
    context: dg.SensorEvaluationContext, database: MarketDatabase
) -> dg.SensorResult | dg.SkipReason:
    """Fill gaps as soon as the minutes they touch have closed and settled."""
    now = datetime.now(UTC)
    waiting = gaps.to_repair(database.open(), now - SETTLES_WITHIN, now)
    if not waiting:
        return dg.SkipReason("no gap waits")
    if is_unfinished(context.instance, gap_repair.name, now - _GIVEN_UP_AFTER):
        return dg.SkipReason("the previous run has not finished")
    key = ",".join(f"{gap.gap_id}:{gap.repair_attempts}" for gap in waiting)
    seen = json.loads(context.cursor) if context.cursor else {}
    if seen.get("key") == key and now < datetime.fromisoformat(seen["at"]) + _TRY_AGAIN:
        return dg.SkipReason(f"{len(waiting)} gaps wait; tried at {seen['at']}")
    request = dg.RunRequest(run_key=f"gaps/{waiting[0].gap_id}/{now.isoformat()}")
    cursor = json.dumps({"key": key, "at": now.isoformat()})
    return dg.SensorResult(run_requests=[request], cursor=cursor)
