"""Tells whether a service answers, for health checks: `python -m market_pipeline.probe URL`.

Containers run it every few seconds, so it imports next to nothing.
"""

import json
import sys
import urllib.request
from urllib.parse import urlsplit

_SECONDS = 4.0
_DAEMONS = "{ instance { daemonHealth { allDaemonStatuses { daemonType required healthy } } } }"


def problem(url: str) -> str | None:
    """Say what is wrong with the service at an address, None if nothing is.

    http://host:port/path  a page that must be there
    grpc://host:port       a code server of Dagster's
    daemon://host:port     Dagster's daemon, of which its web server at that address knows
    """
    parts = urlsplit(url)
    try:
        if parts.scheme == "grpc":
            return _code_server(parts.netloc)
        return _daemon(parts.netloc) if parts.scheme == "daemon" else _page(url)
    except OSError as error:  # urllib's errors are of this kind as well
        return f"{url} does not answer: {error}"


def _page(url: str) -> str | None:
    status, _ = _fetch(urllib.request.Request(url))
    return None if status == 200 else f"{url} answers {status}"


def _daemon(web_server: str) -> str | None:
    question = urllib.request.Request(
        f"http://{web_server}/graphql",
        json.dumps({"query": _DAEMONS}).encode(),
        {"Content-Type": "application/json"},
    )
    _, answer = _fetch(question)
    found = json.loads(answer)["data"]["instance"]["daemonHealth"]["allDaemonStatuses"]
    dead = [each["daemonType"] for each in found if each["required"] and not each["healthy"]]
    return f"these do not live: {', '.join(dead)}" if dead else None


def _fetch(request: urllib.request.Request) -> tuple[int, bytes]:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(request, timeout=_SECONDS) as reply:
        return reply.status, reply.read()


def _code_server(address: str) -> str | None:
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    with grpc.insecure_channel(address, [("grpc.enable_http_proxy", 0)]) as channel:
        asked = health_pb2.HealthCheckRequest(service="DagsterApi")
        try:
            reply = health_pb2_grpc.HealthStub(channel).Check(asked, timeout=_SECONDS)
        except grpc.RpcError as error:
            return f"{address} does not answer: {error.code()}"
    serving = health_pb2.HealthCheckResponse.SERVING
    return None if reply.status == serving else f"{address} answers {reply.status}"


if __name__ == "__main__":
    sys.exit(problem(sys.argv[1]))
