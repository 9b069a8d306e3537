"""A peer of Kite's adapter that can misbehave on command, and what listens to it."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Any

import pytest
from pydantic import SecretStr
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

from market_pipeline.brokers import kite
from market_pipeline.market import Mode

INFY, NIFTY, GOLD = 408065, 256265, 13000707
SECRET = "s3cret-access-token"


def until(condition: Callable[[], Any], seconds: float = 8.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "this did not come true in time"
        time.sleep(0.01)


class Peer:
    """A server of one port that notes what it is told on each connection."""

    def __init__(self) -> None:
        self.attempts = 0
        self.told: list[list[dict[str, Any]]] = []
        self.refuse: HTTPStatus | None = None
        self.silent, self.pace = False, 0.05
        self.texts: list[str] = []
        self.admit = threading.Event()
        self.admit.set()
        self.live: set[ServerConnection] = set()

    def greet(self, connection: ServerConnection, request: Request) -> Response | None:
        self.attempts += 1
        self.admit.wait(10)
        return connection.respond(self.refuse, "") if self.refuse else None

    def serve(self, connection: ServerConnection) -> None:
        told: list[dict[str, Any]] = []
        self.told.append(told)
        self.live.add(connection)
        try:
            for text in self.texts:
                connection.send(text)
            while True:
                if not self.silent:
                    connection.send(b"\x00")
                try:
                    told.append(json.loads(connection.recv(timeout=self.pace)))
                except TimeoutError:
                    continue
        except ConnectionClosed:
            self.live.discard(connection)

    def drop(self) -> None:
        for connection in list(self.live):
            connection.close_socket()


class Listening:
    """Kite.listen in a thread of its own, and everything its sink is told."""

    def __init__(
        self, broker: kite.Kite, wanted: Callable[[], dict[int, Mode]], patience: float
    ) -> None:
        self.patience = patience
        self.events: list[str] = []
        self.texts: list[str] = []
        self.failing: Exception | None = None
        self.slowness, self.frames = 0.0, 0
        self.outcome: BaseException | None = None
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._run, args=(broker, wanted))
        self.thread.start()

    def _run(self, broker: kite.Kite, wanted: Callable[[], dict[int, Mode]]) -> None:
        try:
            broker.listen(wanted, self, self.stop, lambda: self.patience)
        except Exception as error:  # noqa: BLE001 - whatever it is, the test looks at it
            self.outcome = error

    def connected(self) -> None:
        self.events.append("connected")

    def frame(self, payload: bytes) -> None:
        if self.failing:
            raise self.failing
        time.sleep(self.slowness)
        self.frames += 1
        if self.events[-1] != "frame":
            self.events.append("frame")

    def text(self, message: str) -> None:
        self.texts.append(message)

    def disconnected(self, cause: str) -> None:
        self.events.append(cause)

    def end(self) -> BaseException | None:
        self.thread.join(10)
        assert not self.thread.is_alive()
        return self.outcome


class Bench:
    """The peer, the adapter and what listens between them."""

    def __init__(self, peer: Peer, port: int) -> None:
        self.peer = peer
        self.root = f"ws://127.0.0.1:{port}"
        self.wanted = {INFY: Mode.FULL, NIFTY: Mode.FULL}
        self.started: list[Listening] = []

    def listen(self, patience: float = 5.0, root: str | None = None) -> Listening:
        root = root or self.root
        broker = kite.Kite("key", lambda: SecretStr(SECRET), None, root)
        self.started.append(Listening(broker, lambda: self.wanted, patience))
        return self.started[-1]


@pytest.fixture
def bench() -> Iterator[Bench]:
    peer = Peer()
    with serve(
        peer.serve, "127.0.0.1", 0, process_request=peer.greet, compression=None, ping_interval=None
    ) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        bench = Bench(peer, server.socket.getsockname()[1])
        yield bench
        for listening in bench.started:
            listening.stop.set()
            listening.end()
        server.shutdown()
        thread.join()


SUBSCRIBED = [
    {"a": "subscribe", "v": [INFY, NIFTY]},
    {"a": "mode", "v": ["full", [INFY, NIFTY]]},
]
