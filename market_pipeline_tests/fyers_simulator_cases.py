"""What the tests of the simulated Fyers share: one that runs, its REST, and a raw client."""

import asyncio
import json
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
import requests

from market_pipeline.brokers import fyers_wire
from market_pipeline.market import Columns
from market_pipeline.sessions import EXCHANGE_TZ
from market_pipeline.simulator.fyers_server import (
    SOCKET_PATH,
    RunningFyers,
    SimulatorOptions,
    running,
)

NOON = datetime(2026, 11, 24, 12, tzinfo=EXCHANGE_TZ)
SBIN, RELIANCE, NIFTY = "sf|nse_cm|3045", "sf|nse_cm|2885", "if|nse_cm|Nifty 50"
SBIN_BOOK = "dp|nse_cm|3045"
SBIN_TOKEN, RELIANCE_TOKEN, NIFTY_TOKEN = 10103045, 10102885, 101026000
UNCHANGED = -(1 << 31)


def until(condition: Callable[[], Any], seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "this did not come true in time"
        time.sleep(0.01)


@pytest.fixture(scope="module")
def simulator() -> Iterator[RunningFyers]:
    options = SimulatorOptions(port=0, rate_limits=False, every_second=True, starts_at=NOON)
    with running(options) as simulator:
        yield simulator


@pytest.fixture(name="simulator", scope="module")
def fast_simulator() -> Iterator[RunningFyers]:
    """A simulator whose day goes by ten times as fast."""
    options = SimulatorOptions(port=0, every_second=True, day=NOON.date(), speed=10)
    with running(options) as simulator:
        requests.post(f"{simulator.url}/simulator/start", timeout=5)
        yield simulator


@pytest.fixture(autouse=True)
def clear_faults(simulator: RunningFyers) -> Iterator[None]:
    yield
    simulator.fault("clear")


# REST


class Api:
    """Asks as the vendor's library does."""

    def __init__(self, simulator: RunningFyers, token: str | None = None) -> None:
        self.url = simulator.url
        self.token = token if token is not None else simulator.server.accounts.access_token
        self.session = requests.Session()

    def ask(self, path: str, **query: object) -> requests.Response:
        headers = {"Authorization": f"simulator:{self.token}", "version": "3"}
        url = f"{self.url}{path}"
        return self.session.get(url, params=query, headers=headers, timeout=10)  # type: ignore[arg-type]

    def get(self, path: str, **query: object) -> dict[str, Any]:
        body: dict[str, Any] = self.ask(path, **query).json()
        return body

    def symbol_token(self, symbols: object) -> requests.Response:
        headers = {"Authorization": self.token}
        url = f"{self.url}/data/symbol-token"
        return self.session.post(
            url, data=json.dumps({"symbols": symbols}), headers=headers, timeout=10
        )


@pytest.fixture
def api(simulator: RunningFyers) -> Iterator[Api]:
    api = Api(simulator)
    yield api
    api.session.close()


def auth_code(simulator: RunningFyers, client_id: str = "simulator") -> str:
    query = {
        "client_id": client_id,
        "redirect_uri": "http://127.0.0.1/back",
        "response_type": "code",
        "state": "abc",
    }
    url = f"{simulator.url}/api/v3/generate-authcode"
    answer = requests.get(url, params=query, allow_redirects=False, timeout=5)
    fields = parse_qs(urlsplit(answer.headers["Location"]).query)
    assert fields["state"] == ["abc"]
    return fields["auth_code"][0]


# The data socket: frames as the vendor's library writes them


def field(number: int, value: bytes) -> bytes:
    return struct.pack(">BH", number, len(value)) + value


def request(kind: int, *fields: bytes) -> bytes:
    """Write a request; the library leaves its length wrong, and so does this."""
    return struct.pack(">HBB", 0, kind, len(fields)) + b"".join(fields)


def login(key: str) -> bytes:
    source = b"PythonSDK-3.2.0"
    return request(1, field(1, key.encode()), field(2, b"P"), field(3, b"\x01"), field(4, source))


def mode(letter: str) -> bytes:
    return request(12, field(1, struct.pack(">Q", 1 << 11)), field(2, letter.encode()))


def subscription(topics: Sequence[str], kind: int = 4, channel: int = 11) -> bytes:
    names = b"".join(bytes([len(topic)]) + topic.encode() for topic in topics)
    return request(
        kind, field(1, struct.pack(">H", len(topics)) + names), field(2, bytes([channel]))
    )


def channels(kind: int, channel: int) -> bytes:
    return request(kind, field(1, struct.pack(">Q", 1 << channel)))


PING = bytes([0, 1, 11])


class Item(NamedTuple):
    """One item of a data frame, read by the layout alone."""

    kind: str
    number: int
    values: tuple[int, ...]
    topic: str = ""
    multiplier: int = 0
    precision: int = 0
    names: tuple[str, ...] = ()


def items_of(frame: bytes) -> list[Item]:
    """Read a data frame of the data socket; nothing is merged."""
    assert int.from_bytes(frame[:2], "big") == len(frame) - 2
    offset, found = 9, []
    for _ in range(int.from_bytes(frame[7:9], "big")):
        kind, number = struct.unpack_from("<BH", frame, offset)
        offset += 3
        if kind == ord("L"):
            found.append(Item("L", number, struct.unpack_from(">i", frame, offset)))
            offset += 4
            continue
        topic = ""
        if kind == ord("S"):
            topic, offset = _text(frame, offset)
        count = frame[offset]
        values = struct.unpack_from(f">{count}i", frame, offset + 1)
        offset += 1 + 4 * count
        if kind == ord("U"):
            found.append(Item("U", number, values))
            continue
        multiplier, precision = struct.unpack_from(">HB", frame, offset + 2)
        offset += 5
        names = []
        for _ in range(3):
            name, offset = _text(frame, offset)
            names.append(name)
        found.append(Item("S", number, values, topic, multiplier, precision, tuple(names)))
    assert offset == len(frame)
    return found


def merged(items: list[Item], topic: str) -> list[tuple[int, ...]]:
    """Return all values of a topic after each of its items."""
    number, states = None, list[tuple[int, ...]]()
    for item in items:
        if item.topic == topic:
            number = item.number
            states.append(item.values)
        elif item.number == number:
            pairs = zip(states[-1], item.values, strict=False)
            values = tuple(old if new == UNCHANGED else new for old, new in pairs)
            states.append(values + states[-1][len(values) :])
    return states


def _text(frame: bytes, offset: int) -> tuple[str, int]:
    end = offset + 1 + frame[offset]
    return frame[offset + 1 : end].decode(), end


class Client:
    """A raw client of the data socket that keeps what arrives."""

    def __init__(self, simulator: RunningFyers, **headers: str) -> None:
        self.frames: list[bytes] = []
        self.opened = threading.Event()
        self.closed = threading.Event()
        self.status: int | None = None  # of an upgrade that was refused
        self._url = f"{simulator.ws_url}{SOCKET_PATH}"
        self._headers = headers
        self._loop = asyncio.new_event_loop()
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=[self._run()])
        self._thread.start()

    async def _run(self) -> None:
        try:
            async with (
                aiohttp.ClientSession() as session,
                session.ws_connect(self._url, headers=self._headers, max_msg_size=0) as socket,
            ):
                self._socket = socket
                self.opened.set()
                async for message in socket:
                    if message.type is aiohttp.WSMsgType.BINARY:
                        self.frames.append(message.data)
        except aiohttp.WSServerHandshakeError as error:
            self.status = error.status
        except aiohttp.ClientError:
            pass  # the line was cut, which `closed` says
        finally:
            self.closed.set()

    def send(self, *payloads: bytes) -> None:
        assert self.opened.wait(10)
        assert self._socket is not None
        for payload in payloads:
            sending = asyncio.run_coroutine_threadsafe(self._socket.send_bytes(payload), self._loop)
            sending.result(timeout=10)

    def of(self, kind: int) -> list[bytes]:
        """Return the frames of one type: 6 is data."""
        return [frame for frame in list(self.frames) if frame[2] == kind]

    @property
    def items(self) -> list[Item]:
        return [item for frame in self.of(6) for item in items_of(frame)]

    @property
    def packets(self) -> Columns:
        return fyers_wire.Decoder().decode(list(self.frames)).packets

    def close(self) -> None:
        if self._socket is not None and not self.closed.is_set():
            asyncio.run_coroutine_threadsafe(self._socket.close(), self._loop).result(timeout=10)
        self._thread.join(timeout=10)
        assert not self._thread.is_alive()
        self._loop.close()


Connect = Callable[..., Client]


@pytest.fixture
def connect(simulator: RunningFyers) -> Iterator[Connect]:
    """Make clients; with topics they are logged in and subscribed."""
    clients: list[Client] = []

    def make(*topics: str, letter: str = "F", to: RunningFyers = simulator) -> Client:
        client = Client(to)
        clients.append(client)
        client.send(login(to.server.accounts.hsm_key), mode(letter))
        if topics:
            client.send(subscription(topics))
        return client

    yield make
    for client in clients:
        client.close()
    until(lambda: not simulator.server.ticker.connections)
