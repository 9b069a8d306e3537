"""A peer that went away without a word, as when a router forgets a connection, is noticed."""

import contextlib
import hashlib
import socket
import threading
from base64 import b64encode
from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from market_pipeline.brokers import fyers_socket
from market_pipeline.brokers.fyers import Fyers
from market_pipeline.brokers.fyers_wire import AUTH, SUBSCRIBE, reply
from market_pipeline.market import Mode
from market_pipeline_tests.fyers_line_cases import GOLD, jwt
from market_pipeline_tests.line_cases import Listening, until

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3


class Grave:
    """Accepts connections and logins, then neither reads nor writes, nor closes."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.root = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.buried: list[socket.socket] = []
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self._welcome(self.listener.accept()[0])

    def _welcome(self, client: socket.socket) -> None:
        self.buried.append(client)
        request = client.recv(1 << 16)
        lines = dict(line.split(b": ", 1) for line in request.split(b"\r\n") if b": " in line)
        if b"Sec-WebSocket-Key" not in lines:  # for a file
            client.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            return
        key = hashlib.sha1(lines[b"Sec-WebSocket-Key"] + _GUID, usedforsecurity=False).digest()
        client.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + b64encode(key) + b"\r\n\r\n"
        )
        for frame in (reply(AUTH, True, 0), reply(SUBSCRIBE, True)):
            client.sendall(bytes([0x82, len(frame)]) + frame)

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join()
        for client in self.buried:
            client.close()


@pytest.fixture
def grave() -> Iterator[Grave]:
    grave = Grave()
    yield grave
    grave.close()


def test_a_dead_peer_is_noticed_within_the_patience(
    grave: Grave, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fyers_socket, "_POLL_SECONDS", 0.05)
    broker = Fyers("app", lambda: SecretStr(jwt()), grave.root)
    listening = Listening(broker, lambda: {GOLD: Mode.FULL}, patience=0.5)
    until(lambda: "no frame for 0.5 s" in listening.events)
    until(lambda: listening.events.count("connected") == 2)
    listening.stop.set()
    assert listening.end() is None


def test_stopping_does_not_wait_for_a_dead_peer_to_say_goodbye(grave: Grave) -> None:
    broker = Fyers("app", lambda: SecretStr(jwt()), grave.root)
    listening = Listening(broker, lambda: {GOLD: Mode.FULL}, patience=60)
    until(lambda: "connected" in listening.events)
    listening.stop.set()
    listening.thread.join(5)
    assert listening.events[-1] == "stopped"
    assert listening.end() is None
