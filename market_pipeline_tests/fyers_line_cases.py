"""A peer of Fyers' adapter that can misbehave on command, and what listens to it."""

import base64
import contextlib
import json
import threading
import time
from collections.abc import Iterator
from http import HTTPStatus

import pytest
from pydantic import SecretStr
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

from market_pipeline.brokers import fyers_connection, fyers_socket, fyers_wire
from market_pipeline.brokers.fyers import Fyers
from market_pipeline.brokers.fyers_wire import ClientRequest
from market_pipeline_tests import line_cases
from market_pipeline_tests.line_cases import SECRET

INFY, NIFTY, GOLD = 10101594, 101026000, 1120257681
TOPICS = {INFY: "sf|nse_cm|1594", NIFTY: "if|nse_cm|Nifty 50", GOLD: "sf|mcx_fo|257681"}

_BEHIND = "0915-1530|1815-1915:,2026-10-05"
MASTERS = {
    "NSE_CM": f"101000000026000,NIFTY50-INDEX,10,0,0.05,,{_BEHIND},,NSE:NIFTY50-INDEX,"
    "10,10,26000,NIFTY,26000,-1.0,XX,101000000026000,None,0,0.0\n"
    f"10100000001594,INFOSYS LTD,0,1,0.1,,{_BEHIND},,NSE:INFY-EQ,"
    "10,10,1594,INFY,1594,-1.0,XX,10100000001594,None,0,0.0\n",
    "MCX_COM": f"1120261204257681,GOLD 04 Dec 26 FUT,30,1,1.0,,{_BEHIND},1796407200,"
    "MCX:GOLD26DECFUT,11,20,257681,GOLD,41,-1.0,XX,112000000041,None,0,0.0\n",
}


def jwt(expires_in: float = 3600, hsm_key: str | None = SECRET) -> str:
    """Write an access token as Fyers': only what it claims matters to us."""
    claims = {"exp": int(time.time() + expires_in), "hsm_key": hsm_key}
    parts = (json.dumps(part).encode() for part in ({"alg": "HS256"}, claims))
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts) + ".xyz"


class Peer(line_cases.Peer):
    """Masters, names of indices and the data socket at one port."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[list[ClientRequest]] = []
        self.headers: list[dict[str, str]] = []
        self.asked: list[str] = []  # files
        self.files = {f"/sym_details/{name}.csv": text for name, text in MASTERS.items()}
        self.files |= {
            f"/sym_details/{name}.csv": ""
            for name in ("NSE_FO", "NSE_CD", "NSE_COM", "BSE_CM", "BSE_FO")
        }
        names = {"NSE:NIFTY50-INDEX": "Nifty 50"}
        self.files["/sym_details/index_hsm_mapping.json"] = json.dumps(names)
        self.denies = False
        self.ack_count = 0
        self.answers: dict[int, bytes] = {}  # to kinds of requests, instead of the usual ones

    def greet(self, connection: ServerConnection, request: Request) -> Response | None:
        if request.path.startswith("/sym_details/"):
            self.asked.append(request.path)
            text = self.files.get(request.path)
            status = HTTPStatus.NOT_FOUND if text is None else HTTPStatus.OK
            return connection.respond(status, text or "")
        self.attempts += 1
        self.headers.append(dict(request.headers.raw_items()))
        self.admit.wait(10)
        return connection.respond(self.refuse, "") if self.refuse else None

    def serve(self, connection: ServerConnection) -> None:
        told: list[ClientRequest] = []
        self.told.append(told)
        self.live.add(connection)
        number = 0
        try:
            while True:
                if not self.silent and any(r.kind == fyers_wire.SUBSCRIBE for r in told):
                    number += 1
                    connection.send(data(number))
                with contextlib.suppress(TimeoutError):
                    request = fyers_wire.read_request(bytes(connection.recv(timeout=self.pace)))  # type: ignore[arg-type]
                    told.append(request)
                    self._answer(connection, request.kind)
        except ConnectionClosed:
            self.live.discard(connection)

    def _answer(self, connection: ServerConnection, kind: int) -> None:
        if self.silent or kind in (fyers_wire.PING, fyers_wire.ACK):
            return
        if kind in self.answers:
            connection.send(self.answers[kind])
        elif kind == fyers_wire.AUTH:
            connection.send(fyers_wire.reply(kind, not self.denies, self.ack_count))
        else:
            connection.send(fyers_wire.reply(kind, True))

    def of(self, kind: int, connection: int = -1) -> list[ClientRequest]:
        """Return what was told on a connection of one kind."""
        return [request for request in self.told[connection] if request.kind == kind]

    @property
    def subscribed(self) -> list[list[int]]:
        return self._tokens(fyers_wire.SUBSCRIBE)

    @property
    def unsubscribed(self) -> list[list[int]]:
        return self._tokens(fyers_wire.UNSUBSCRIBE)

    def _tokens(self, kind: int) -> list[list[int]]:
        tokens = {topic: token for token, topic in TOPICS.items()}
        return [
            [tokens[topic] for request in told if request.kind == kind for topic in request.topics]
            for told in self.told
        ]

    def refuse_tokens(self) -> None:
        self.denies = True


def data(number: int) -> bytes:
    """Write a frame of market data: a snapshot of one contract."""
    values = [100_00] * len(fyers_wire.SF_FIELDS)
    names = ("nse_cm", "1594", "INFY-EQ")
    item = fyers_wire.snapshot_item(1, TOPICS[INFY], values, 1, 2, *names)
    return fyers_wire.data_frame([item], number)


class Bench(line_cases.Bench):
    """The peer, Fyers' adapter and what listens between them."""

    tokens = (INFY, NIFTY, GOLD)

    def __init__(self, peer: Peer, port: int) -> None:
        super().__init__(f"http://127.0.0.1:{port}")
        self.peer: Peer = peer
        self.access_token: str | None = jwt()

    def broker(self, root: str) -> Fyers:
        return Fyers("XC12345-100", self._token, root)

    def _token(self) -> SecretStr | None:
        return SecretStr(self.access_token) if self.access_token else None

    def hurry(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(fyers_socket, "MAX_RETRIES", 1)
        monkeypatch.setattr(fyers_socket, "_POLL_SECONDS", 0.05)
        # Even a peer that sends nothing answers the pings of the protocol.
        monkeypatch.setattr(fyers_connection, "STALL_SECONDS", 0.0)


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
        peer.admit.set()
        bench.end()
        server.shutdown()
        thread.join()


@pytest.fixture
def bench() -> Iterator[Bench]:
    with running() as bench:
        yield bench
