"""Each request gets a number, a line in the log, a place in the metrics; each crash an answer."""

import asyncio
import re
import time
import uuid

import structlog
from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from market_pipeline.api import auth
from market_pipeline.api.errors import problem

log = structlog.get_logger(__name__)

_HEADER = "X-Request-ID"
_SANE = re.compile(r"[A-Za-z0-9._-]{1,64}")
_QUIET = ("/health", "/metrics")
_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15)


class RequestMetrics:
    """How many requests of what there were and how long they took."""

    def __init__(self, registry: CollectorRegistry) -> None:
        labels = ("method", "path", "status")
        self.count = Counter(
            "market_pipeline_api_requests", "Requests answered.", labels, registry=registry
        )
        self.seconds = Histogram(
            "market_pipeline_api_request_seconds",
            "From the first byte asked to the last answered.",
            labels[:2],
            registry=registry,
            buckets=_SECONDS,
        )

    def add(self, method: str, path: str, status: int, seconds: float) -> None:
        self.count.labels(method, path, str(status)).inc()
        self.seconds.labels(method, path).observe(seconds)


class Observed:
    """The outermost layer: see the module."""

    def __init__(self, app: ASGIApp, metrics: RequestMetrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(_HEADER, "")
        request_id = given if _SANE.fullmatch(given) else uuid.uuid4().hex
        state = scope.setdefault("state", {})
        # Of each request, whether it may hold a key there or not: uvicorn logs its address.
        key = auth.taken_from_query(scope)
        state |= {"request_id": request_id, "headers": {}, "key_in_query": key}
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            if scope["type"] == "http":
                await self._answer(scope, receive, send)
            else:
                state["transport"] = _transport(send)
                await self._app(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        began, status = time.perf_counter(), 0
        state = scope["state"]

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers[_HEADER] = state["request_id"]
                for name, value in state["headers"].items():
                    headers[name] = value
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except Exception:
            log.exception("request failed", path=scope["path"])
            if status:
                raise  # the client sees that the answer is cut off
            answer = problem(
                scope, 500, "internal", "Something broke; the log has it under the request id."
            )
            await answer(scope, receive, noting)
        finally:
            self._note(scope, status, time.perf_counter() - began)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        route = scope.get("route")
        path = getattr(route, "path", "unknown")  # not what was asked for, which may be anything
        self._metrics.add(scope["method"], path, status, seconds)
        level = log.debug if scope["path"].startswith(_QUIET) else log.info
        level(
            "request",
            method=scope["method"],
            path=scope["path"],
            status=status,
            milliseconds=round(seconds * 1000, 2),
            key=scope["state"].get("key_name"),
        )


def _transport(send: Send) -> asyncio.WriteTransport | None:
    """Return what a connection is written to: ASGI itself has no way to cut one off.

    `send` is a method of uvicorn's protocol. Of another server it may be none: None.
    """
    return getattr(getattr(send, "__self__", None), "transport", None)
