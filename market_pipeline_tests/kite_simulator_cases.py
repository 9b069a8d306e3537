"""What the tests of the simulated broker share: a running one, a login, a client of its socket."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from kiteconnect import KiteConnect, KiteTicker
from twisted.internet import reactor as twisted_reactor

from market_pipeline.brokers import kite_wire
from market_pipeline.market import Columns
from market_pipeline.simulator.kite_server import RunningSimulator, SimulatorOptions, running

pytestmark = pytest.mark.timeout(60)
reactor: Any = twisted_reactor  # a module that poses as an object

RELIANCE, NIFTY, SBIN = 738561, 256265, 779521
ROWS = """symbol,time,open,high,low,close,volume
SBIN,2016-08-16 09:15,245.55,246.35,244.05,245.3,692491
SBIN,2016-08-16 09:16,245.25,245.35,244.8,245.15,394274
SBIN,2016-08-16 09:17,245.15,245.7,244.35,245,1
"""


def until(condition: Callable[[], Any], seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "this did not come true in time"
        time.sleep(0.01)


@pytest.fixture(scope="module")
def simulator() -> Iterator[RunningSimulator]:
    with running(SimulatorOptions(port=0, rate_limits=False, every_second=True)) as simulator:
        yield simulator


@pytest.fixture(scope="module")
def limited() -> Iterator[RunningSimulator]:
    with running(SimulatorOptions(port=0, instruments=10)) as simulator:
        yield simulator


@pytest.fixture(autouse=True)
def clear_faults(simulator: RunningSimulator) -> Iterator[None]:
    yield
    simulator.fault("clear")


def request_token(simulator: RunningSimulator) -> str:
    login = f"{simulator.url}/connect/login?api_key=simulator&v=3"
    answer = requests.get(login, allow_redirects=False, timeout=5)
    return parse_qs(urlsplit(answer.headers["Location"]).query)["request_token"][0]


def log_in(simulator: RunningSimulator) -> KiteConnect:
    kite = KiteConnect("simulator", root=simulator.url)
    kite.generate_session(request_token(simulator), "simulator")
    return kite


@pytest.fixture
def kite(simulator: RunningSimulator) -> Iterator[KiteConnect]:
    kite = log_in(simulator)
    yield kite
    kite.reqsession.close()


# REST


@pytest.fixture(scope="module", autouse=True)
def twisted() -> None:
    """Run the reactor for the rest of the process: it can be started once only."""
    if not reactor.running:
        threading.Thread(
            target=reactor.run, kwargs={"installSignalHandlers": False}, daemon=True
        ).start()
        until(lambda: reactor.running)


class Client:
    """A KiteTicker that keeps what arrives."""

    def __init__(self, simulator: RunningSimulator, token: str, **modes: list[int]) -> None:
        self.frames: list[bytes] = []
        self.texts: list[dict[str, Any]] = []
        self.errors: list[str] = []
        self.closed = threading.Event()
        self._modes = modes
        self.ticker = KiteTicker("simulator", token, root=simulator.ws_url)
        self.ticker.on_connect = self._subscribe
        self.ticker.on_message = self._keep
        self.ticker.on_error = lambda ws, code, reason: self.errors.append(reason)
        self.ticker.on_close = lambda ws, code, reason: self.closed.set()
        reactor.callFromThread(self.ticker.connect)

    def _subscribe(self, ws: KiteTicker, response: object) -> None:
        for mode, tokens in self._modes.items():
            ws.subscribe(tokens)
            if mode != "quote":
                ws.set_mode(mode, tokens)

    def _keep(self, ws: KiteTicker, payload: bytes, is_binary: bool) -> None:
        if is_binary:
            self.frames.append(payload)
        else:
            self.texts.append(json.loads(payload))

    @property
    def packets(self) -> Columns:
        return kite_wire.decode(list(self.frames)).packets

    def send(self, text: str) -> None:
        reactor.callFromThread(lambda: self.ticker.ws.sendMessage(text.encode()))

    def close(self) -> None:
        reactor.callFromThread(self.ticker.stop_retry)
        reactor.callFromThread(self.ticker.close)
        if self.ticker.is_connected():
            assert self.closed.wait(10)


Connect = Callable[..., Client]


@pytest.fixture
def connect(simulator: RunningSimulator) -> Iterator[Connect]:
    clients: list[Client] = []

    def make(token: str | None = None, to: RunningSimulator = simulator, **modes: Any) -> Client:
        clients.append(Client(to, token or to.server.accounts.access_token, **modes))
        return clients[-1]

    yield make
    for client in clients:
        client.close()
    until(lambda: not simulator.server.ticker.connections)
