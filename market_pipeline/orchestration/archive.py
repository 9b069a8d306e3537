"""Days that are over, archived outside the database; whether their archive is still whole."""

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from typing import Any

import dagster as dg

from market_pipeline.archive.day import Reached, write_day
from market_pipeline.archive.layout import ArchivedKind
from market_pipeline.archive.store import Store, open_store
from market_pipeline.archive.verifying import verify_within
from market_pipeline.config import Settings
from market_pipeline.errors import ArchiveError, MarketPipelineError, is_transient
from market_pipeline.orchestration import checks
from market_pipeline.orchestration.candles import candles_1m
from market_pipeline.orchestration.partitions import TIMEZONE, trading_days
from market_pipeline.orchestration.resources import MarketBroker, MarketDatabase
from market_pipeline.orchestration.ticks import ticks
from market_pipeline.sessions import trading_date
from market_pipeline.storage import archives
from market_pipeline.storage.archives import Certificate
from market_pipeline.storage.database import Database

_RUN_TAGS = {"dagster/max_runtime": "43200"}  # a day over a slow line takes hours
_VERIFY_SECONDS = 60.0
_SHOWN = 20


def store_of(settings: Settings) -> Store:
    """Return the archive that the settings name.

    Raises:
        ConfigurationError: there is no such kind of store.
    """
    return open_store(settings.archive_url, settings.market_pipeline_home)


@dg.asset(
    deps=[ticks, candles_1m],
    partitions_def=trading_days,
    group_name="archive",
    kinds={"python", "parquet"},
    pool="tick_archive",
    retry_policy=dg.RetryPolicy(max_retries=5, delay=60, backoff=dg.Backoff.EXPONENTIAL),
)
def tick_archive(
    context: dg.AssetExecutionContext, database: MarketDatabase, broker: MarketBroker
) -> Iterator[dg.MaterializeResult[None]]:
    """A day's ticks and candles as Parquet, read back and found equal to the database.

    A day that is archived as it is stays. With the newest day go those that are no trading days and
    have ticks all the same; what is wrong with one of those fails the run once the day's own
    result is told.
    """
    day = date.fromisoformat(context.partition_key)
    try:
        market, store = database.open(), store_of(broker.settings)
        started = time.monotonic()
        certificate = write_day(market, store, day, context.log.debug)
        seconds = time.monotonic() - started
        odd = _without_partition(_due(market, store))
        problems = _problems(market, store, odd, context.log.debug)
        metadata = _metadata(market, certificate, seconds)
    except MarketPipelineError as error:
        raise dg.Failure(str(error), allow_retries=is_transient(error)) from error
    yield dg.MaterializeResult(metadata=metadata)
    if problems:
        raise dg.Failure(
            f"{len(problems)} days without a partition are not archived: "
            f"{'; '.join(f'{each}: {error}' for each, error in list(problems.items())[:_SHOWN])}",
            allow_retries=any(is_transient(error) for error in problems.values()),
        )


def _problems(
    market: Database, store: Store, days: Sequence[date], reached: Reached
) -> dict[date, MarketPipelineError]:
    """Archive days; return those that could not be, and why."""
    problems: dict[date, MarketPipelineError] = {}
    for day in days:
        try:
            write_day(market, store, day, reached)
        except MarketPipelineError as error:
            problems[day] = error
    return problems


def _due(market: Database, store: Store) -> list[date]:
    """Return the days before today that are to be archived."""
    return archives.due(market, store.location, trading_date(datetime.now(UTC)))


def _without_partition(days: Sequence[date]) -> list[date]:
    return [day for day in days if not trading_days.has_partition_key(str(day))]


def _metadata(market: Database, found: Certificate, seconds: float) -> dict[str, Any]:
    stored = market.query("bytes_of_tick_day", day=found.day)["bytes"].item()
    files = archives.files(market, found.day)
    of_ticks = sum(file.bytes for file in files if file.kind == ArchivedKind.TICKS)
    metadata: dict[str, Any] = {
        "dagster/row_count": found.ticks,
        "standby ticks": found.standby_ticks,
        "candles": found.candles,
        "files": len(files),
        "bytes": found.bytes,
        "seconds": round(seconds, 1),
        "sha256": found.sha256,
        "location": found.location,
        "archived at": dg.MetadataValue.timestamp(found.archived_at),
    }
    if stored and of_ticks:
        metadata["times smaller than the table"] = round(stored / of_ticks, 1)
    return metadata


@checks.asset_check(asset=tick_archive)
def archive_is_whole(database: MarketDatabase, broker: MarketBroker) -> dg.AssetCheckResult:
    """Every file of the archive that was looked at is as it was certified, and no other is there.

    The values of the newest two days; the bytes of others for a minute, those first that were
    not looked at for the longest. Files that are in no certificate are a warning.
    """
    try:
        found = verify_within(database.open(), store_of(broker.settings), _VERIFY_SECONDS)
    except ArchiveError as error:
        return dg.AssetCheckResult(passed=False, metadata={"problem": str(error)})
    worst, beside = (dict(list(each.items())[:_SHOWN]) for each in (found.damaged, found.foreign))
    return dg.AssetCheckResult(
        passed=not (found.damaged or found.foreign),
        severity=dg.AssetCheckSeverity.ERROR if found.damaged else dg.AssetCheckSeverity.WARN,
        metadata={
            "archived days": found.days,
            "verified": found.verified,
            "damaged": len(found.damaged),
            "damage": {str(day): damage for day, damage in worst.items()},
            "in no certificate": {str(day): foreign for day, foreign in beside.items()},
        },
    )


archive_job = dg.define_asset_job(
    "archive",
    selection=dg.AssetSelection.assets(tick_archive),
    description="Archive a day that is over, and verify what was archived.",
    tags=_RUN_TAGS,
)


@dg.schedule(
    job=archive_job,
    # After the candles were compared with the broker's; and for who switches off at night.
    cron_schedule=["30 1 * * *", "45 8 * * *", "45 16 * * *"],
    execution_timezone=TIMEZONE,
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
def archive_days(
    context: dg.ScheduleEvaluationContext, database: MarketDatabase, broker: MarketBroker
) -> list[dg.RunRequest] | dg.SkipReason:
    """Archive each day that is over and not archived as it is, those missed before as well."""
    due = _due(database.open(), store_of(broker.settings))
    if not due:
        return dg.SkipReason("every day that is over is archived")
    return list(_requests(due, context.scheduled_execution_time))


def _requests(due: Sequence[date], at: datetime) -> Iterator[dg.RunRequest]:
    odd = set(_without_partition(due))
    days = [str(day) for day in due if day not in odd] or [str(_last_partition())]
    for day in days:
        yield dg.RunRequest(run_key=f"archive/{day}/{at:%Y-%m-%dT%H:%M}", partition_key=day)


def _last_partition() -> str:
    """Return the last trading day that is over, whose run archives what has no partition."""
    today = str(trading_date(datetime.now(UTC)))
    return next(day for day in reversed(trading_days.get_partition_keys()) if day < today)
