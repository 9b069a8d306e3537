"""Kite's adapter and certificates: the access token travels in the address of the connection."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from pydantic import SecretStr
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from market_pipeline.brokers import kite_ticker
from market_pipeline.brokers.kite import Kite
from market_pipeline.errors import BrokerUnavailable
from market_pipeline_tests.certificates import self_signed
from market_pipeline_tests.line_cases import StopsWhenConnected


@contextmanager
def peer(pem: Path) -> Iterator[tuple[int, list[str]]]:
    """Serve with a certificate of our own; yield the port and the addresses asked for."""
    asked: list[str] = []

    def hold(connection: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            connection.recv()

    with serve(
        hold,
        "127.0.0.1",
        0,
        ssl=self_signed(pem),
        process_request=lambda connection, request: asked.append(request.path),
    ) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.socket.getsockname()[1], asked
        server.shutdown()
        thread.join()


def listen(root: str) -> None:
    sink = StopsWhenConnected()
    Kite("key", lambda: SecretStr("s3cret"), ticker_root=root).listen(dict, sink, sink.stop)


def test_a_server_whose_certificate_is_trusted_gets_the_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "peer.pem"))
    with peer(tmp_path / "peer.pem") as (port, asked):
        listen(f"wss://localhost:{port}")
    assert asked == ["/?api_key=key&access_token=s3cret"]


@pytest.mark.parametrize(
    ("trusted", "host"),
    [
        pytest.param(False, "localhost", id="signed by nobody"),
        pytest.param(True, "127.0.0.1", id="made out to another name"),
    ],
)
def test_any_other_server_does_not_get_the_token(
    trusted: bool, host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kite_ticker, "MAX_RETRIES", 0)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "peer.pem"))
    with peer(tmp_path / "peer.pem") as (port, asked):
        with pytest.raises(BrokerUnavailable):
            listen(f"wss://{host}:{port}")
    assert not asked
