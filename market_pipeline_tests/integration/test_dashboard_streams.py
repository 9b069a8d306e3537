"""What dashboards and alerts are told of streams is what those have written."""

import json
from typing import Any

import pytest

from market_pipeline.storage.database import Database
from market_pipeline_tests import grafana_cases
from market_pipeline_tests.builders import fetch
from market_pipeline_tests.dagster_cases import run_sql


def told(database: Database, columns: str, relation: str) -> list[tuple[Any, ...]]:
    return fetch(database, f"SELECT {columns} FROM {relation}")  # noqa: S608


def add_stream(database: Database, name: str, state: str, seconds_ago: int) -> None:
    run_sql(
        database,
        "INSERT INTO streams (stream, broker, run_id, state, started_at, heartbeat_at) VALUES"
        " (%(name)s, 'simulator', '', %(state)s, now(), now() - %(ago)s * interval '1 second')",
        name=name,
        state=state,
        ago=seconds_ago,
    )


def test_stream_whose_process_died_has_no_heartbeat(database: Database) -> None:
    add_stream(database, "alive", "streaming", 2)
    add_stream(database, "dead", "streaming", 60)
    add_stream(database, "over", "stopped", 600)
    found = told(database, "stream, state", "dashboard_streams ORDER BY stream")
    assert found == [("alive", "streaming"), ("dead", "no_heartbeat"), ("over", "stopped")]


@pytest.mark.parametrize(
    ("state", "feeds", "alerts"),
    [
        ("streaming", {"kite": "streaming", "fyers": "awaiting_login"}, {"fyers"}),
        ("awaiting_login", {"kite": "awaiting_login", "fyers": "failed"}, {"kite"}),
        (
            "awaiting_login",
            {"kite": "awaiting_login", "fyers": "awaiting_login"},
            {"kite", "fyers"},
        ),
        ("awaiting_login", {}, {"kite"}),
        ("stopped", {"kite": "streaming", "fyers": "awaiting_login"}, set()),
        ("failed", {"kite": "awaiting_login"}, set()),
        ("streaming", {"kite": "streaming", "fyers": "streaming"}, set()),
    ],
)
def test_broker_whose_token_is_missing_is_named_while_its_stream_lives(
    database: Database, state: str, feeds: dict[str, str], alerts: set[str]
) -> None:
    add_stream(database, "kite-0", state, 2)
    told_of = [{"broker": broker, "state": each} for broker, each in feeds.items()]
    run_sql(
        database,
        "UPDATE streams SET broker = 'kite', feeds = %(feeds)s::jsonb",
        feeds=json.dumps(told_of),
    )
    [alert] = [
        each for each in grafana_cases.of_alerts() if each.name == "Broker's token is missing"
    ]
    found = told(database, "broker, value", f"({alert.sql}) AS alert")
    assert {broker for broker, value in found if value} == alerts
    assert {broker for broker, _ in found} == (set(feeds) or {"kite"})


def test_history_puts_samples_together(database: Database) -> None:
    run_sql(
        database,
        "INSERT INTO stream_samples SELECT timestamptz '2026-01-23 04:00Z' + n * interval '15 s',"
        " 'simulator-0', CASE n WHEN 0 THEN 'connecting' ELSE 'streaming' END, 2, n % 2, 7, n, 10,"
        " n, 20, 30, 100 * n, n FROM generate_series(0, 7) AS n",
    )
    history = "dashboard_stream_history('2026-01-23 04:00Z', '2026-01-23 05:00Z', 60000)"
    columns = "extract(minute FROM time), state, ticks_per_second, backlog_bytes, reconnects"
    assert told(database, columns, history) == [
        (0, "streaming", 1.5, 300, 3),
        (1, "streaming", 5.5, 700, 4),
        (2, None, None, None, None),
    ]
    assert told(database, "lag_ms, lag_p95_ms, lag_max_ms", history)[1] == (10, 6.85, 7)


def add_samples(database: Database, start: str, seconds: int, stream: str = "kite-0") -> None:
    """Add one each 15 seconds, from `start`, which is SQL, for so long."""
    run_sql(
        database,
        "INSERT INTO stream_samples (stream, time, state, instruments, silent_instruments,"  # noqa: S608
        " ticks_per_second, backlog_bytes, reconnects)"
        f" SELECT '{stream}', at, 'streaming', 1, 0, 1, 0, 0"
        f" FROM generate_series({start}, {start} + interval '{seconds} s', interval '15 s') AS at",
    )


@pytest.mark.parametrize(("step", "ends_at"), [(15, 615), (120, 720), (1200, None)])
def test_hole_in_the_history_of_a_stream_is_a_row_of_nothing(
    database: Database, step: int, ends_at: int | None
) -> None:
    start = "timestamptz '2026-01-23 04:00Z'"
    add_samples(database, start, 600)
    add_samples(database, f"{start} + interval '20 min'", 600)
    add_samples(database, start, 1800, stream="kite-1")
    history = f"dashboard_stream_history({start}, {start} + interval '30 min', {step * 1000})"
    told_of = f"{history} WHERE state IS NULL AND ticks_per_second IS NULL"
    columns = f"stream, extract(epoch FROM time - {start})::integer"
    assert told(database, columns, told_of) == ([("kite-0", ends_at)] if ends_at else [])
    times = told(database, "time", history)
    assert times == sorted(times)


@pytest.mark.parametrize(("ago", "is_over"), [(20, False), (90, True)])
def test_history_of_a_stream_ends_with_its_last_sample(
    database: Database, ago: int, is_over: bool
) -> None:
    add_samples(database, f"now() - interval '{600 + ago} s'", 600)
    history = "dashboard_stream_history(now() - interval '1 hour', now(), 15000)"
    *_, (last, age) = told(database, "state, extract(epoch FROM now() - time)", history)
    assert (last is None) == is_over
    assert age < 90
