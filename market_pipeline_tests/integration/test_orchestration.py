"""Dagster keeps one run alive for each stream, against a real instance and a real database."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest
from dagster_postgres.utils import DagsterPostgresException

from market_pipeline.orchestration import streams, ticks, upkeep
from market_pipeline.orchestration.resources import MarketBroker
from market_pipeline.sessions import trading_date
from market_pipeline.storage.database import Database
from market_pipeline.streaming import supervisor
from market_pipeline.streaming.heartbeat import StreamReport
from market_pipeline.streaming.supervisor import StopReason
from market_pipeline_tests import dagster_cases as cases
from market_pipeline_tests.dagster_cases import instance as instance
from market_pipeline_tests.dagster_cases import store as store

REPORT = StreamReport("simulator-0", "streaming", 2, 10, 20, 1.5, 3.0, 0, 0, 0, 0)


def evaluate(
    instance: dg.DagsterInstance,
    store: Database,
    cursor: str | None = None,
    broker: MarketBroker | None = None,
) -> dg.SensorResult:
    with dg.build_sensor_context(
        instance, cursor=cursor, resources=cases.resources(store, broker)
    ) as context:
        result = streams.tick_stream_sensor(context)
    assert isinstance(result, dg.SensorResult)
    return result


def requests(result: dg.SensorResult) -> list[dg.RunRequest]:
    return list(result.run_requests or [])


def launched(
    instance: dg.DagsterInstance, store: Database, status: dg.DagsterRunStatus
) -> dg.DagsterRun:
    """Create the run that the sensor requests, in some status."""
    (request,) = requests(evaluate(instance, store))
    run = instance.create_run_for_job(
        ticks.tick_stream, tags=dict(request.tags), run_config=request.run_config, status=status
    )
    if status is dg.DagsterRunStatus.STARTED:
        instance.report_engine_event("started", run)
    return run


def test_a_run_is_requested_for_a_stream_with_subscriptions(
    instance: dg.DagsterInstance, store: Database
) -> None:
    (request,) = requests(evaluate(instance, store))
    assert request.tags[ticks.STREAM_TAG] == "simulator-0"


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.CANCELING])
def test_no_run_is_requested_while_one_lives(
    instance: dg.DagsterInstance, store: Database, status: dg.DagsterRunStatus
) -> None:
    launched(instance, store, status)
    assert not requests(evaluate(instance, store))


def test_no_run_is_requested_while_the_exchange_is_closed(
    instance: dg.DagsterInstance, store: Database
) -> None:
    assert not requests(evaluate(instance, store, broker=cases.ClosedExchange()))


def test_a_request_after_an_ended_run_has_a_new_key(
    instance: dg.DagsterInstance, store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "datetime", _Later)
    first = requests(evaluate(instance, store))[0].run_key
    launched(instance, store, dg.DagsterRunStatus.CANCELED)
    assert requests(evaluate(instance, store))[0].run_key != first


class _Later(datetime):
    """A clock that is a minute fast, so that no delay is left to wait for."""

    @classmethod
    def now(cls, tz: Any = None) -> Any:
        return datetime.now(tz) + timedelta(minutes=1)


def test_a_stream_that_stores_nothing_is_not_started_again_at_once(
    instance: dg.DagsterInstance, store: Database
) -> None:
    launched(instance, store, dg.DagsterRunStatus.FAILURE)
    first = evaluate(instance, store)
    assert first.run_requests
    second = evaluate(instance, store, cursor=first.cursor)
    assert second.run_requests
    assert "starts again in" in str(evaluate(instance, store, cursor=second.cursor).skip_reason)


def test_a_stream_that_nobody_wants_any_more_is_in_no_trouble(
    instance: dg.DagsterInstance, store: Database
) -> None:
    for stream, state, seconds in [
        ("kite-0", "failed", 60),
        ("kite-1", "streaming", 60),
        ("kite-2", "streaming", 5),
        ("simulator-0", "failed", 60),
    ]:
        cases.run_sql(
            store,
            "INSERT INTO streams (stream, broker, run_id, state, detail, started_at, heartbeat_at)"
            " VALUES (%(stream)s, 'kite', '', %(state)s, 'why', now(),"
            " now() - make_interval(secs => %(seconds)s))",
            stream=stream,
            state=state,
            seconds=seconds,
        )
    evaluate(instance, store)
    found = cases.rows(store, "SELECT stream, state, detail FROM streams ORDER BY stream")
    assert [each["state"] for each in found] == ["stopped", "stopped", "streaming", "failed"]
    assert found[0]["detail"] == "nobody wants it any more; it was failed: why"


def silent_run(instance: dg.DagsterInstance, store: Database) -> dg.DagsterRun:
    run = launched(instance, store, dg.DagsterRunStatus.STARTED)
    cases.run_sql(
        store,
        "INSERT INTO streams (stream, broker, run_id, state, started_at, heartbeat_at)"
        " VALUES ('simulator-0', 'simulator', %(run_id)s, 'streaming', now(),"
        " now() - interval '1 minute')",
        run_id=run.run_id,
    )
    return run


def test_a_run_whose_worker_stays_silent_fails(
    instance: dg.DagsterInstance, store: Database
) -> None:
    run = silent_run(instance, store)
    evaluate(instance, store, cursor=json.dumps({"noticed": {run.run_id: 0.0}}))
    ended = instance.get_run_by_id(run.run_id)
    assert ended is not None and ended.status is dg.DagsterRunStatus.FAILURE


def test_a_silence_that_was_not_there_before_is_only_remembered(
    instance: dg.DagsterInstance, store: Database
) -> None:
    run = silent_run(instance, store)
    result = evaluate(instance, store)
    assert list(json.loads(str(result.cursor))["noticed"]) == [run.run_id]
    ended = instance.get_run_by_id(run.run_id)
    assert ended is not None and ended.status is dg.DagsterRunStatus.STARTED


def stream(
    instance: dg.DagsterInstance,
    store: Database,
    monkeypatch: pytest.MonkeyPatch,
    reason: StopReason,
) -> dg.ExecuteInProcessResult:
    def run_stream(*given: Any) -> StopReason:
        report, fenced = given[6:]
        report(REPORT)
        assert fenced() is False
        return reason

    monkeypatch.setattr(supervisor, "run_stream", run_stream)
    return run(instance, store)


def run(instance: dg.DagsterInstance, store: Database) -> dg.ExecuteInProcessResult:
    return ticks.tick_stream.execute_in_process(
        run_config=dg.RunConfig(ops={"stream_ticks": ticks.StreamConfig(stream="simulator-0")}),
        instance=instance,
        resources=cases.resources(store),
    )


def test_a_stream_shows_its_progress_as_observations_of_today(
    instance: dg.DagsterInstance, store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream(instance, store, monkeypatch, StopReason.NOT_WANTED)
    (record,) = instance.fetch_observations(ticks.ticks.key, limit=9).records
    observation = record.asset_observation
    assert observation is not None
    assert observation.partition == trading_date(datetime.now(UTC)).isoformat()
    assert observation.metadata["ticks_per_second"].value == 1.5


def materializations(instance: dg.DagsterInstance) -> int:
    return len(instance.fetch_materializations(ticks.ticks.key, limit=9).records)


def test_only_the_end_of_a_session_materializes_ticks(
    instance: dg.DagsterInstance, store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream(instance, store, monkeypatch, StopReason.NOT_WANTED)
    assert materializations(instance) == 0
    stream(instance, store, monkeypatch, StopReason.SESSION_CLOSED)
    assert materializations(instance) == 1


@pytest.mark.parametrize("reason", [StopReason.FENCED, StopReason.STOPPED])
def test_a_stream_that_was_stopped_does_not_succeed(
    instance: dg.DagsterInstance,
    store: Database,
    monkeypatch: pytest.MonkeyPatch,
    reason: StopReason,
) -> None:
    with pytest.raises(dg.DagsterExecutionInterruptedError):
        stream(instance, store, monkeypatch, reason)


def is_answered(question: Callable[[], bool], times: int) -> bool:
    """Ask until the answer is yes."""
    for _ in range(times):
        if question():
            return True
        time.sleep(0.05)
    return False


def test_a_stream_outlives_an_outage_of_dagsters_database(
    instance: dg.DagsterInstance, store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: Any) -> None:
        raise DagsterPostgresException("too many retries for DB connection")

    def run_stream(*given: Any) -> StopReason:
        report, fenced = given[6:]
        with monkeypatch.context() as outage:
            outage.setattr(type(instance), "get_run_by_id", fail)
            outage.setattr(dg.OpExecutionContext, "log_event", fail)
            report(REPORT)
            assert not is_answered(fenced, times=4)
        return StopReason.NOT_WANTED

    monkeypatch.setattr(supervisor, "run_stream", run_stream)
    assert run(instance, store).success


def test_a_stream_learns_that_its_run_was_ended(
    instance: dg.DagsterInstance, store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_stream(*given: Any) -> StopReason:
        run_id, fenced = given[1], given[7]
        current = instance.get_run_by_id(run_id)
        assert current is not None
        instance.report_run_canceling(current)
        assert is_answered(fenced, times=100)
        return StopReason.FENCED

    monkeypatch.setattr(supervisor, "run_stream", run_stream)
    with pytest.raises(dg.DagsterExecutionInterruptedError):
        run(instance, store)


def test_only_finished_runs_of_one_job_are_forgotten(
    instance: dg.DagsterInstance, store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "datetime", _Later)
    launched(instance, store, dg.DagsterRunStatus.SUCCESS)
    live = launched(instance, store, dg.DagsterRunStatus.STARTING)
    later = datetime.now(UTC) + timedelta(days=1)
    assert upkeep.forget_runs(instance, "candles", later) == 0
    assert upkeep.forget_runs(instance, ticks.tick_stream.name, later) == 1
    assert [run.run_id for run in instance.get_runs()] == [live.run_id]
