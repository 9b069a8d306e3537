"""Candles from the broker: those of a day, those of contracts about to expire, whether all came."""

import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from threading import Event
from typing import Any

import dagster as dg

from market_pipeline.brokers.base import Broker
from market_pipeline.brokers.limits import Priority
from market_pipeline.errors import ConfigurationError, MarketPipelineError, is_transient
from market_pipeline.history import expiring
from market_pipeline.history.backfill import MINUTE, Backfill, Scope
from market_pipeline.history.fetching import Source, Totals
from market_pipeline.history.planning import Plan
from market_pipeline.market import Interval
from market_pipeline.orchestration import checks
from market_pipeline.orchestration.instruments import instruments
from market_pipeline.orchestration.partitions import TIMEZONE, trading_days
from market_pipeline.orchestration.resources import MarketBroker, MarketDatabase
from market_pipeline.sessions import trading_date
from market_pipeline.storage.database import Database

POOL = "broker_history"
"""One run at a time asks for candles: a second one would only share the requests of the first."""

RUN_TAGS = {"dagster/max_runtime": "43200"}
"""Of jobs that fetch: years of candles take hours."""

RETRY = dg.RetryPolicy(max_retries=5, delay=60, backoff=dg.Backoff.EXPONENTIAL)
_NIGHT = timedelta(hours=6)
_RECENT = timedelta(days=7)
_REPORT_SECONDS = 30.0
_SHOWN = 20


class HistoryConfig(dg.Config):
    """Whose candles: those of the subscribed instruments unless something is named."""

    instruments: list[str] = []
    underlyings: list[str] = []
    segments: list[str] = []
    again: bool = False
    closed_only: bool = False


@dg.asset(
    name="broker_candles",
    deps=[instruments],
    partitions_def=trading_days,
    group_name="history",
    kinds={"python", "postgres"},
    pool=POOL,
    retry_policy=RETRY,
)
def _broker_candles(
    context: dg.AssetExecutionContext,
    config: HistoryConfig,
    database: MarketDatabase,
    broker: MarketBroker,
) -> dg.MaterializeResult[None]:
    """One-minute candles as the broker has them.

    A run over many days asks for them together, in as few requests as the broker's longest allow,
    and for nothing that was fetched before.
    """
    days = [date.fromisoformat(key) for key in context.partition_keys]
    scope = Scope(config.instruments, config.underlyings, config.segments)
    now = datetime.now(UTC)
    is_recent = min(days) >= trading_date(now) - _RECENT
    return _fetched(
        context,
        (database.open(), broker),
        lambda work: work.plan(work.contracts(scope), days, now, config.again, config.closed_only),
        Priority.DAILY if is_recent else Priority.HISTORY,
    )


# As an argument of the decorator it prints that it is in beta.
broker_candles = _broker_candles.with_attributes(backfill_policy=dg.BackfillPolicy.single_run())


@dg.asset(
    deps=[instruments],
    group_name="history",
    kinds={"python", "postgres"},
    pool=POOL,
    retry_policy=RETRY,
)
def expiring_contracts(
    context: dg.AssetExecutionContext, database: MarketDatabase, broker: MarketBroker
) -> dg.MaterializeResult[None]:
    """The candles of contracts that expire within days, as long as the broker knows their tokens.

    All contracts of the underlyings of everything subscribed.
    """
    now, store = datetime.now(UTC), database.open()
    contracts = expiring.about_to_expire(store, broker.name, now)
    return _fetched(
        context,
        (store, broker),
        lambda work: work.plan(contracts, expiring.days(now), now),
        Priority.DAILY,
    )


def _fetched(
    context: dg.AssetExecutionContext,
    where: tuple[Database, MarketBroker],
    planned: Callable[[Backfill], Plan],
    priority: Priority,
) -> dg.MaterializeResult[None]:
    store, market = where
    stop = Event()
    try:
        client = market.open(store, priority, stop.is_set)
        work = backfill(store, market, client, stop)
        plan = planned(work)
        seconds = len(plan.requests) / client.history_budget.rate
        context.log.info(f"{len(plan.requests)} requests, {seconds:.0f} s at least")
        totals = work.fetch(
            plan, context.asset_key.to_user_string(), _Progress(context, len(plan.requests))
        )
    except MarketPipelineError as error:
        raise dg.Failure(str(error), allow_retries=is_transient(error)) from error
    for failure in totals.failures[:_SHOWN]:
        context.log.warning(failure)
    return dg.MaterializeResult(metadata=outcome(plan, totals))


