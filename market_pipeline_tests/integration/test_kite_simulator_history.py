"""The simulated broker's candles over REST: what was asked, what settles, what goes wrong."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
import requests

from market_pipeline.sessions import EXCHANGE_TZ
from market_pipeline.simulator.kite_server import RunningSimulator, SimulatorOptions, running
from market_pipeline_tests.builders import eventually

pytestmark = pytest.mark.timeout(60)

RELIANCE, SBIN = 738561, 779521
MOMENT = datetime(2026, 10, 6, 12, 0, 1, tzinfo=EXCHANGE_TZ)
EDGES = ("2026-10-05 09:15:00", "2026-10-05 09:24:00")


@pytest.fixture
def simulator() -> Iterator[RunningSimulator]:
    options = SimulatorOptions(
        port=0, starts_at=MOMENT, rate_limits=False, every_second=True, settle_seconds=5
    )
    with running(options) as simulator:
        yield simulator


def ask(
    simulator: RunningSimulator, token: int = RELIANCE, edges: tuple[str, str] = EDGES
) -> requests.Response:
    key = f"token simulator:{simulator.server.accounts.access_token}"
    return requests.get(
        f"{simulator.url}/instruments/historical/{token}/minute",
        params={"from": edges[0], "to": edges[1]},
        headers={"Authorization": key},
        timeout=10,
    )


def candles(reply: requests.Response) -> list[list[Any]]:
    found: list[list[Any]] = reply.json()["data"]["candles"]
    return found


def test_a_candle_lacks_its_last_trades_for_a_few_seconds(simulator: RunningSimulator) -> None:
    minute = ("2026-10-06 11:59:00", "2026-10-06 11:59:00")
    opened = int(MOMENT.timestamp()) - 61
    whole = simulator.server.exchange.candles(RELIANCE, 1, opened, opened, opened + 3600)
    volume, close = int(whole["volume"][0]), float(whole["close"][0])
    assert candles(ask(simulator, edges=minute))[0][5] < volume
    eventually(lambda: candles(ask(simulator, edges=minute))[0][4:] == [close, volume], "unsettled")
    assert simulator.server.clock.now() >= opened + 60 + 4


def test_requests_are_counted_by_what_they_asked_for(simulator: RunningSimulator) -> None:
    for token in (RELIANCE, SBIN, RELIANCE):
        ask(simulator, token)
    ask(simulator, token=1)
    status = requests.get(f"{simulator.url}/simulator/requests", timeout=5).json()
    assert status["accepted"] == {"historical": 4}
    assert status["history"] == [
        {"token": RELIANCE, "interval": "minute", "from": EDGES[0], "to": EDGES[1], "count": 2},
        {"token": SBIN, "interval": "minute", "from": EDGES[0], "to": EDGES[1], "count": 1},
    ]
    simulator.server.requests.clear()
    assert not simulator.server.requests.status()["history"]


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [(502, 502, "text/html"), (500, 500, "application/json"), (None, 200, None)],
)
def test_history_fails_as_often_as_it_is_told_to(
    simulator: RunningSimulator, status: int | None, code: int, kind: str | None
) -> None:
    simulator.fault("fail_history", count=2, status=status)
    for _ in range(2):
        reply = ask(simulator)
        assert reply.status_code == code
        assert reply.headers.get("Content-Type", "").split(";")[0] == (kind or "")
    assert len(candles(ask(simulator))) == 10
    assert sum(simulator.server.requests.history.values()) == 1


def test_corrupt_history_ends_in_the_middle(simulator: RunningSimulator) -> None:
    simulator.fault("corrupt_history")
    with pytest.raises(requests.JSONDecodeError):
        ask(simulator).json()
    assert ask(simulator).json()


def test_empty_history_is_of_some_instruments_only(simulator: RunningSimulator) -> None:
    simulator.fault("empty_history", tokens=[RELIANCE])
    assert candles(ask(simulator)) == []
    assert candles(ask(simulator, SBIN))
    simulator.fault("clear")
    assert candles(ask(simulator))


def test_slow_history_waits(simulator: RunningSimulator) -> None:
    simulator.fault("slow_history", seconds=0.3)
    assert ask(simulator).elapsed >= timedelta(seconds=0.3)


def test_a_throttled_request_is_told_how_long_to_wait(simulator: RunningSimulator) -> None:
    simulator.fault("throttle", seconds=30)
    reply = ask(simulator)
    assert reply.status_code == 429
    assert reply.json()["error_type"] == "NetworkException"
    assert int(reply.headers["Retry-After"]) in (29, 30)
    simulator.fault("clear")
    assert ask(simulator).ok
