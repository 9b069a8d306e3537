"""`market-pipeline demo` as a newcomer runs it: the real processes, from start to last trace."""

import json
import re
import signal
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from market_pipeline_tests.acceptance.demo import (
    CHECK_SECONDS,
    EVIDENCE,
    START_SECONDS,
    STOP_SECONDS,
    STREAM_SECONDS,
    Demo,
    observed,
    within,
)

pytestmark = [pytest.mark.acceptance, pytest.mark.slow, pytest.mark.timeout(600)]


def test_demo_streams_shows_itself_and_leaves_nothing_behind(start: Callable[[], Demo]) -> None:
    demo = start()
    demo.wait_until_ready()
    newest = "SELECT max(time) FROM ticks"
    first = within(STREAM_SECONDS, lambda: demo.scalar(newest), demo.say)
    within(30, lambda: demo.scalar(newest) > first)
    within(30, lambda: demo.scalar("SELECT count(*) FROM candles_1m") > 0)
    within(STREAM_SECONDS, lambda: observed(demo.graphql(EVIDENCE)))
    expected = {
        "instruments:instruments_are_known",
        "ticks:ticks_are_fresh",
        "candles_1m:rows_arrive",
        "candles_1m:ohlc_is_sane",
        "candles_1m:candles_are_complete",
        "candles_1m:candles_agree_with_ticks",
        "candles_1m:volume_of_the_day_adds_up",
        "candles_1m:anomalies_are_few",
        "candles_5m:aggregates_agree",
        "candles_1d:aggregates_agree",
    }
    # Candles are stored a minute after the first tick, and Dagster looks at them after that.
    within(CHECK_SECONDS, lambda: expected <= demo.passed_checks(), demo.passed_checks)
    streaming_can_be_stopped_and_started_over_the_api(demo)

    demo.process.send_signal(signal.SIGTERM)
    demo.process.send_signal(signal.SIGINT)  # an impatient user
    assert demo.process.wait(STOP_SECONDS) == 0
    assert demo.members() == []


def test_demo_that_was_killed_starts_again_cleanly(start: Callable[[], Demo]) -> None:
    killed = start()
    killed.wait_until_ready()
    count = "SELECT count(*) FROM ticks"
    stored = within(STREAM_SECONDS, lambda: killed.scalar(count), killed.say)
    before = {process.pid for process in killed.members()}
    killed.process.kill()
    killed.process.wait(10)

    second = start()
    second.wait_until_ready()
    assert not before & {process.pid for process in second.members()}
    within(STREAM_SECONDS, lambda: second.scalar(count) > stored, second.say)
    assert record(second)["pids"].keys() >= {"simulator", "dagster-daemon"}
    second.process.send_signal(signal.SIGTERM)
    assert second.process.wait(STOP_SECONDS) == 0
    assert second.members() == []


def test_second_demo_of_a_home_is_refused(start: Callable[[], Demo]) -> None:
    first = start()
    is_starting = (first.home / "run" / "stack.json").is_file
    within(START_SECONDS, lambda: is_starting() or first.process.poll() is not None)
    assert is_starting(), first.say()
    second = start()
    assert second.process.wait(60) == 1
    assert re.search(rf"already running \(pid {first.process.pid}\)", second.say())
    # Also while it is still starting everything ends in time.
    first.process.send_signal(signal.SIGINT)
    assert first.process.wait(STOP_SECONDS) == 0
    assert first.members() == []


def streaming_can_be_stopped_and_started_over_the_api(demo: Demo) -> None:
    url = record(demo)["api_url"]
    assert f"{url}/docs" in demo.say()
    with httpx.Client(base_url=url, timeout=20, trust_env=False) as api:
        within(30, lambda: api.get("/health/ready").status_code == 200, demo.say)
        api.post("/api/ws/stop").raise_for_status()

        def stream() -> tuple[str, str]:
            (found,) = api.get("/api/ws/status").json()["streams"]
            return found["state"], found["detail"]

        within(30, lambda: stream() == ("stopped", "not wanted"), stream)
        api.post("/api/ws/start").raise_for_status()
        within(STREAM_SECONDS, lambda: stream()[0] == "streaming", stream)


def record(demo: Demo) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((demo.home / "run" / "stack.json").read_text("utf-8"))
    return content
