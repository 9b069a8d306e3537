"""A peer of brokers' REST halves with prepared replies."""

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

JSON, HTML = "application/json", "text/html"


class Peer:
    """Answers every request with one prepared reply, and notes the requests."""

    def __init__(self) -> None:
        self.root = ""
        self.status = 200
        self.kind: str | None = "application/json"
        self.body = b""
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.sent = b""  # with the last request
        self.headers: dict[str, str] = {}
        self.missing = 0  # bytes of what is announced
        self.files: dict[str, str] = {}  # of other hosts in truth: by path, and not among `seen`
        self.answer = threading.Event()
        self.answer.set()

    def prepare(self, status: int, kind: str | None, body: str) -> None:
        self.status, self.kind, self.body = status, kind, body.encode()

    def ok(self, data: Any) -> None:
        self.prepare(200, "application/json", json.dumps({"status": "success", "data": data}))

    @property
    def query(self) -> dict[str, str]:
        return {k: v[0] for k, v in parse_qs(urlsplit(self.seen[-1][0]).query).items()}


@pytest.fixture
def peer() -> Iterator[Peer]:
    peer = Peer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path in peer.files:
                self._reply(200, "text/csv", peer.files[self.path].encode())
                return
            peer.seen.append((self.path, dict(self.headers)))
            peer.sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            peer.answer.wait(5)
            self._reply(peer.status, peer.kind, peer.body)

        def _reply(self, status: int, kind: str | None, body: bytes) -> None:
            self.send_response(status)
            for name, value in peer.headers.items():
                self.send_header(name, value)
            if kind:
                self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body) + peer.missing))
            self.end_headers()
            with contextlib.suppress(BrokenPipeError):  # the client may have given up waiting
                self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    peer.root = f"http://127.0.0.1:{server.server_port}"
    yield peer
    peer.answer.set()
    server.shutdown()
    server.server_close()
    thread.join()
