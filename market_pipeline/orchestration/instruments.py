"""The instruments: each broker's master, fetched each trading morning, and whether it is sane."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from itertools import combinations
from typing import Any

import dagster as dg
import polars as pl

from market_pipeline import brokers
from market_pipeline.config import Settings
from market_pipeline.errors import MarketPipelineError, is_transient
from market_pipeline.orchestration import checks
from market_pipeline.orchestration.partitions import TIMEZONE
from market_pipeline.orchestration.resources import BATCH_TAGS, MarketBroker, MarketDatabase
from market_pipeline.sessions import EXCHANGE_TZ, trading_date
from market_pipeline.storage import instrument_history, joined_masters
from market_pipeline.storage import instruments as instrument_store
from market_pipeline.storage.budgets import DatabaseBudgets
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
    """Every contract a broker offers, as one row for ever; delisted ones keep theirs.

    A master that fails leaves the other broker's to be synchronised, and fails the run at the end.
    """
    metadata: dict[str, Any] = {"broker": broker.settings.broker_names}
    errors: dict[str, MarketPipelineError] = {}
    for settings in broker.settings.each_broker:
        name = settings.broker.value
        try:
            told = _synchronised(database.open(), settings)
        except MarketPipelineError as error:
            errors[name] = error
            continue
        context.log.info(f"{told['dagster/row_count']} instruments from {name}")
        metadata |= _of(broker, name, told)
    if errors:
        raise dg.Failure(
            _failures(errors, broker.names),
            metadata=metadata,
            allow_retries=any(is_transient(error) for error in errors.values()),
        ) from next(iter(errors.values()))
    return dg.MaterializeResult(metadata=metadata)


def _synchronised(store: Database, settings: Settings) -> dict[str, Any]:
    """Synchronise with the master of the only broker of some settings; return what to tell.

    Raises:
        MarketPipelineError: nothing was changed.
    """
    today, broker = trading_date(datetime.now(UTC)), settings.broker
    master = brokers.open_broker(settings, DatabaseBudgets(store)).instruments()
    counts = instrument_store.sync(store, broker.value, master, today, broker.yields_to)
    told = {name.replace("_", " "): n for name, n in counts._asdict().items() if name != "total"}
    changed = _changes_of(store, broker.value, today)
    return {"dagster/row_count": counts.total, **told, "changes": changed}


def _of(broker: MarketBroker, name: str, values: dict[str, Any]) -> dict[str, Any]:
    """Return metadata of one of the brokers; the preferred one's goes by the names it has alone."""
    if name == broker.name:
        return values
    return {f"{name}: {key.removeprefix('dagster/')}": value for key, value in values.items()}


def _failures(errors: dict[str, MarketPipelineError], names: list[str]) -> str:
    """Say what went wrong with whose master, and whose was synchronised nevertheless."""
    if len(names) == 1:
        return str(errors[names[0]])
    failed = "; ".join(f"{name} was not synchronised: {error}" for name, error in errors.items())
    others = [name for name in names if name not in errors]
    return f"{failed}. {others[0]} was" if others else failed


def _changes_of(store: Database, broker: str, today: date) -> dg.TableMetadataValue:
    """Return the new names and sizes of a day, those of the day's earlier syncs included."""
    found = instrument_history.changes(store, broker, today, today, ("renamed", "changed"))
    return _table(found.select("change", "name", "field", "before", "after").head(_MOST_ROWS))


def _table(rows: pl.DataFrame) -> dg.TableMetadataValue:
    return dg.MetadataValue.table(
        records=[dg.TableRecord(row) for row in rows.cast(pl.String).fill_null("").to_dicts()],
        schema=dg.TableSchema([dg.TableColumn(name) for name in rows.columns]),
    )


@checks.multi_asset_check(
    specs=[
        dg.AssetCheckSpec("instruments_are_known", asset=instruments),
        dg.AssetCheckSpec("few_instruments_vanish", asset=instruments),
        dg.AssetCheckSpec("subscriptions_are_listed", asset=instruments),
        dg.AssetCheckSpec("subscriptions_have_a_standby", asset=instruments),
    ]
)
def instrument_checks(
    database: MarketDatabase, broker: MarketBroker
) -> Iterator[dg.AssetCheckResult]:
    """Each broker has instruments of which hardly one has vanished today, and all subscribed ones.

    One that only one of two brokers offers is carried by that one alone.
    """
    store = database.open()
    yield from _check_counts(store, broker)
    unlisted = store.query("unlisted_subscriptions", brokers=broker.names)
    yield dg.AssetCheckResult(
        check_name="subscriptions_are_listed",
        passed=unlisted.is_empty(),
        severity=dg.AssetCheckSeverity.WARN,
        description="They receive no ticks: unsubscribe them, or correct their names.",
        metadata={"count": unlisted.height, "symbols": unlisted["symbol"].head(50).to_list()},
    )
    alone = store.query("partly_listed_subscriptions", brokers=broker.names)
    missing = alone.group_by("missing_at").agg(pl.len(), pl.col("symbol").head(50)).rows()
    yield dg.AssetCheckResult(
        check_name="subscriptions_have_a_standby",
        passed=alone.is_empty(),
        severity=dg.AssetCheckSeverity.WARN,
        description="One broker alone offers them: when its line is down nothing takes its place.",
        metadata={"count": alone.height}
        | {f"count missing at {name}": count for name, count, _ in missing}
        | {f"missing at {name}": symbols for name, _, symbols in missing},
    )


def _check_counts(store: Database, broker: MarketBroker) -> Iterator[dg.AssetCheckResult]:
    """Yield how many instruments each broker has, and how many vanished from it."""
    today = trading_date(datetime.now(UTC))
    listed: dict[str, int] = {}
    known: dict[str, Any] = {}
    vanished: dict[str, Any] = {}
    shares: list[float] = []
    for name in broker.names:
        counts = store.query("instrument_counts", broker=name, today=today).row(0, named=True)
        listed[name] = counts["listed"]
        shares.append(counts["vanished"] / max(counts["listed"] + counts["vanished"], 1))
        known |= _of(broker, name, {"listed": counts["listed"]})
        lost = {"vanished before expiry": counts["vanished"], "share": shares[-1]}
        vanished |= _of(broker, name, lost)
    yield dg.AssetCheckResult(
        check_name="instruments_are_known", passed=all(listed.values()), metadata=known
    )
    yield dg.AssetCheckResult(
        check_name="few_instruments_vanish",
        passed=max(shares) <= _PLAUSIBLE_LOSS,
        metadata=vanished,
    )


@checks.asset_check(asset=instruments)
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
