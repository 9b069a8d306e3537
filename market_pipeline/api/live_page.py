"""The live page at /: the files in page/, and what a browser may do with them.

They hold nothing that is secret and need no key; what they show they ask for as any client does.
"""

from pathlib import Path

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

FOLDER = Path(__file__).parent / "page"
"""The page: what is served."""

_POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self'",
    "connect-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
}
_HEADERS = {
    "Content-Security-Policy": "; ".join(f"{what} {whence}" for what, whence in _POLICY.items()),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",  # asked for again each time, or an update shows half
}


class _Files(StaticFiles):
    async def get_response(self, path: str, scope: Scope) -> Response:
        answer = await super().get_response(path, scope)
        answer.headers.update(_HEADERS)
        return answer


async def _index(request: Request) -> Response:
    return FileResponse(FOLDER / "index.html", headers=_HEADERS)


def add_to(app: FastAPI) -> None:
    """Serve the page at / and its files under /page."""
    app.add_route("/", _index, include_in_schema=False)
    app.mount("/page", _Files(directory=FOLDER))