def backfill(
    store: Database,
    market: MarketBroker,
    client: Broker,
    stop: Event | None = None,
    interval: Interval = MINUTE,
) -> Backfill:
    """Return what fetches candles of one length from a broker.

    Raises:
        RequestRefused: the broker has none of that length.
    """
    source = Source(store, market.name, client, interval, stop or Event())
    return Backfill(source, market.settings.calendar)


class _Progress:
    """Tells Dagster twice a minute how far the requests have come, how fast, and how long yet."""

    def __init__(self, context: dg.AssetExecutionContext, requests: int) -> None:
        self._context, self._requests = context, requests
        self._began = self._told = time.monotonic()

    def __call__(self, totals: Totals) -> None:
        now = time.monotonic()
        if now - self._told < _REPORT_SECONDS:
            return
        self._told = now
        rate = totals.done / (now - self._began)
        left = (self._requests - totals.done) / rate
        progress: dict[str, Any] = {
            "requests": totals.done,
            "of": self._requests,
            "requests per second": round(rate, 2),
            "seconds left": round(left),
            "candles": totals.candles,
        }
        key = self._context.asset_key
        self._context.log_event(dg.AssetObservation(key, metadata=progress))


def outcome(plan: Plan, totals: Totals) -> dict[str, Any]:
    """Return what a plan was about and what came of it, as metadata."""
    counts = {name: value for name, value in asdict(totals).items() if name != "failures"}
    return {
        **counts,
        "days of instruments": plan.wanted,
        "fetched before": plan.covered,
        "before listing": plan.not_listed,
        "failures": totals.failures[:_SHOWN],
        "no longer offered": plan.no_token[:_SHOWN],
    }


@checks.asset_check(asset=broker_candles)
def all_were_fetched(
    context: dg.AssetCheckExecutionContext, database: MarketDatabase, broker: MarketBroker
) -> dg.AssetCheckResult:
    """The broker was asked, after the close, for the candles of each subscribed instrument."""
    day, now = checked_day(context), datetime.now(UTC)
    work = backfill(database.open(), broker, broker.open())
    try:
        plan = work.plan(work.contracts(Scope()), [day], now, closed_only=True)
    except ConfigurationError as error:  # nothing is subscribed, or the calendar ends
        return dg.AssetCheckResult(passed=True, metadata={"note": str(error)})
    missing = [request.contract.name for request in plan.requests]
    return dg.AssetCheckResult(
        passed=not missing,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "day": str(day),
            "fetched": plan.covered,
            "missing": len(missing),
            "instruments": missing[:_SHOWN],
            "no longer offered": plan.no_token[:_SHOWN],
        },
    )


@checks.asset_check(asset=expiring_contracts)
def expired_contracts_are_saved(
    database: MarketDatabase, broker: MarketBroker
) -> dg.AssetCheckResult:
    """Of each contract that expired in the last week all candles were fetched in time."""
    now, store = datetime.now(UTC), database.open()
    today = trading_date(now)
    first = today - timedelta(days=expiring.DAYS_BACK)
    gone = expiring.contracts(store, broker.name, first, today)
    lacking = expiring.incomplete(backfill(store, broker, broker.open()), gone, now)
    return dg.AssetCheckResult(
        passed=not lacking,
        metadata={
            "expired since": str(first),
            "contracts": len(gone),
            "incomplete": len(lacking),
            "names": lacking[:_SHOWN],
        },
    )


expiry_job = dg.define_asset_job(
    "expiring_contracts_job",
    selection=dg.AssetSelection.assets(expiring_contracts),
    description="Save the candles of contracts that are about to expire.",
    tags=RUN_TAGS,
)


@dg.schedule(
    job=expiry_job,
    cron_schedule=["45 16 * * *", "0 1 * * *"],  # after shares and their derivatives; after MCX
    execution_timezone=TIMEZONE,
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
def save_expiring_contracts(
    context: dg.ScheduleEvaluationContext, broker: MarketBroker
) -> dg.RunRequest | dg.SkipReason:
    """Fetch contracts after their last session, hours before their tokens are given away."""
    day = closed_day(context.scheduled_execution_time)
    if not broker.settings.calendar.is_trading_day(day):
        return dg.SkipReason(f"{day} was not a trading day")
    return dg.RunRequest()


def closed_day(at: datetime) -> date:
    """Return the day whose sessions a schedule is about: at night the one that is over."""
    return trading_date(at - _NIGHT)


def checked_day(context: dg.AssetCheckExecutionContext) -> date:
    """Return the trading date of the run's partition, else the one before today."""
    run = context.op_execution_context
    if run.has_partition_key:
        return date.fromisoformat(run.partition_key)
    return trading_date(datetime.now(UTC)) - timedelta(days=1)
