"""A peer of Kite's adapter that can misbehave on command, and what listens to it."""

import contextlib
import json
import threading
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import pytest
from pydantic import SecretStr
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

from market_pipeline.brokers import kite, kite_ticker
from market_pipeline_tests import line_cases
from market_pipeline_tests.line_cases import SECRET

INFY, NIFTY, GOLD = 408065, 256265, 13000707


class Peer(line_cases.Peer):
    """A server of one port that notes what it is told on each connection."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[list[dict[str, Any]]] = []
        self.texts: list[str] = []

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

    @property
    def subscribed(self) -> list[list[int]]:
        return self._tokens("subscribe")

    @property
    def unsubscribed(self) -> list[list[int]]:
        return self._tokens("unsubscribe")

    def _tokens(self, action: str) -> list[list[int]]:
        return [
            [token for message in told if message["a"] == action for token in message["v"]]
            for told in self.told
        ]

    def refuse_tokens(self) -> None:
        self.refuse = HTTPStatus.FORBIDDEN


class Bench(line_cases.Bench):
    """The peer, Kite's adapter and what listens between them."""

    tokens = (INFY, NIFTY, GOLD)

    def __init__(self, peer: Peer, port: int) -> None:
        super().__init__(f"ws://127.0.0.1:{port}")
        self.peer: Peer = peer

    def broker(self, root: str) -> kite.Kite:
        return kite.Kite("key", lambda: SecretStr(SECRET), None, root)

    def hurry(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(kite_ticker, "MAX_RETRIES", 1)
        monkeypatch.setattr(kite, "_POLL_SECONDS", 0.05)


@contextlib.contextmanager
def running() -> Iterator[Bench]:
    peer = Peer()
    with serve(
        peer.serve, "127.0.0.1", 0, process_request=peer.greet, compression=None, ping_interval=None
    ) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        bench = Bench(peer, server.socket.getsockname()[1])
        yield bench
        bench.end()
        server.shutdown()
        thread.join()


@pytest.fixture
def bench() -> Iterator[Bench]:
    with running() as bench:
        yield bench


SUBSCRIBED = [
    {"a": "subscribe", "v": [INFY, NIFTY]},
    {"a": "mode", "v": ["full", [INFY, NIFTY]]},
]
