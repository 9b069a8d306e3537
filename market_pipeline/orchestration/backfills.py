"""A backfill on request: candles of some instruments, days and length, as the API orders them.

The partitions of `broker_candles` are one-minute candles of whole days from 2026 on; this is for
any length and any year.
"""

import time
from datetime import UTC, date, datetime, timedelta
from threading import Event

import dagster as dg

from market_pipeline.brokers.limits import Priority
from market_pipeline.errors import MarketPipelineError, is_transient
from market_pipeline.history.backfill import Scope
from market_pipeline.history.fetching import Totals
from market_pipeline.history.planning import Plan
from market_pipeline.market import Interval
from market_pipeline.orchestration.history import POOL, RETRY, RUN_TAGS, backfill, outcome
from market_pipeline.orchestration.resources import MarketBroker, MarketDatabase

_REPORT_SECONDS = 30.0


class BackfillConfig(dg.Config):
    """From the first trading day to the last; whose: the subscribed unless something is named."""

    first: str
    last: str
    interval: str = "1m"
    instruments: list[str] = []
    underlyings: list[str] = []
    segments: list[str] = []
    again: bool = False


@dg.op(pool=POOL, retry_policy=RETRY)
def fetch_history(
    context: dg.OpExecutionContext,
    config: BackfillConfig,
    database: MarketDatabase,
    broker: MarketBroker,
) -> None:
    """Fetch what is missing of the days in question; fails when a request did."""
    try:
        plan, totals = _fetch(context, config, database, broker)
    except MarketPipelineError as error:
        raise dg.Failure(str(error), allow_retries=is_transient(error)) from error
    metadata = outcome(plan, totals)
    context.add_output_metadata(metadata)
    if totals.failed:
        # Doing it again asks for these alone.
        raise dg.Failure(
            f"{totals.failed} of {len(plan.requests)} requests failed, the first: "
            f"{totals.failures[0]}",
            metadata=metadata,
            allow_retries=False,
        )


def _fetch(
    context: dg.OpExecutionContext,
    config: BackfillConfig,
    database: MarketDatabase,
    broker: MarketBroker,
) -> tuple[Plan, Totals]:
    store, stop = database.open(), Event()
    client = broker.open(store, Priority.HISTORY, stop.is_set)
    work = backfill(store, broker, client, stop, _interval(config.interval))
    contracts = work.contracts(Scope(config.instruments, config.underlyings, config.segments))
    plan = work.plan(contracts, _days(config), datetime.now(UTC), config.again)
    seconds = len(plan.requests) / client.history_budget.rate
    context.log.info(f"{len(plan.requests)} requests, {seconds:.0f} s at least")
    return plan, work.fetch(plan, "backfill", _Progress(context, len(plan.requests)))


def _interval(text: str) -> Interval:
    try:
        return Interval.read(text)
    except ValueError as error:
        raise dg.Failure(str(error), allow_retries=False) from error


def _days(config: BackfillConfig) -> list[date]:
    first, last = date.fromisoformat(config.first), date.fromisoformat(config.last)
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


class _Progress:
    """Tells Dagster's log twice a minute how far the requests have come."""

    def __init__(self, context: dg.OpExecutionContext, requests: int) -> None:
        self._context, self._requests = context, requests
        self._told = time.monotonic()

    def __call__(self, totals: Totals) -> None:
        if time.monotonic() - self._told >= _REPORT_SECONDS:
            self._told = time.monotonic()
            self._context.log.info(
                f"{totals.done} of {self._requests} requests, {totals.candles} candles"
            )


@dg.job(
    executor_def=dg.in_process_executor,
    tags=RUN_TAGS,
    description="Fetch candles of given instruments, days and length from the broker.",
)
def history_backfill() -> None:
    """What POST /api/historical/backfill starts."""
    fetch_history()
