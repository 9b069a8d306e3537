"""Live ticks: the asset they are, the job that streams them, and whether they arrive and go."""

import logging
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
from dagster_postgres.utils import DagsterPostgresException
from sqlalchemy.exc import SQLAlchemyError

from market_pipeline.errors import MarketPipelineError
from market_pipeline.market import Exchange
from market_pipeline.orchestration import checks
from market_pipeline.orchestration.instruments import instruments
from market_pipeline.orchestration.partitions import TIMEZONE, trading_days
from market_pipeline.orchestration.resources import BATCH_TAGS, MarketBroker, MarketDatabase
from market_pipeline.sessions import Calendar, trading_date
from market_pipeline.storage import timescaledb
from market_pipeline.storage.database import Database
from market_pipeline.storage.timescaledb import Policies
from market_pipeline.streaming import supervisor
from market_pipeline.streaming.heartbeat import StreamReport
from market_pipeline.streaming.supervisor import StopReason

log = logging.getLogger(__name__)

STREAM_TAG = "market/stream"
SESSION_TAG = "market/session"

_ENDED_ELSEWHERE = {
    dg.DagsterRunStatus.CANCELING,
    dg.DagsterRunStatus.CANCELED,
    dg.DagsterRunStatus.FAILURE,
}
_DAGSTER_IS_AWAY = (SQLAlchemyError, DagsterPostgresException)
_HEARTBEAT_SECONDS = 45.0
_FRAME_SECONDS = 120.0
_CANDLE_SECONDS = 180.0  # a stream refreshes them each minute

ticks = dg.AssetSpec(
    "ticks",
    deps=[instruments],
    partitions_def=trading_days,
    group_name="streaming",
    kinds={"python", "postgres"},
    description="Live ticks, written by the runs that `tick_stream_sensor` keeps alive.",
)


class StreamConfig(dg.Config):
    """Which stream to run; see table `streams`."""

    stream: str


class _Progress:
    """Tells Dagster how a stream gets on, and the stream what became of its run.

    Off the stream's thread: Dagster's database may be away, and asking it then takes 12 seconds.
    """

    def __init__(self, context: dg.OpExecutionContext) -> None:
        self._context = context
        self._began_on = _today()
        self._last: StreamReport | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="dagster")
        self._answer: Future[bool] | None = None

    def report(self, report: StreamReport) -> None:
        self._last = report
        event = dg.AssetObservation(ticks.key, partition=_today(), metadata=_metadata(report))
        self._thread.submit(self._log, event)

    def finish(self) -> None:
        # Of the day it began: the session's margin may end after midnight.
        self._log(
            dg.AssetMaterialization(
                ticks.key, partition=self._began_on, metadata=_metadata(self._last)
            )
        )

    def fenced(self) -> bool:
        """Tell whether somebody has ended the run without reaching this process."""
        if self._answer is None or self._answer.done():
            known, self._answer = self._answer, self._thread.submit(self._is_ended)
            return known is not None and known.result()
        return False

    def close(self) -> None:
        self._thread.shutdown(cancel_futures=True)

    def _is_ended(self) -> bool:
        try:
            run = self._context.instance.get_run_by_id(self._context.run_id)
        except _DAGSTER_IS_AWAY as error:
            log.warning("Dagster's database does not answer: %s", error)
            return False
        return run is None or run.status in _ENDED_ELSEWHERE

    def _log(self, event: dg.AssetObservation | dg.AssetMaterialization) -> None:
        try:
            self._context.log_event(event)
        except _DAGSTER_IS_AWAY as error:  # streaming goes on without
            log.warning("Dagster's database does not answer: %s", error)


@dg.op
def stream_ticks(
    context: dg.OpExecutionContext,
    config: StreamConfig,
    database: MarketDatabase,
    broker: MarketBroker,
) -> None:
    """Stream until the session closes, nothing is wanted any more, or the run is ended."""
    progress = _Progress(context)
    try:
        reason = supervisor.run_stream(
            config.stream,
            context.run_id,
            broker.open_all(),
            database.open(),
            broker.settings,
            threading.Event(),
            progress.report,
            progress.fenced,
        )
    except MarketPipelineError as error:
        raise dg.Failure(str(error)) from error
    finally:
        progress.close()
    context.log.info(f"{config.stream}: {reason}")
    if reason in (StopReason.FENCED, StopReason.STOPPED):
        # CANCELING becomes CANCELED; a SIGTERM that nobody requested becomes FAILURE.
        raise dg.DagsterExecutionInterruptedError
    if reason is StopReason.SESSION_CLOSED:
        progress.finish()


@dg.job(
    executor_def=dg.in_process_executor,
    tags={
        "dagster/max_retries": "0",  # the sensor restarts it, with growing delays
        "dagster/priority": "10",  # ahead of batch work in the queue
    },
)
def tick_stream() -> None:
    """One connection to each broker, for as long as the exchanges of its instruments are open."""
    stream_ticks()


