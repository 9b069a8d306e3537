"""What is kept out: bodies too large; and without API keys other machines and other sites' pages.

A browser of this machine can be made to send requests by any page it shows: to a name that suddenly
means 127.0.0.1 (then the name gives it away), or across sites (then the browser says so).
"""

from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from market_pipeline.api.errors import BodyTooLarge, CrossSite, HostRefused, Refused, problem

MOST_BYTES = 1_000_000
_NAMES = ("127.0.0.1", "localhost", "::1")
_HARMLESS = ("GET", "HEAD", "OPTIONS")
_OWN = ("same-origin", "none")


class SmallBodies:
    """Reads no more of a request than any endpoint takes, whoever sends it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > MOST_BYTES:
                raise BodyTooLarge
            return message

        await self._app(scope, counted if scope["type"] == "http" else receive, send)


class Guard:
    """Refuses foreign names and foreign pages, for HTTP and WebSockets alike."""

    def __init__(self, app: ASGIApp, origins: tuple[str, ...] = ()) -> None:
        """Wrap an application; `origins` are those of pages that may do everything."""
        self._app, self._origins = app, origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": str(refusal)[:120]})
        else:
            answer = problem(scope, refusal.status, refusal.kind, str(refusal))
            await answer(scope, receive, send)

    def _refusal(self, scope: Scope) -> Refused | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if _name(host) not in _NAMES:
            return HostRefused()
        if scope["type"] == "http" and scope["method"] in _HARMLESS:
            return None
        origin = headers.get("origin")
        if origin in self._origins:
            return None
        is_own = origin is None or _place(origin) == host
        if is_own and headers.get("sec-fetch-site", "none") in _OWN:
            return None
        return CrossSite()


def _name(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def _place(origin: str) -> str | None:
    """Return name and port of an origin; None: it is none."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None
