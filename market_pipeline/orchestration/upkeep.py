"""Daily upkeep: days of ticks are created ahead and dropped in time, old runs are forgotten."""

from datetime import UTC, date, datetime, timedelta

import dagster as dg

from market_pipeline.archive.dropping import drop_expired
from market_pipeline.archive.store import open_store
from market_pipeline.errors import MarketPipelineError, is_transient
from market_pipeline.orchestration.partitions import TIMEZONE
from market_pipeline.orchestration.resources import BATCH_TAGS, MarketBroker, MarketDatabase
from market_pipeline.orchestration.ticks import tick_checks, tick_stream
from market_pipeline.sessions import trading_date
from market_pipeline.storage.database import Database

_DAYS_AHEAD = 3
_KEEP_RUNS = timedelta(days=7)
_RUNS_AT_ONCE = 200
_FINISHED = [
    dg.DagsterRunStatus.SUCCESS,
    dg.DagsterRunStatus.FAILURE,
    dg.DagsterRunStatus.CANCELED,
]
_TAGS = {**BATCH_TAGS, "dagster/max_runtime": "14400"}
"""Days that the archive was not there for are archived first, one after the other."""

_RETRY = dg.RetryPolicy(max_retries=5, delay=60, backoff=dg.Backoff.EXPONENTIAL)


@dg.op(retry_policy=_RETRY)
def keep_tick_days(
    context: dg.OpExecutionContext, database: MarketDatabase, broker: MarketBroker
) -> None:
    """Create the next days of ticks; drop those past retention that are archived.

    Those that are not are archived first, if that is possible. What must stay fails the run.
    """
    today, settings = trading_date(datetime.now(UTC)), broker.settings
    before = today - timedelta(days=settings.tick_retention_days)
    try:
        store = database.open()
        ensure_days(store, today)
        archive = open_store(settings.archive_url, settings.market_pipeline_home)
        found = drop_expired(store, archive, before)
    except MarketPipelineError as error:
        raise dg.Failure(str(error), allow_retries=is_transient(error)) from error
    if found.kept:
        raise dg.Failure(
            f"ticks of {len(found.kept)} days stay that are older than TICK_RETENTION_DAYS",
            metadata={str(day): reason for day, reason in found.kept.items()},
            allow_retries=found.may_try_again,
        )
    context.add_output_metadata({"dropped": [str(day) for day in found.dropped]})


@dg.op
def forget_old_runs(context: dg.OpExecutionContext) -> None:
    """Delete runs that Dagster would keep for ever, a row for each minute of streaming."""
    before = datetime.now(UTC) - _KEEP_RUNS
    forgotten = sum(
        forget_runs(context.instance, job.name, before) for job in (tick_stream, tick_checks)
    )
    context.add_output_metadata({"forgotten": forgotten})


@dg.job(executor_def=dg.in_process_executor, tags=_TAGS)
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


def forget_runs(instance: dg.DagsterInstance, job_name: str, before: datetime) -> int:
    """Delete a job's finished runs that were created before an instant; return how many."""
    finished = dg.RunsFilter(job_name=job_name, statuses=_FINISHED, created_before=before)
    forgotten = 0
    while records := instance.get_run_records(finished, limit=_RUNS_AT_ONCE):
        for record in records:
            instance.delete_run(record.dagster_run.run_id)
        forgotten += len(records)
    return forgotten
