"""Work that the API has Dagster do: real runs of a real Dagster, on the simulated exchange."""

import asyncio
from base64 import b64decode
from typing import Any

import httpx
import pytest
from dagster_graphql.schema import create_schema
from graphql import parse, validate

from market_pipeline.api import dagster_client
from market_pipeline.api.errors import DagsterUnavailable
from market_pipeline_tests.api_cases import client as client
from market_pipeline_tests.api_cases import day as day
from market_pipeline_tests.api_cases import problem
from market_pipeline_tests.builders import eventually
from market_pipeline_tests.dagster_cases import rows
from market_pipeline_tests.dagster_server import working as working
from market_pipeline_tests.history_days import DAY, Day

pytestmark = [pytest.mark.needs_real_server, pytest.mark.timeout(300)]

BACKFILL, SYNC = "/api/historical/backfill", "/api/instruments/sync"
SECONDS = 120.0


def finished(client: httpx.Client, launched: httpx.Response) -> dict[str, Any]:
    """Wait for a run that was launched and return what is said of it."""
    assert launched.status_code == 202, launched.text
    body = launched.json()
    assert launched.headers["Location"] == body["status_url"] == f"/api/runs/{body['run_id']}"
    found: dict[str, Any] = {}

    def is_finished() -> bool:
        reply = client.get(body["status_url"])
        assert reply.status_code == 200, reply.text
        found.update(reply.json())
        return bool(found["is_finished"])

    eventually(is_finished, f"the run did not end: {found}", SECONDS)
    return found


def test_a_backfill_fetches_the_candles_that_were_ordered(working: httpx.Client, day: Day) -> None:
    order = {"names": ["NSE:TCS"], "from": str(DAY), "to": str(DAY), "interval": "5m"}
    run = finished(working, working.post(BACKFILL, json=order))
    assert (run["status"], run["job"], run["error"]) == ("SUCCESS", "history_backfill", None)
    assert run["created_at"] <= run["started_at"] <= run["ended_at"]
    stored = rows(
        day.database,
        "SELECT minutes, count(*) AS n FROM broker_candles JOIN instruments USING (instrument_id)"
        " WHERE symbol = 'TCS' GROUP BY minutes",
    )
    assert [row["minutes"] for row in stored] == [5]
    period = {"instrument": "NSE:TCS", "from": str(DAY), "to": str(DAY), "interval": "5m"}
    answered = working.get("/api/historical/candles", params=period).json()
    assert {candle["state"] for candle in answered["candles"]} == {"backfilled"}
    assert answered["coverage"] == {"expected": 75, "present": 75, "note": None}


def test_a_run_that_fails_says_why(working: httpx.Client) -> None:
    order = {"tokens": [2953217], "from": str(DAY), "to": str(DAY), "interval": "7m"}
    run = finished(working, working.post(BACKFILL, json=order))
    assert run["status"] == "FAILURE"
    assert "has no candles of 7 minutes: choose of" in run["error"]


def test_a_sync_brings_the_instruments_in_line_with_the_master(
    working: httpx.Client, day: Day
) -> None:
    run = finished(working, working.post(SYNC))
    assert (run["status"], run["job"]) == ("SUCCESS", "instrument_sync"), run["error"]


def test_a_run_that_does_not_exist_is_not_found(working: httpx.Client) -> None:
    reply = working.get("/api/runs/00000000-0000-0000-0000-000000000000")
    assert "knows no run" in problem(reply, 404, "not-found")["detail"]


def test_without_a_daemon_dagster_is_not_ready(working: httpx.Client) -> None:
    body = problem(working.get("/health/ready"), 503, "not-ready")
    assert "daemons that do not live" in body["parts"]["dagster"]["detail"]


@pytest.mark.parametrize(
    ("order", "status", "told"),
    [
        ({"from": "2026-11-20", "names": ["NSE:NOSUCH"]}, 404, "NSE:NOSUCH"),
        ({"from": "2026-11-20", "to": "2026-11-19"}, 422, "is later than to"),
        ({"from": "2999-01-01"}, 422, "must lie between"),
        ({"from": "2026-11-20", "interval": "9h30"}, 422, "interval"),
        ({"names": ["NSE:TCS"]}, 422, "body.from"),
        ({"from": "2026-11-20", "form": 1}, 422, "body.form"),
    ],
)
def test_an_order_that_makes_no_sense_is_refused_before_a_run_is_started(
    client: httpx.Client, order: dict[str, Any], status: int, told: str
) -> None:
    reply = client.post(BACKFILL, json=order)
    kind = "unknown-instrument" if status == 404 else "invalid"
    assert told in problem(reply, status, kind)["detail"]


@pytest.mark.parametrize("path", [BACKFILL, SYNC])
def test_without_dagster_one_is_told_how_to_start_it(client: httpx.Client, path: str) -> None:
    reply = client.post(path, json={"from": "2026-11-20"})
    assert "market-pipeline up" in problem(reply, 503, "dagster-unavailable")["detail"]
    assert reply.headers["Retry-After"] == "10"


def test_the_password_of_dagster_is_sent_to_it_and_shown_to_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[httpx.Request] = []

    async def answer(_: httpx.AsyncHTTPTransport, request: httpx.Request) -> httpx.Response:
        asked.append(request)
        if len(asked) > 1:
            raise httpx.ConnectError("gone")
        started = {"__typename": "LaunchRunSuccess", "run": {"runId": "7"}}
        return httpx.Response(200, json={"data": {"launchRun": started}})

    monkeypatch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", answer)
    dagster = dagster_client.DagsterClient("http://ops:pass%40word@dagster.example:3000/")
    assert asyncio.run(dagster.launch("instrument_sync")) == "7"
    authorization = b64decode(asked[0].headers["Authorization"].removeprefix("Basic "))
    assert authorization == b"ops:pass@word"
    with pytest.raises(DagsterUnavailable) as refused:
        asyncio.run(dagster.launch("instrument_sync"))
    assert "at http://dagster.example:3000 (" in str(refused.value)
    assert dagster.url == "http://dagster.example:3000"


def test_dagster_understands_what_it_is_asked() -> None:
    schema = create_schema().graphql_schema
    queries = ("_LAUNCH", "_RUN", "_EVENTS", "_DAEMONS")
    for name in queries:
        assert validate(schema, parse(getattr(dagster_client, name))) == []
