"""Daily upkeep: days of ticks are created ahead and dropped in time, old runs are forgotten."""

from datetime import UTC, date, datetime, timedelta

import dagster as dg

from market_pipeline.errors import DatabaseError, MarketPipelineError, is_transient
from market_pipeline.orchestration.partitions import TIMEZONE
from market_pipeline.orchestration.resources import BATCH_TAGS, MarketBroker, MarketDatabase
from market_pipeline.orchestration.ticks import tick_checks, tick_stream
from market_pipeline.sessions import bounds, trading_date
from market_pipeline.storage import candles
from market_pipeline.storage.database import Database, run

_DAYS_AHEAD = 3
_KEEP_RUNS = timedelta(days=7)
_REFRESHES = 5
_RUNS_AT_ONCE = 200
_FINISHED = [
    dg.DagsterRunStatus.SUCCESS,
    dg.DagsterRunStatus.FAILURE,
    dg.DagsterRunStatus.CANCELED,
]
_RETRY = dg.RetryPolicy(max_retries=5, delay=60, backoff=dg.Backoff.EXPONENTIAL)


@dg.op(retry_policy=_RETRY)
def keep_tick_days(
    context: dg.OpExecutionContext, database: MarketDatabase, broker: MarketBroker
) -> None:
    """Create the next days of ticks; drop those past retention once their candles are stored."""
    today = trading_date(datetime.now(UTC))
    try:
        store = database.open()
        ensure_days(store, today)
        dropped = drop_days(store, today - timedelta(days=broker.settings.tick_retention_days))
    except MarketPipelineError as error:
        raise dg.Failure(str(error), allow_retries=is_transient(error)) from error
    context.add_output_metadata({"dropped": [str(day) for day in dropped]})


@dg.op
def forget_old_runs(context: dg.OpExecutionContext) -> None:
    """Delete runs that Dagster would keep for ever, a row for each minute of streaming."""
    before = datetime.now(UTC) - _KEEP_RUNS
    forgotten = sum(
        forget_runs(context.instance, job.name, before) for job in (tick_stream, tick_checks)
    )
    context.add_output_metadata({"forgotten": forgotten})


@dg.job(executor_def=dg.in_process_executor, tags=BATCH_TAGS)
def partition_upkeep() -> None:
    """Keep as many days of ticks, and of streaming runs, as promised."""
    keep_tick_days()
    forget_old_runs()


partition_upkeep_schedule = dg.ScheduleDefinition(
    job=partition_upkeep,
    cron_schedule="30 0 * * *",  # every exchange is closed
    execution_timezone=TIMEZONE,
    default_status=dg.DefaultScheduleStatus.RUNNING,
)


def ensure_days(store: Database, today: date) -> None:
    """Create today's partition of ticks and the next ones."""
    for ahead in range(_DAYS_AHEAD + 1):
        store.execute("ensure_tick_day", day=today + timedelta(days=ahead))


def drop_days(store: Database, before: date) -> list[date]:
    """Drop the days of ticks before a date, oldest first, and return them.

    No candle is lost: a day goes only when everything in it is in the stored candles.

    Raises:
        DatabaseUnavailable: somebody reads ticks for long; try again, nothing is half done.
        DatabaseError: late ticks of such a day keep arriving.
    """
    days: list[date] = store.query("expired_tick_days", before=before)["day"].to_list()
    for day in days:
        _drop_day(store, day)
    return days


def _drop_day(store: Database, day: date) -> None:
    _, end = bounds(day)
    for _ in range(_REFRESHES):
        candles.refresh(store, at_least=end)
        if _drop_if_stored(store, day, end):
            return
    raise DatabaseError(f"ticks of {day} are kept: late ones arrive faster than they are stored")


def _drop_if_stored(store: Database, day: date, end: datetime) -> bool:
    """Drop a day unless a tick came since the refresh that no stored candle knows."""
    with store.transaction() as connection:
        # Dropping a partition locks all of ticks: rather fail than make the writers wait.
        run(connection, "set_lock_timeout")
        run(connection, "lock_candles")  # from here on no tick is being written
        if run(connection, "forget_ticks_before", before=end).rowcount == 0:
            return False
        run(connection, "drop_tick_day", day=day)
    return True


def forget_runs(instance: dg.DagsterInstance, job_name: str, before: datetime) -> int:
    """Delete a job's finished runs that were created before an instant; return how many."""
    finished = dg.RunsFilter(job_name=job_name, statuses=_FINISHED, created_before=before)
    forgotten = 0
    while records := instance.get_run_records(finished, limit=_RUNS_AT_ONCE):
        for record in records:
            instance.delete_run(record.dagster_run.run_id)
        forgotten += len(records)
    return forgotten