def desired_streams(store: Database, broker: MarketBroker) -> dict[str, list[str]]:
    """Return the streams that the subscriptions need, and the exchanges of each."""
    rows = store.query("desired_streams", brokers=broker.names, per_stream=broker.per_stream)
    return {stream: list(exchanges) for stream, _, exchanges in rows.iter_rows()}


@checks.asset_check(asset=ticks.key)
def ticks_are_fresh(database: MarketDatabase, broker: MarketBroker) -> dg.AssetCheckResult:
    """Each stream of an open exchange gives signs of life and has stored something just now."""
    store = database.open()
    now = datetime.now(UTC)
    calendar = broker.settings.calendar
    wanted = [
        stream
        for stream, exchanges in desired_streams(store, broker).items()
        if any(_has_been_open(calendar, exchange, now) for exchange in exchanges)
    ]
    if not wanted:
        return dg.AssetCheckResult(
            passed=True, metadata={"note": "no stream is wanted, or its exchanges are closed"}
        )
    rows = {row["stream"]: row for row in store.query("stream_ages").iter_rows(named=True)}
    states = {stream: _staleness(rows.get(stream)) for stream in wanted}
    return dg.AssetCheckResult(
        passed=not any(states.values()),
        metadata={stream: stale or "fresh" for stream, stale in states.items()},
    )


@checks.asset_check(asset=ticks.key)
def no_instrument_is_silent(database: MarketDatabase) -> dg.AssetCheckResult:
    """Each subscribed instrument of an open exchange ticks about as often as it usually does.

    A connection can live and carry heartbeats while single instruments are missing from it.
    """
    rows = database.open().query("stale_instruments")
    return dg.AssetCheckResult(
        passed=rows.is_empty(),
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"silent": rows.height, "instruments": rows["name"].head(50).to_list()},
    )


@checks.asset_check(asset=ticks.key)
def server_policies(database: MarketDatabase, broker: MarketBroker) -> dg.AssetCheckResult:
    """TimescaleDB refreshes candles and compresses ticks as set, and empties no candles."""
    found = timescaledb.problems(database.open(), Policies.of(broker.settings))
    return dg.AssetCheckResult(passed=not found, metadata={"problems": found})


@checks.asset_check(asset=dg.AssetKey("candles_1m"))
def candles_are_fresh(database: MarketDatabase) -> dg.AssetCheckResult:
    """Candles are stored up to a few minutes before the newest tick, whatever jobs report."""
    row = database.open().query("candle_lag").row(0, named=True)
    behind = row["behind_seconds"]
    return dg.AssetCheckResult(
        passed=behind is None or behind <= _CANDLE_SECONDS,
        metadata={"seconds behind the newest tick": behind or 0.0},
    )


tick_checks = dg.define_asset_job(
    "tick_checks",
    selection=dg.AssetSelection.checks(
        ticks_are_fresh,
        no_instrument_is_silent,
        server_policies,
        candles_are_fresh,
        dg.AssetCheckKey(ticks.key, "tick_retention"),  # see retention.py
        dg.AssetCheckKey(ticks.key, "feeds_agree"),  # see feeds.py
    ),
    tags=BATCH_TAGS,
)


@dg.schedule(
    job=tick_checks,
    cron_schedule="*/10 * * * *",
    execution_timezone=TIMEZONE,
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
def check_ticks(
    context: dg.ScheduleEvaluationContext, broker: MarketBroker
) -> dg.RunRequest | dg.SkipReason:
    """Check while an exchange is open: a stream that is down starts no check by itself."""
    now = context.scheduled_execution_time
    if not any(broker.settings.calendar.is_open(exchange, now) for exchange in Exchange):
        return dg.SkipReason("all exchanges are closed")
    return dg.RunRequest()


def _has_been_open(calendar: Calendar, exchange: str, now: datetime) -> bool:
    """Tell whether a session is on, and not only since a moment ago."""
    since = now - timedelta(seconds=_FRAME_SECONDS)
    return calendar.is_open(exchange, since) and calendar.is_open(exchange, now)


def _staleness(row: dict[str, Any] | None) -> str | None:
    """Say what is wrong with a stream's row of stream_ages; None if nothing is."""
    if row is None:
        return "it has never run"
    if row["heartbeat_age"] > _HEARTBEAT_SECONDS:
        return f"no heartbeat for {row['heartbeat_age']:.0f} s"
    if row["received_age"] is None:
        return f"{row['state']}, nothing received yet"
    if row["received_age"] > _FRAME_SECONDS:
        return f"{row['state']}, nothing received for {row['received_age']:.0f} s"
    return None


def _today() -> str:
    return trading_date(datetime.now(UTC)).isoformat()


def _metadata(report: StreamReport | None) -> dict[str, Any]:
    """Return what a report knows; UI and API draw the numbers over time."""
    values = asdict(report) if report else {}
    values["stale_instruments"] = len(values.get("stale_instruments", ()))
    return {name: value for name, value in values.items() if value is not None}
