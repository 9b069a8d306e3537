"""Starting and stopping over the API: what is wanted, what then is streamed, what is told of it."""

from datetime import UTC, datetime, timedelta

import httpx
import pytest

from market_pipeline.brokers.kite import Kite
from market_pipeline.sessions import AlwaysOpen
from market_pipeline.storage.instruments import Catalogue
from market_pipeline.streaming.wanted import Wanted
from market_pipeline_tests.api_cases import client as client
from market_pipeline_tests.api_cases import day as day
from market_pipeline_tests.dagster_cases import run_sql
from market_pipeline_tests.history_days import Day

pytestmark = [pytest.mark.needs_real_server]

PER_STREAM = Kite.max_tokens_per_stream


def desired(day: Day) -> list[str]:
    """Return the streams that Dagster's sensor is to keep alive."""
    rows = day.database.query("desired_streams", brokers=["simulator"], per_stream=PER_STREAM)
    return [str(row[0]) for row in rows.iter_rows()]


def carried(day: Day) -> int:
    """Return how many instruments a running stream is to carry; with none it ends."""
    offered = {"simulator": Catalogue(day.database, "simulator")}
    wanted = Wanted(offered, "simulator-0", PER_STREAM, AlwaysOpen())
    wanted.read(day.database)
    return wanted.instruments


def beat(day: Day, stream: str, state: str, age: timedelta = timedelta(0)) -> None:
    run_sql(
        day.database,
        "INSERT INTO streams (stream, broker, run_id, state, started_at, heartbeat_at, instruments,"
        " frames, ticks, ticks_per_second, lag_ms, backlog_bytes, stale_instruments)"
        " VALUES (%(stream)s, 'simulator', 'r', %(state)s, now(), %(at)s, 3, 10, 20, 1.5, 12.5, 64,"
        " '{1,2}') ON CONFLICT (stream) DO UPDATE SET state = excluded.state,"
        " heartbeat_at = excluded.heartbeat_at",
        stream=stream,
        state=state,
        at=datetime.now(UTC) - age,
    )


def test_stopping_ends_what_runs_and_starting_brings_it_back(
    client: httpx.Client, day: Day
) -> None:
    assert desired(day) == ["simulator-0"]
    assert carried(day) == 3
    assert not client.post("/api/ws/stop").json()["is_streaming"]
    assert desired(day) == []
    assert carried(day) == 0
    assert client.post("/api/ws/start").json()["is_streaming"]
    assert desired(day) == ["simulator-0"]
    assert carried(day) == 3


@pytest.mark.parametrize("path", ["/api/ws/stop", "/api/ws/start"])
def test_doing_it_again_changes_nothing(client: httpx.Client, path: str) -> None:
    first = client.post(path).json()
    assert client.post(path).json() == first
    status = client.get("/api/ws/status").json()
    assert {name: status[name] for name in first} == first
    client.post("/api/ws/start")


def test_the_status_tells_what_streams_do(client: httpx.Client, day: Day) -> None:
    beat(day, "simulator-0", "streaming")
    (stream,) = client.get("/api/ws/status").json()["streams"]
    told = {"state": "streaming", "is_alive": True, "ticks": 20, "lag_ms": 12.5}
    told |= {"backlog_bytes": 64, "stale_instruments": 2, "broker": "simulator"}
    assert told.items() <= stream.items()


@pytest.mark.parametrize(("state", "age"), [("streaming", 60), ("stopped", 0), ("failed", 0)])
def test_a_stream_without_a_sign_of_life_is_not_alive(
    client: httpx.Client, day: Day, state: str, age: int
) -> None:
    beat(day, "simulator-0", state, timedelta(seconds=age))
    (stream,) = client.get("/api/ws/status").json()["streams"]
    assert not stream["is_alive"]


def test_the_status_lists_todays_gaps_and_those_that_last(client: httpx.Client, day: Day) -> None:
    now = datetime.now(UTC)
    day.gap(now - timedelta(seconds=2), now, "NSE:INFY")
    day.gap(now - timedelta(days=3), now - timedelta(days=3, seconds=-9))
    lasting = "INSERT INTO gaps (stream, started_at, cause) VALUES ('simulator-1', %(at)s, 'login')"
    run_sql(day.database, lasting, at=now - timedelta(days=2))
    gaps = client.get("/api/ws/status").json()["gaps_today"]
    assert [(gap["cause"], gap["instruments"]) for gap in gaps] == [("dropped", 1), ("login", 0)]
    assert gaps[1]["ended_at"] is None
