"""What the API tells whoever watches: health, metrics, logs; and how it behaves in an outage."""

import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
import structlog

from market_pipeline.api import logs
from market_pipeline.api.tables import Tables
from market_pipeline.config import Settings
from market_pipeline.storage.database import Database
from market_pipeline.storage.reading import Reader
from market_pipeline_tests.api_cases import client as client
from market_pipeline_tests.api_cases import day as day
from market_pipeline_tests.api_cases import problem, serving, settings_of
from market_pipeline_tests.builders import eventually, outage
from market_pipeline_tests.dagster_cases import run_sql
from market_pipeline_tests.history_days import Day

pytestmark = [pytest.mark.needs_real_server]

NOWHERE = Database("postgresql://nobody@127.0.0.1:1/nothing")


@contextmanager
def logging_as_json(settings: Settings) -> Iterator[None]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    logs.configure(settings)
    try:
        yield
    finally:
        root.handlers[:], root.level = before
        structlog.reset_defaults()


def metric(text: str, name: str) -> float | None:
    found = re.search(rf"^market_pipeline_{re.escape(name)} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else None


def test_a_process_without_a_database_lives_and_is_not_ready(tmp_path: Path) -> None:
    with serving(settings_of(NOWHERE, tmp_path)) as client:
        assert client.get("/health").json() == {"status": "ok"}
        body = problem(client.get("/health/ready"), 503, "not-ready")
        assert {name: part["is_ready"] for name, part in body["parts"].items()} == {
            "database": False,
            "streams": False,
            "dagster": False,
        }
        assert "127.0.0.1" not in json.dumps(body)
        reply = client.get("/api/ws/status")
        problem(reply, 503, "database-unavailable")
        assert reply.headers["Retry-After"] == "5"
        assert metric(client.get("/metrics").text, "database_up") == 0.0


def test_readiness_names_the_streams_that_are_wanted_and_do_not_live(
    database: Database, tmp_path: Path
) -> None:
    run_sql(
        database,
        "INSERT INTO instruments (exchange, segment, exchange_token, symbol, name, kind)"
        " VALUES ('NSE', 'CM', '1', 'ONE', 'One', 'EQ')",
        "INSERT INTO broker_instruments (broker, token, broker_symbol, instrument_id)"
        " SELECT 'simulator', 1, symbol, instrument_id FROM instruments",
        "INSERT INTO subscriptions (instrument_id) SELECT instrument_id FROM instruments",
    )
    with serving(settings_of(database, tmp_path)) as client:

        def streams() -> dict[str, object]:
            found: dict[str, object] = client.get("/health/ready").json()["parts"]["streams"]
            return found

        lacking = {"is_ready": False, "detail": "not streaming: simulator-0"}
        assert streams() == lacking
        run_sql(
            database,
            "INSERT INTO streams (stream, broker, run_id, state, started_at, heartbeat_at)"
            " VALUES ('simulator-0', 'simulator', 'r', 'streaming', now(), now())",
        )
        assert streams() == {"is_ready": True, "detail": "1 of 1 streams live"}
        run_sql(database, "UPDATE streams SET state = 'awaiting_login'")
        assert streams() == lacking
        client.post("/api/ws/stop")
        assert streams() == {"is_ready": True, "detail": "none is wanted now"}


@pytest.mark.slow
def test_a_killed_database_is_told_of_and_found_again_when_it_is_back(tmp_path: Path) -> None:
    with outage() as server, serving(settings_of(server.database, tmp_path)) as client:
        assert client.get("/api/ws/status").status_code == 200
        server.begin()
        problem(client.get("/api/ws/status"), 503, "database-unavailable")
        assert client.get("/health").status_code == 200
        server.end()
        eventually(lambda: client.get("/api/ws/status").status_code == 200, "it was not found")


def test_metrics_hold_what_the_tables_say(day: Day, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    run_sql(
        day.database,
        "INSERT INTO streams (stream, broker, run_id, state, started_at, heartbeat_at, ticks,"
        " lag_ms, backlog_bytes) VALUES ('s-0', 'simulator', 'r', 'streaming', now(), now(), 20,"
        " 12.5, 64)",
        "INSERT INTO gaps (stream, started_at, cause) VALUES ('s-0', now(), 'dropped')",
        f"SELECT ensure_tick_day('{now + timedelta(hours=5.5):%Y-%m-%d}')",
        "INSERT INTO ticks (time, instrument_id, seq, last_price, high, low, exchange_time,"
        " received_at, is_trade) SELECT stamp, 1, n, 100, 100, 100, stamp, stamp + n * interval"
        " '400 ms', true FROM generate_series(1, 3) AS n,"
        " LATERAL (SELECT now() - interval '30 s' AS stamp) AS _",
    )
    with serving(settings_of(day.database, tmp_path)) as client:
        client.get("/api/ws/status")
        text = client.get("/metrics").text
    of = '{broker="simulator",stream="s-0"}'
    assert metric(text, "database_up") == 1.0
    assert metric(text, f"stream_ticks_total{of}") == 20.0
    assert metric(text, f"stream_lag_seconds{of}") == 0.0125
    assert metric(text, f"stream_backlog_bytes{of}") == 64.0
    assert metric(text, 'gaps_open{stream="s-0"}') == 1.0
    state = '{broker="simulator",state="streaming",stream="s-0"}'
    assert metric(text, f"stream_state{state}") == 1.0
    assert metric(text, 'tick_lag_seconds_bucket{le="0.5"}') == 1.0
    assert metric(text, 'tick_lag_seconds_bucket{le="1.0"}') == 2.0
    assert metric(text, "tick_lag_seconds_count") == 3.0
    assert metric(text, "tick_lag_seconds_sum") == pytest.approx(2.4)
    request = '{method="GET",path="/api/ws/status",status="200"}'
    assert metric(text, f"api_requests_total{request}") == 1.0


def test_metrics_do_not_name_what_clients_make_up(client: httpx.Client) -> None:
    client.get("/api/invented/path")
    text = client.get("/metrics").text
    assert "invented" not in text
    assert metric(text, 'api_requests_total{method="GET",path="unknown",status="404"}')


def test_the_log_is_a_json_object_a_line_with_the_number_of_the_request(
    database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = settings_of(database, tmp_path, log_format="json")
    with logging_as_json(settings), serving(settings) as client:
        client.get("/api/ws/status", headers={"X-Request-ID": "mine"})
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    (line,) = (line for line in lines if line.get("request_id") == "mine")
    expected = {"event": "request", "path": "/api/ws/status", "status": 200, "level": "info"}
    assert expected.items() <= line.items()


def test_a_crash_is_a_problem_for_the_client_and_a_trace_in_the_log(
    database: Database,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def broken(self: Tables, reader: Reader) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(Tables, "refresh", broken)
    settings = settings_of(database, tmp_path, log_format="json")
    with logging_as_json(settings), serving(settings) as client:
        body = problem(client.get("/metrics"), 500, "internal")
    assert "secret" not in json.dumps(body)
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    (line,) = (line for line in lines if line.get("event") == "request failed")
    assert line["request_id"] == body["request_id"]
    assert "ZeroDivisionError: secret detail" in line["exception"]
