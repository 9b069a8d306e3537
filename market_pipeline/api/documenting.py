"""What /docs says besides the endpoints, and what FastAPI does not say right by itself."""

from typing import Any

from fastapi import FastAPI

from market_pipeline.api.errors import MEDIA_TYPE

DESCRIPTION = """\
Ticks and candles of Indian exchanges, as the pipeline has stored them.

**Instruments** are named by the active broker's token (`256265`), by `EXCHANGE:SYMBOL`
(`NSE:RELIANCE`), by symbol, or by `id:42` for our own instrument_id 42, which never changes.

**Times** are answered in UTC. One that is sent without a zone is India's, and the answer says so
in `assumed_zone`. A day as `to` is meant with all of it.

**Pages**: what has more has a `next_cursor`, and a header Link with the address of the next page.

**Formats**: candles and ticks come as JSON, as CSV (`Accept: text/csv`) or as an Arrow IPC stream
(`Accept: application/vnd.apache.arrow.stream`).

**Errors** are problem details (RFC 9457): `detail` says what was wrong and what to do.
"""


def complete(app: FastAPI, has_keys: bool) -> None:
    """Make the OpenAPI document of an application say the whole truth."""
    made = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = made()
            for operation in _operations(document):
                _correct(operation, has_keys)
            if not has_keys:
                document["components"].pop("securitySchemes", None)
        return app.openapi_schema or {}

    app.openapi = openapi  # type: ignore[method-assign]


def _operations(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [operation for path in document["paths"].values() for operation in path.values()]


def _correct(operation: dict[str, Any], has_keys: bool) -> None:
    """Give errors their media type, and take away keys where none are set."""
    for status, response in operation["responses"].items():
        content = response.get("content", {})
        if int(status) >= 400 and "application/json" in content:
            content[MEDIA_TYPE] = content.pop("application/json")
    if not has_keys:
        operation.pop("security", None)
