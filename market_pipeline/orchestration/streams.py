"""Keeps one streaming run alive for each stream that is wanted while its exchanges are open."""

import json
from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import dagster as dg

from market_pipeline.errors import DatabaseError
from market_pipeline.orchestration.plan import Attempt, End, Memory, Phase, Start, StreamRun, plan
from market_pipeline.orchestration.resources import MarketBroker, MarketDatabase
from market_pipeline.orchestration.ticks import (
    SESSION_TAG,
    STREAM_TAG,
    StreamConfig,
    desired_streams,
    tick_stream,
)
from market_pipeline.sessions import Calendar, trading_date
from market_pipeline.storage import gaps
from market_pipeline.storage.database import Database
from market_pipeline.streaming.identity import is_gone

_MARGIN = timedelta(minutes=15)  # as in the supervisor, which ends the stream by it
_LAST_START = timedelta(minutes=1)  # before the margin ends: no run for its last moments
_REMEMBERED_RUNS = 20  # of each stream; more than there are different delays

_PHASES = {
    dg.DagsterRunStatus.QUEUED: Phase.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED: Phase.STARTING,
    dg.DagsterRunStatus.STARTING: Phase.STARTING,
    dg.DagsterRunStatus.STARTED: Phase.RUNNING,
    dg.DagsterRunStatus.CANCELING: Phase.STOPPING,
}
"""Every other status is of a run that has ended."""


class _SignOfLife(NamedTuple):
    heartbeat_age: float | None = None
    process_is_gone: bool = False


