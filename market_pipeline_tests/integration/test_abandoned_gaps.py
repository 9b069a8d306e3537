"""Gaps of streams that nobody wants any more last until others carry their instruments."""

from datetime import UTC, datetime
from typing import Any

import dagster as dg
import pytest

from market_pipeline.orchestration import streams
from market_pipeline.storage import gaps, instruments
from market_pipeline.storage.database import Database
from market_pipeline.storage.ticks import Batch, GapEvent, TickStore
from market_pipeline.streaming.heartbeat import Heartbeat
from market_pipeline_tests.builders import OPEN, Tick, fetch, tick_columns
from market_pipeline_tests.dagster_cases import instance as instance
from market_pipeline_tests.dagster_cases import resources, run_sql
from market_pipeline_tests.instrument_cases import numbered, sync

ROWS = numbered("NSE", 3)
STOPPED = 10
Row = tuple[tuple[int, ...], int | None]


@pytest.fixture
def stopped(database: Database) -> Database:
    """Kite's stream of three instruments was stopped in order while the exchange was open."""
    sync(database, *ROWS)
    sync(database, *ROWS, broker="fyers")
    instruments.subscribe(database, "kite", [row["symbol"] for row in ROWS])
    store(database, "kite-0", Tick(1), Tick(STOPPED), gap=(1, 2, 3))
    return database


def store(
    database: Database, stream: str, *ticks: Tick, gap: tuple[int, ...] | None = None
) -> None:
    """Let a stream receive ticks, and with a gap be stopped after them."""
    writer = TickStore(database.url, stream, "run")
    start = writer.open().position
    last = (OPEN + max(tick.at for tick in ticks)) * 10**9
    batch = Batch(start, start + 1, 10, tick_columns(list(ticks)), last_received_at=last)
    batch.gaps = [GapEvent(last, None)]
    if gap is not None:
        batch.gaps.append(GapEvent(last, "asked to stop", gap))
    writer.commit(batch)
    writer.close()


def end(database: Database, *brokers: str) -> None:
    gaps.end_abandoned(database, brokers or ("fyers",), 3000)


def found(database: Database) -> list[Row]:
    """Return instruments and end of the gaps that began when Kite's stream was stopped."""
    query = (
        "SELECT instruments, ended_at FROM gaps WHERE stream = 'kite-0' AND started_at ="
        " to_timestamp(%s) ORDER BY instruments"
    )
    return [(tuple(ids), _seconds(end)) for ids, end in fetch(database, query, OPEN + STOPPED)]


def _seconds(at: datetime | None) -> int | None:
    return None if at is None else int(at.timestamp()) - OPEN


def test_a_gap_lasts_until_another_stream_has_received_each_instrument(stopped: Database) -> None:
    end(stopped)
    assert found(stopped) == [((1, 2, 3), None)]
    store(stopped, "fyers-0", Tick(70, instrument=1), Tick(71, instrument=1))
    end(stopped)
    assert found(stopped) == [((1,), 70), ((2, 3), None)]
    store(stopped, "fyers-0", *[Tick(at, instrument=at % 10) for at in (202, 303, 312)])
    end(stopped)
    assert found(stopped) == [((1,), 70), ((2,), 202), ((3,), 303)]


def test_instruments_that_are_received_within_a_minute_share_a_gap(stopped: Database) -> None:
    store(stopped, "fyers-0", *[Tick(60 + each, instrument=each) for each in (1, 2, 3)])
    end(stopped)
    assert found(stopped) == [((1, 2, 3), 63)]


def test_what_is_not_wanted_any_more_is_missed_until_now(stopped: Database) -> None:
    instruments.unsubscribe(stopped, "kite", ["NSE1", "NSE2", "NSE3"])
    before = datetime.now(UTC)
    end(stopped)
    ((_, ended_at),) = found(stopped)
    assert ended_at is not None and ended_at >= int(before.timestamp()) - OPEN


def test_what_the_other_broker_does_not_offer_is_not_wanted_any_more(stopped: Database) -> None:
    run_sql(stopped, "DELETE FROM broker_instruments WHERE broker = 'fyers' AND instrument_id = 3")
    end(stopped)
    (first, (third, ended_at)) = found(stopped)
    assert first == ((1, 2), None)
    assert third == (3,) and ended_at is not None


def test_the_gap_of_a_stream_that_is_wanted_lasts_until_it_says_so_itself(
    stopped: Database,
) -> None:
    store(stopped, "kite-1", *[Tick(60, instrument=each) for each in (1, 2, 3)])
    end(stopped, "kite")
    assert found(stopped) == [((1, 2, 3), None)]


@pytest.mark.needs_real_server("a lease keeps other connections out")
def test_the_gap_of_a_stream_that_somebody_runs_is_its_own(stopped: Database) -> None:
    store(stopped, "fyers-0", *[Tick(60, instrument=each) for each in (1, 2, 3)])
    running = Heartbeat(stopped, "kite", "kite-0", "run")
    running.take_lease()
    end(stopped)
    running.close()
    assert found(stopped) == [((1, 2, 3), None)]


def test_nothing_ends_while_nothing_is_to_be_streamed_at_all(stopped: Database) -> None:
    stopped.execute("set_desired_state", is_streaming=False)
    end(stopped)
    assert found(stopped) == [((1, 2, 3), None)]


def test_a_gap_of_whatever_it_carried_lasts_until_all_streams_receive(stopped: Database) -> None:
    run_sql(stopped, "UPDATE gaps SET instruments = '{}'")
    end(stopped)
    assert found(stopped) == [((), None)]
    store(stopped, "fyers-0", Tick(60))
    beat(stopped, "fyers-0", "connecting")
    end(stopped)
    assert found(stopped) == [((), None)]
    beat(stopped, "fyers-0", "streaming")
    end(stopped)
    assert found(stopped)[0][1] is not None


def beat(database: Database, stream: str, state: str) -> None:
    run_sql(
        database,
        "INSERT INTO streams (stream, broker, run_id, state, started_at, heartbeat_at, frames)"
        " VALUES (%(stream)s, 'fyers', 'run', %(state)s, now(), now(), 1)"
        " ON CONFLICT (stream) DO UPDATE SET state = excluded.state",
        stream=stream,
        state=state,
    )


def opened(database: Database) -> list[tuple[Any, ...]]:
    return fetch(database, "SELECT cause, instruments FROM gaps WHERE ended_at IS NULL")


def test_a_stream_that_is_wanted_again_has_its_gap_again_until_it_receives_something(
    stopped: Database,
) -> None:
    store(stopped, "fyers-0", Tick(70), Tick(200, instrument=2), Tick(300, instrument=3))
    end(stopped)
    again = TickStore(stopped.url, "kite-0", "second")
    again.open()
    again.close()
    assert opened(stopped) == [("asked to stop", [1, 2, 3])]
    store(stopped, "kite-0", Tick(400))
    assert opened(stopped) == []
    again.open()
    again.close()
    assert opened(stopped) == []


def test_gaps_end_while_streams_are_kept_alive(
    stopped: Database, instance: dg.DagsterInstance
) -> None:
    run_sql(stopped, "UPDATE broker_instruments SET broker = 'simulator' WHERE broker = 'fyers'")
    store(stopped, "simulator-0", *[Tick(60, instrument=each) for each in (1, 2, 3)])
    with dg.build_sensor_context(instance, resources=resources(stopped)) as context:
        streams.tick_stream_sensor(context)
    assert found(stopped) == [((1, 2, 3), 60)]
