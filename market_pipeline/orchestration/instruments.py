"""The instrument master: fetched from the broker each trading morning, and whether it is sane."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from itertools import combinations
from typing import Any

import dagster as dg
import polars as pl

from market_pipeline.errors import MarketPipelineError, is_transient
from market_pipeline.orchestration.partitions import TIMEZONE
from market_pipeline.orchestration.resources import BATCH_TAGS, MarketBroker, MarketDatabase
from market_pipeline.sessions import EXCHANGE_TZ, trading_date
from market_pipeline.storage import instrument_history, joined_masters
from market_pipeline.storage import instruments as instrument_store
from market_pipeline.storage.database import Database

_PLAUSIBLE_LOSS = 0.02
"""Share of the instruments that may vanish on one day before they expire."""

_MOST_ROWS = 50  # of changes in the metadata

_DUE = time(8, 30, tzinfo=EXCHANGE_TZ)
_GRACE = timedelta(minutes=15)


@dg.asset(
    group_name="reference",
    kinds={"python", "postgres"},
    retry_policy=dg.RetryPolicy(max_retries=5, delay=30, backoff=dg.Backoff.EXPONENTIAL),
)
def instruments(
    context: dg.AssetExecutionContext, database: MarketDatabase, broker: MarketBroker
) -> dg.MaterializeResult[None]:
    """Every contract the broker offers, as one row for ever; delisted ones keep theirs."""
    today = trading_date(datetime.now(UTC))
    try:
        store = database.open()
        master = broker.open(store).instruments()
        yields_to = broker.settings.broker.yields_to
        counts = instrument_store.sync(store, broker.name, master, today, yields_to)
        changed = _changes_of(store, broker.name, today)
    except MarketPipelineError as error:
        raise dg.Failure(str(error), allow_retries=is_transient(error)) from error
    context.log.info(f"{counts.total} instruments from {broker.name}")
    return dg.MaterializeResult(
        metadata={
            "broker": broker.name,
            "dagster/row_count": counts.total,
            **{
                name.replace("_", " "): n for name, n in counts._asdict().items() if name != "total"
            },
            "changes": changed,
        }
    )


def _changes_of(store: Database, broker: str, today: date) -> dg.TableMetadataValue:
    """Return the new names and sizes of a day, those of the day's earlier syncs included."""
    found = instrument_history.changes(store, broker, today, today, ("renamed", "changed"))
    return _table(found.select("change", "name", "field", "before", "after").head(_MOST_ROWS))


def _table(rows: pl.DataFrame) -> dg.TableMetadataValue:
    return dg.MetadataValue.table(
        records=[dg.TableRecord(row) for row in rows.cast(pl.String).fill_null("").to_dicts()],
        schema=dg.TableSchema([dg.TableColumn(name) for name in rows.columns]),
    )


@dg.multi_asset_check(
    specs=[
        dg.AssetCheckSpec("instruments_are_known", asset=instruments),
        dg.AssetCheckSpec("few_instruments_vanish", asset=instruments),
        dg.AssetCheckSpec("subscriptions_are_listed", asset=instruments),
    ]
)
def instrument_checks(
    database: MarketDatabase, broker: MarketBroker
) -> Iterator[dg.AssetCheckResult]:
    """There are instruments, hardly one has vanished today, and all subscribed ones are listed."""
    today = trading_date(datetime.now(UTC))
    store = database.open()
    counts = store.query("instrument_counts", broker=broker.name, today=today).row(0, named=True)
    yield dg.AssetCheckResult(
        check_name="instruments_are_known",
        passed=counts["listed"] > 0,
        metadata={"listed": counts["listed"]},
    )
    lost = counts["vanished"] / max(counts["listed"] + counts["vanished"], 1)
    yield dg.AssetCheckResult(
        check_name="few_instruments_vanish",
        passed=lost <= _PLAUSIBLE_LOSS,
        metadata={"vanished before expiry": counts["vanished"], "share": lost},
    )
    unlisted = store.query("unlisted_subscriptions", broker=broker.name)
    yield dg.AssetCheckResult(
        check_name="subscriptions_are_listed",
        passed=unlisted.is_empty(),
        severity=dg.AssetCheckSeverity.WARN,
        description="They receive no ticks: unsubscribe them, or correct their names.",
        metadata={"count": unlisted.height, "symbols": unlisted["symbol"].head(50).to_list()},
    )


@dg.asset_check(asset=instruments)
def brokers_agree_on_instruments(database: MarketDatabase) -> dg.AssetCheckResult:
    """Brokers whose masters are in force say the same lot, tick and expiry of each contract.

    Contracts that one of them alone offers are counted; they are no fault.
    """
    store = database.open()
    found = [
        joined_masters.joined(store, *pair)
        for pair in combinations(joined_masters.brokers(store), 2)
    ]
    conflicts = sum(each.conflict_count for each in found)
    metadata: dict[str, Any] = {"conflicts": conflicts}
    for each in found:
        pair = f"{each.first} and {each.second}"
        metadata[pair] = _table(each.counts)
        if not each.conflicts.is_empty():
            metadata[f"{pair}: some conflicts"] = _table(each.conflicts)
    return dg.AssetCheckResult(
        passed=not conflicts, severity=dg.AssetCheckSeverity.WARN, metadata=metadata
    )


instrument_sync = dg.define_asset_job(
    "instrument_sync", selection=dg.AssetSelection.assets(instruments), tags=BATCH_TAGS
)


@dg.schedule(
    job=instrument_sync,
    cron_schedule=f"{_DUE.minute} {_DUE.hour} * * *",
    execution_timezone=TIMEZONE,
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
def sync_instruments(
    context: dg.ScheduleEvaluationContext, broker: MarketBroker
) -> dg.RunRequest | dg.SkipReason:
    """Sync before the first exchange opens; Kite publishes its master at about 08:00."""
    day = trading_date(context.scheduled_execution_time)
    if not broker.settings.calendar.is_trading_day(day):
        return dg.SkipReason(f"{day} is not a trading day")
    return dg.RunRequest(run_key=f"instruments/{day}")


@dg.sensor(
    job=instrument_sync,
    minimum_interval_seconds=29,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def missed_sync_sensor(
    context: dg.SensorEvaluationContext, broker: MarketBroker
) -> dg.RunRequest | dg.SkipReason:
    """Sync on the very first start, and when nothing ran at the time of the schedule."""
    event = context.instance.get_latest_materialization_event(instruments.key)
    now = datetime.now(UTC)
    due = missed_sync(datetime.fromtimestamp(event.timestamp, UTC) if event else None, now)
    day = trading_date(now)
    if due is None or not (event is None or broker.settings.calendar.is_trading_day(day)):
        return dg.SkipReason("instruments are synchronised")
    # A failed one is tried again each hour.
    return dg.RunRequest(run_key=f"instruments/{due:%Y-%m-%d}/{now:%Y-%m-%dT%H}")


def missed_sync(last: datetime | None, now: datetime) -> datetime | None:
    """Return when a sync should have happened that has not, None if there is none."""
    due = datetime.combine(trading_date(now), _DUE)
    if last is None:
        return due
    return due if last < due and now > due + _GRACE else None