@dg.sensor(
    job=tick_stream,
    minimum_interval_seconds=4,  # the daemon looks every 5 s; 5 would mean 5 or 10
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def tick_stream_sensor(
    context: dg.SensorEvaluationContext, database: MarketDatabase, broker: MarketBroker
) -> dg.SensorResult:
    """Start streams that are wanted and do not run; end runs that are dead, double or unwanted."""
    store = database.open()
    now = datetime.now(UTC)
    desired = desired_streams(store, broker)
    wanted = [
        stream
        for stream, exchanges in desired.items()
        if any(_may_start(broker.settings.calendar, exchange, now) for exchange in exchanges)
    ]
    rows = store.query("stream_ages").to_dicts()
    signs = {row["run_id"]: _sign(row) for row in rows}
    runs = _runs(context.instance, wanted, signs, now.timestamp())
    stored = {row["stream"]: row["arrivals"] or 0 for row in rows}
    decided = plan(wanted, runs, _memory(context.cursor, stored), now.timestamp())
    for end in decided.end:
        _end(context, end)
    _settle(context, store, [row["stream"] for row in rows if _is_left(row, desired)])
    _end_gaps(context, store, broker)
    return dg.SensorResult(
        run_requests=[_request(start, trading_date(now).isoformat()) for start in decided.start],
        skip_reason=None if decided.start else _state(wanted, decided.waiting),
        cursor=json.dumps({"noticed": decided.noticed, "attempts": decided.attempts}),
    )


def _may_start(calendar: Calendar, exchange: str, now: datetime) -> bool:
    return calendar.is_open(exchange, now, _MARGIN) and calendar.is_open(
        exchange, now + _LAST_START, _MARGIN
    )


def _is_left(row: dict[str, Any], desired: Collection[str]) -> bool:
    """Tell whether a row is of a stream that nobody wants any more, open exchange or not."""
    return row["stream"] not in desired and row["state"] != "stopped"


def _settle(context: dg.SensorEvaluationContext, store: Database, left: list[str]) -> None:
    """Let what is said of these streams end; a run that still ends in order says so itself."""
    if not left:
        return
    try:
        store.execute("settle_streams", streams=left)
    except DatabaseError as error:
        # A database that takes nothing just now must keep no stream from being started.
        context.log.warning(f"{', '.join(left)} cannot be settled: {error}")


def _end_gaps(context: dg.SensorEvaluationContext, store: Database, broker: MarketBroker) -> None:
    """Let gaps of streams that are gone for good end with what others carry in their place."""
    try:
        gaps.end_abandoned(store, broker.names, broker.per_stream)
    except DatabaseError as error:
        context.log.warning(f"gaps of streams that are not wanted stay open: {error}")


def _memory(cursor: str | None, stored: dict[str, int]) -> Memory:
    """Read what the last evaluation has left; an earlier version's says nothing."""
    known = json.loads(cursor) if cursor else {}
    attempts = {name: Attempt(*each) for name, each in known.get("attempts", {}).items()}
    return Memory(known.get("noticed", {}), attempts, stored)


def _state(wanted: list[str], waiting: Any) -> str:
    delays = ", ".join(
        f"{stream} starts again in {delay:.0f} s" for stream, delay in waiting.items()
    )
    return f"{len(wanted)} wanted" + (f"; {delays}" if delays else "")


def _request(start: Start, session: str) -> dg.RunRequest:
    """Dagster never runs a key twice, whatever became of it: hence the predecessor in it."""
    return dg.RunRequest(
        run_key=f"{start.stream}/{session}/after {start.after}",
        run_config=dg.RunConfig(ops={"stream_ticks": StreamConfig(stream=start.stream)}),
        tags={STREAM_TAG: start.stream, SESSION_TAG: session},
    )


def _end(context: dg.SensorEvaluationContext, end: End) -> None:
    context.log.warning(f"ending run {end.run_id}: {end.reason}")
    run = context.instance.get_run_by_id(end.run_id)
    if run is None or run.is_finished:
        return
    if end.worker_is_gone:
        # Should it live after all, it finds its run ended, and its lease keeps the next one out.
        context.instance.report_run_failed(
            run, message=f"The streaming worker is gone: {end.reason}"
        )
        return
    try:
        context.instance.run_coordinator.cancel_run(end.run_id)
    except dg.DagsterError as error:
        # The run is CANCELING by now; run monitoring ends it, and the worker sees that.
        context.log.warning(f"run {end.run_id} cannot be reached: {error}")


def _sign(row: dict[str, Any]) -> _SignOfLife:
    return _SignOfLife(row["heartbeat_age"], bool(row["process"]) and is_gone(row["process"]))


def _runs(
    instance: dg.DagsterInstance, wanted: list[str], signs: dict[str, _SignOfLife], now: float
) -> Iterator[StreamRun]:
    """Yield all runs that live and the newest of each wanted stream."""
    filters = [dg.RunsFilter(job_name=tick_stream.name, statuses=list(_PHASES))]
    filters += [
        dg.RunsFilter(job_name=tick_stream.name, tags={STREAM_TAG: stream}) for stream in wanted
    ]
    records = {
        record.dagster_run.run_id: record
        for each in filters
        for record in instance.get_run_records(each, limit=_REMEMBERED_RUNS * max(len(wanted), 1))
    }
    for record in records.values():
        yield _stream_run(record, signs.get(record.dagster_run.run_id, _SignOfLife()), now)


def _stream_run(record: dg.RunRecord, sign: _SignOfLife, now: float) -> StreamRun:
    run = record.dagster_run
    phase = _PHASES.get(run.status, Phase.ENDED)
    ended_at = record.end_time or record.update_timestamp.timestamp()
    lasted_until = ended_at if phase is Phase.ENDED else now
    return StreamRun(
        run_id=run.run_id,
        stream=run.tags.get(STREAM_TAG) or _configured_stream(run),
        phase=phase,
        created_at=record.create_timestamp.timestamp(),
        ended_at=ended_at if phase is Phase.ENDED else None,
        lived=lasted_until - record.start_time if record.start_time else 0.0,
        heartbeat_age=sign.heartbeat_age,
        process_is_gone=sign.process_is_gone,
    )


def _configured_stream(run: dg.DagsterRun) -> str:
    """Return the stream of a run that a person launched, without our tags."""
    config: Any = run.run_config  # as it was typed
    try:
        return str(config["ops"]["stream_ticks"]["config"]["stream"])
    except (KeyError, TypeError):
        return ""
