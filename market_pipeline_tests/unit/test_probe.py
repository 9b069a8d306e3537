"""What health checks of containers ask, and what they say of a service that does not answer."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from market_pipeline.probe import problem

NOWHERE = "127.0.0.1:9"


class Answers(BaseHTTPRequestHandler):
    """Has a page, and knows what Dagster's daemons do."""

    daemons: tuple[dict[str, Any], ...] = ()

    def do_GET(self) -> None:
        self._answer(200 if self.path == "/health" else 503, b"{}")

    def do_POST(self) -> None:
        found = {"allDaemonStatuses": list(self.daemons)}
        content = {"data": {"instance": {"daemonHealth": found}}}
        self._answer(200, json.dumps(content).encode())

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def web_server() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def code_server() -> Iterator[tuple[str, health.HealthServicer]]:
    server = grpc.server(ThreadPoolExecutor(1))
    servicer = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"grpc://127.0.0.1:{port}", servicer
    server.stop(None).wait()


def daemon(name: str, healthy: bool, required: bool = True) -> dict[str, Any]:
    return {"daemonType": name, "healthy": healthy, "required": required}


def test_a_page_that_is_there_is_no_problem(web_server: str) -> None:
    assert problem(f"http://{web_server}/health") is None


def test_a_page_that_says_it_cannot_serve_is_one(web_server: str) -> None:
    assert "503" in str(problem(f"http://{web_server}/other"))


@pytest.mark.parametrize("scheme", ["http", "grpc", "daemon"])
def test_an_address_at_which_nothing_answers_is_named(scheme: str) -> None:
    assert NOWHERE in str(problem(f"{scheme}://{NOWHERE}"))


def test_a_code_server_that_serves_is_no_problem(
    code_server: tuple[str, health.HealthServicer],
) -> None:
    url, servicer = code_server
    servicer.set("DagsterApi", health_pb2.HealthCheckResponse.SERVING)
    assert problem(url) is None


def test_a_code_server_that_does_not_serve_is_one(
    code_server: tuple[str, health.HealthServicer],
) -> None:
    url, servicer = code_server
    servicer.set("DagsterApi", health_pb2.HealthCheckResponse.NOT_SERVING)
    assert problem(url) is not None


def test_daemons_that_live_or_are_not_needed_are_no_problem(
    web_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = (daemon("SENSOR", True), daemon("ASSET", False, required=False))
    monkeypatch.setattr(Answers, "daemons", known)
    assert problem(f"daemon://{web_server}") is None


def test_a_daemon_that_is_needed_and_does_not_live_is_named(
    web_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = (daemon("SENSOR", False), daemon("SCHEDULER", True))
    monkeypatch.setattr(Answers, "daemons", known)
    assert problem(f"daemon://{web_server}") == "these do not live: SENSOR"
