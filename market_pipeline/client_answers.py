"""What the API's refusals mean to its client."""

import json
from collections.abc import Mapping
from typing import Any

from market_pipeline.errors import (
    ApiError,
    ApiKeyRefused,
    ApiRateLimited,
    ApiUnavailable,
    ApiUnknownInstrument,
)

_BY_STATUS = {
    401: ApiKeyRefused,
    403: ApiKeyRefused,
    429: ApiRateLimited,
    502: ApiUnavailable,
    503: ApiUnavailable,
    504: ApiUnavailable,
}


def error_of(status: int, body: bytes, retry_after: str | None = None) -> ApiError:
    """Return the error that an answer stands for, whoever made the answer."""
    try:
        problem = json.loads(body)
    except ValueError:  # of a proxy
        problem = None
    if not isinstance(problem, dict):
        text = body[:200].decode(errors="replace")
        problem = {"status": status, "detail": f"HTTP status {status}: {text}"}
    error = error_of_problem(problem | {"status": status})
    if retry_after and retry_after.isdecimal():
        error.retry_after = float(retry_after)
    return error


def error_of_problem(problem: Mapping[str, Any]) -> ApiError:
    """Return the error that a problem detail stands for."""
    kind = _BY_STATUS.get(problem.get("status", 0), ApiError)
    if str(problem.get("type", "")).endswith(":unknown-instrument"):
        kind = ApiUnknownInstrument
    return kind(problem.get("detail"), problem)
