"""Fyers' adapter and certificates: the key to the data socket is sent to no stranger."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from market_pipeline.brokers import fyers_socket, fyers_wire
from market_pipeline.brokers.base import FRAME_SECONDS
from market_pipeline.errors import BrokerUnavailable
from market_pipeline_tests.certificates import self_signed
from market_pipeline_tests.line_cases import StopsWhenConnected


@contextmanager
def peer(pem: Path) -> Iterator[tuple[int, list[str]]]:
    """Serve with a certificate of our own; yield the port and the keys that were sent."""
    keys: list[str] = []

    def welcome(connection: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            for frame in connection:
                request = fyers_wire.read_request(bytes(frame))  # type: ignore[arg-type]
                if request.kind == fyers_wire.AUTH:
                    keys.append(request.key)
                    connection.send(fyers_wire.reply(fyers_wire.AUTH, True, 0))

    with serve(welcome, "127.0.0.1", 0, ssl=self_signed(pem)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.socket.getsockname()[1], keys
        server.shutdown()
        thread.join()


def listen(url: str) -> None:
    sink = StopsWhenConnected()
    there = fyers_socket.Peer(url, lambda: "s3cret", lambda _: ())
    fyers_socket.Line(there, sink, dict, lambda: FRAME_SECONDS).run(sink.stop)


def test_a_server_whose_certificate_is_trusted_gets_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "peer.pem"))
    with peer(tmp_path / "peer.pem") as (port, keys):
        listen(f"wss://localhost:{port}")
    assert keys == ["s3cret"]


@pytest.mark.parametrize(
    ("trusted", "host"),
    [
        pytest.param(False, "localhost", id="signed by nobody"),
        pytest.param(True, "127.0.0.1", id="made out to another name"),
    ],
)
def test_any_other_server_does_not_get_the_key(
    trusted: bool, host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fyers_socket, "MAX_RETRIES", 0)
    with peer(tmp_path / "peer.pem") as (port, keys):
        if trusted:
            monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "peer.pem"))
        with pytest.raises(BrokerUnavailable):
            listen(f"wss://{host}:{port}")
    assert not keys
