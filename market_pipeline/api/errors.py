"""What goes wrong, as problem details (RFC 9457): which error is which status and which type."""

import http
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from market_pipeline.errors import (
    BrokerError,
    ConfigurationError,
    DatabaseUnavailable,
    MarketPipelineError,
    QueryTooSlow,
    UnknownInstrument,
)

MEDIA_TYPE = "application/problem+json"
_RETRY_SECONDS = 5


class Refused(MarketPipelineError):
    """The API refuses a request. Its subclasses say why; headers go into the answer."""

    status = 400
    kind = "refused"

    def __init__(self, message: str | None = None, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.headers = headers or {}


class NotAsked(Refused):
    """What is asked for makes no sense. The detail says what to change."""

    status, kind = 422, "invalid"


class BadCursor(Refused):
    """The cursor is not one that was given out for this request. Begin again without one."""

    kind = "bad-cursor"


class KeyMissing(Refused):
    """An API key is needed: send it as X-API-Key, or as Authorization: Bearer."""

    status, kind = 401, "key-missing"


class KeyUnknown(Refused):
    """The API key is not known. Compare it with the setting API_KEYS of the server."""

    status, kind = 401, "key-unknown"


class ScopeMissing(Refused):
    """The API key may read only. Use one with the scope control."""

    status, kind = 403, "scope-missing"


class CrossSite(Refused):
    """A web page of another site may not do this. Use API keys and API_CORS_ORIGINS."""

    status, kind = 403, "cross-site"


class HostRefused(Refused):
    """Without API keys only names of this machine are answered. Use 127.0.0.1 or localhost."""

    status, kind = 421, "host-refused"


class BodyTooLarge(HTTPException):
    """The body is larger than it may be. FastAPI lets errors of this kind pass while it reads."""

    def __init__(self) -> None:
        super().__init__(413)


class NotAcceptable(Refused):
    """None of the accepted media types is offered."""

    status, kind = 406, "not-acceptable"


class NotFound(Refused):
    """There is no such thing."""

    status, kind = 404, "not-found"


class TooManyRequests(Refused):
    """The key has made too many requests. Wait as long as Retry-After says."""

    status, kind = 429, "too-many-requests"


class DagsterUnavailable(Refused):
    """Dagster does not answer. Start it with `market-pipeline up`, or correct DAGSTER_URL."""

    status, kind = 503, "dagster-unavailable"


class Invalid(BaseModel):
    """One part of a request that is wrong."""

    where: str = Field(examples=["query.limit"])
    message: str


class Problem(BaseModel):
    """The body of every error."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "type": "urn:market-pipeline:problem:unknown-instrument",
                "title": "Not Found",
                "status": 404,
                "detail": "kite has no instrument RELIANC; did you mean RELIANCE?",
                "instance": "/api/instruments/RELIANC",
                "request_id": "7d0f3c6c1b1f4f6f",
            }
        }
    )

    type: str = Field(description="Which problem it is, for programs.")
    title: str = Field(description="What the status means.")
    status: int
    detail: str = Field(description="What was wrong and what to do next, for people.")
    instance: str = Field(description="The path that was asked for.")
    request_id: str = Field(description="As in X-Request-ID and in the log.")
    errors: list[Invalid] | None = Field(None, description="Of type invalid: each wrong part.")


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return what OpenAPI is told of an endpoint's errors; documenting.py sets the media type."""
    return {
        status: {"model": Problem, "description": http.HTTPStatus(status).phrase}
        for status in statuses
    }


EVERYWHERE = responses(400, 401, 403, 413, 421, 422, 429, 500, 503)
"""The errors that each endpoint may have."""


def of_error(error: MarketPipelineError) -> tuple[int, str, dict[str, str]]:
    """Return status, kind and headers of an error."""
    retry = {"Retry-After": str(_RETRY_SECONDS)}
    match error:
        case Refused():
            return error.status, error.kind, error.headers
        case UnknownInstrument():
            return 404, "unknown-instrument", {}
        case DatabaseUnavailable():
            return 503, "database-unavailable", retry
        case QueryTooSlow():
            return 503, "query-too-slow", retry
        case ConfigurationError():
            return 422, "invalid", {}
        case BrokerError():
            return 502, "broker-failed", {}
    return 500, "internal", {}


def problem(
    scope: Any, status: int, kind: str, detail: str, headers: dict[str, str] | None = None
) -> JSONResponse:
    """Return the answer that tells of a problem with the request of an ASGI scope."""
    body = body_of(scope, status, kind, detail)
    return JSONResponse(
        body.model_dump(exclude_none=True), status, headers=headers, media_type=MEDIA_TYPE
    )


def body_of(scope: Any, status: int, kind: str, detail: str) -> Problem:
    """Return the body of a problem with the request of an ASGI scope."""
    return Problem(
        type=f"urn:market-pipeline:problem:{kind}",
        title=http.HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        instance=scope["path"],
        request_id=scope.get("state", {}).get("request_id", ""),
        errors=None,
    )


def add_handlers(app: FastAPI) -> None:
    """Make every error of the application a problem; those that nobody expects: see observing."""

    @app.exception_handler(MarketPipelineError)
    async def ours(request: Request, error: MarketPipelineError) -> JSONResponse:
        status, kind, headers = of_error(error)
        return problem(request.scope, status, kind, str(error), headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        wrong = [_invalid(each) for each in error.errors()]
        detail = "; ".join(f"{each.where}: {each.message}" for each in wrong)
        body = body_of(request.scope, 422, "invalid", detail)
        body.errors = wrong
        return JSONResponse(body.model_dump(), 422, media_type=MEDIA_TYPE)

    @app.exception_handler(HTTPException)
    async def of_http(request: Request, error: HTTPException) -> JSONResponse:
        status = error.status_code
        kind, detail = _OF_HTTP.get(status, (f"http-{status}", str(error.detail)))
        return problem(request.scope, status, kind, detail, dict(error.headers or {}))


_OF_HTTP = {
    400: ("bad-request", "The body cannot be read: send JSON in UTF-8."),
    404: ("not-found", "There is nothing at this path. /docs lists what there is."),
    405: (
        "method-not-allowed",
        "This path exists, but not with this method. /docs lists what there is.",
    ),
    413: ("body-too-large", "The body is larger than 1 MB: name fewer at a time."),
}
"""What the framework's own errors are called and what is to be done."""


def _invalid(error: Any) -> Invalid:
    where = ".".join(str(part) for part in error["loc"])
    message = error["msg"].removeprefix("Value error, ")
    if error["loc"][-1] == "limit" and error["type"] == "less_than_equal":
        message += "; for more follow next_cursor, or say more precisely what you look for"
    return Invalid(where=where, message=message)
