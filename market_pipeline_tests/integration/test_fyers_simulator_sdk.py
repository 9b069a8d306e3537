"""The simulated Fyers as the vendor's own, unmodified library sees it."""

import importlib.util
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from market_pipeline.simulator.fyers_feed import Habits
from market_pipeline.simulator.fyers_server import RunningFyers, SimulatorOptions, running
from market_pipeline_tests import fyers_sdk_client
from market_pipeline_tests.fyers_simulator_cases import NOON, auth_code, until
from market_pipeline_tests.fyers_simulator_cases import clear_faults as clear_faults
from market_pipeline_tests.fyers_simulator_cases import simulator as simulator

pytestmark = [
    pytest.mark.timeout(90),
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("fyers_apiv3") is None, reason="fyers-apiv3 is not installed"
    ),
]

EQUITY, INDEX = "NSE:SBIN-EQ", "NSE:NIFTY50-INDEX"


class Sdk:
    """A process that runs the library, and what it has said so far."""

    def __init__(self, simulator: RunningFyers, folder: Path, **job: object) -> None:
        self.said: list[tuple[str, Any]] = []
        command = [sys.executable, "-W", "ignore", fyers_sdk_client.__file__]
        arguments = json.dumps({"address": simulator.url, **job})
        self._process = subprocess.Popen(
            [*command, arguments], stdout=subprocess.PIPE, text=True, cwd=folder
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        for line in self._process.stdout or ():
            if line.startswith("["):  # the library prints words of its own
                kind, content = json.loads(line)
                self.said.append((kind, content))

    def of(self, kind: str) -> list[Any]:
        return [content for said, content in list(self.said) if said == kind]

    def ticks(self, symbol: str) -> list[dict[str, Any]]:
        return [tick for tick in self.of("message") if tick.get("symbol") == symbol]

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()
        if self._process.stdout:
            self._process.stdout.close()


Listen = Callable[..., Sdk]


@pytest.fixture
def listen(simulator: RunningFyers, tmp_path: Path) -> Iterator[Listen]:
    """Start the library's data socket."""
    started: list[Sdk] = []

    def start(*symbols: str, to: RunningFyers = simulator, **job: object) -> Sdk:
        defaults = {"data_type": "SymbolUpdate", "litemode": False}
        connection = {"url": to.url, "token": to.server.accounts.access_token}
        sdk = Sdk(to, tmp_path, job="listen", symbols=symbols, **connection, **defaults | job)
        started.append(sdk)
        return sdk

    yield start
    for sdk in started:
        sdk.end()
    until(lambda: not simulator.server.ticker.connections)


def test_the_library_logs_in_and_asks_for_everything(
    simulator: RunningFyers, tmp_path: Path
) -> None:
    login = {"app_id": "simulator", "secret": "simulator", "code": auth_code(simulator)}
    sdk = Sdk(simulator, tmp_path, job="ask", symbol=EQUITY, **login)
    until(lambda: len(sdk.said) == 5)
    sdk.end()
    assert {content["s"] for _, content in sdk.said} == {"ok"}
    assert len(sdk.of("history")[0]["candles"]) == 3
    assert sdk.of("quotes")[0]["d"][0]["v"]["fyToken"] == "10100000003045"


def test_the_library_merges_what_the_data_socket_sends(
    listen: Listen, simulator: RunningFyers
) -> None:
    sdk = listen(EQUITY, INDEX)
    until(lambda: len(sdk.ticks(EQUITY)) >= 3 and len(sdk.ticks(INDEX)) >= 3)
    assert [m["type"] for m in sdk.of("message") if "code" in m] == ["cn", "ful", "sub"]
    volumes = [tick["vol_traded_today"] for tick in sdk.ticks(EQUITY)]
    assert volumes == sorted(volumes)
    last = sdk.ticks(EQUITY)[-1]
    assert last["low_price"] <= last["ltp"] <= last["high_price"]
    assert abs(last["exch_feed_time"] - NOON.timestamp()) < 3600
    assert sdk.ticks(INDEX)[-1]["type"] == "if"
    assert not sdk.of("error")


def test_the_library_reads_lite_mode(listen: Listen) -> None:
    sdk = listen(EQUITY, litemode=True)
    until(lambda: len(sdk.ticks(EQUITY)) >= 3)
    assert [m["type"] for m in sdk.of("message") if "code" in m] == ["cn", "lit", "sub"]
    assert sdk.ticks(EQUITY)[-1].keys() == {"ltp", "symbol", "type"}


def test_the_library_reads_depth(listen: Listen) -> None:
    sdk = listen(EQUITY, data_type="DepthUpdate")
    until(lambda: len(sdk.ticks(EQUITY)) >= 3)
    last = sdk.ticks(EQUITY)[-1]
    assert last["bid_price2"] < last["bid_price1"] < last["ask_price1"] < last["ask_price2"]


def test_the_library_hears_of_a_refused_login(listen: Listen, simulator: RunningFyers) -> None:
    simulator.fault("refuse")
    sdk = listen(EQUITY)
    until(lambda: sdk.of("error"))
    assert sdk.of("error")[0]["code"] == 11001


def test_the_library_hears_nothing_when_symbol_token_fails(
    listen: Listen, simulator: RunningFyers
) -> None:
    simulator.fault("symbol_token")
    sdk = listen(EQUITY)
    until(lambda: sdk.of("connect"))
    begun = simulator.server.clock.now()
    until(lambda: simulator.server.clock.now() > begun + 2)
    assert not sdk.ticks(EQUITY)
    assert not sdk.of("error")


def test_the_library_loses_its_subscription_in_a_slow_handshake(
    listen: Listen, simulator: RunningFyers
) -> None:
    simulator.fault("slow_handshake", seconds=4)
    sdk = listen(EQUITY)
    until(lambda: any(message["type"] == "ful" for message in sdk.of("message")))
    assert sdk.of("connect")  # long before it was
    begun = simulator.server.clock.now()
    until(lambda: simulator.server.clock.now() > begun + 2)
    assert simulator.server.ticker.connections[0].subscribed == 0
    assert not sdk.ticks(EQUITY)


def test_the_library_comes_back_after_a_drop(listen: Listen, simulator: RunningFyers) -> None:
    sdk = listen(EQUITY)
    until(lambda: sdk.ticks(EQUITY))
    simulator.fault("drop")
    until(lambda: sdk.of("error"))
    before = len(sdk.ticks(EQUITY))
    until(lambda: len(sdk.ticks(EQUITY)) > before, 30)
    assert len(sdk.of("connect")) == 2


def test_the_library_acknowledges_and_hears_of_the_limit_of_symbols(listen: Listen) -> None:
    options = SimulatorOptions(port=0, every_second=True)
    with running(options, Habits(most_topics=1, ack_count=2)) as strict:
        sdk = listen(EQUITY, to=strict)
        until(lambda: sdk.ticks(EQUITY))
        connection = strict.server.ticker.connections[0]
        until(lambda: connection.acknowledged >= 2)
        greedy = listen(EQUITY, INDEX, to=strict)
        until(lambda: greedy.of("error"))
        assert greedy.of("error")[0]["code"] == 51001
        assert greedy.of("error")[0]["type"] == "sub"
