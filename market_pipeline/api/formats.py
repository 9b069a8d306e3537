"""Rows as JSON, CSV or an Arrow IPC stream, as the Accept header has it."""

import io
from collections.abc import Sequence
from typing import Any, NamedTuple

import polars as pl
from fastapi import Request, Response
from pydantic_core import to_json

from market_pipeline.api.errors import NotAcceptable
from market_pipeline.storage.reading import Row

JSON, CSV, ARROW = "application/json", "text/csv", "application/vnd.apache.arrow.stream"
OFFERED = (JSON, CSV, ARROW)

CONTENT: dict[str, Any] = {
    CSV: {"schema": {"type": "string"}},
    ARROW: {"schema": {"type": "string", "format": "binary"}},
}
"""What OpenAPI is told of the answers that are not JSON."""

_AT_ONCE = 1_000
"""Rows that are written without letting other threads run, first of all that of the event loop: a
whole page would hold up everybody's live ticks for half a second."""


class Page(NamedTuple):
    """A part of the rows, what goes around them in JSON, and where the next part begins."""

    name: str
    rows: Sequence[Row]
    schema: dict[str, pl.DataType]
    around: dict[str, Any]
    next_cursor: str | None


def accepted(request: Request) -> str:
    """Return which media type is wanted most of those that are offered: JSON unless it says.

    Raises:
        NotAcceptable: none is.
    """
    header = request.headers.get("accept", "").strip() or "*/*"
    wanted = [_range(part) for part in header.split(",")]
    best = max(OFFERED, key=lambda offer: _quality(wanted, offer))  # the first of equals
    if _quality(wanted, best) <= 0:
        raise NotAcceptable(f"{header} is not offered: accept one of {', '.join(OFFERED)}")
    return best


def answer(request: Request, media_type: str, page: Page) -> Response:
    """Return a page in a media type; where the next begins is in the header Link as well."""
    headers = {"Vary": "Accept"}
    if page.next_cursor:
        url = request.url.include_query_params(cursor=page.next_cursor)
        headers["Link"] = f'<{url.path}?{url.query}>; rel="next"'
    return Response(_content(media_type, page), media_type=media_type, headers=headers)


def _content(media_type: str, page: Page) -> bytes:
    starts = range(0, max(len(page.rows), 1), _AT_ONCE)
    pieces = (page.rows[start : start + _AT_ONCE] for start in starts)
    if media_type == JSON:
        beginning = to_json({**page.around, page.name: []}).removesuffix(b"]}")
        rows = b",".join(to_json(piece)[1:-1] for piece in pieces)
        return b'%b%b],"next_cursor":%b}' % (beginning, rows, to_json(page.next_cursor))
    frames = [pl.DataFrame(piece, schema=page.schema, orient="row") for piece in pieces]
    frame = pl.concat(frames, rechunk=True)
    buffer = io.BytesIO()
    if media_type == CSV:
        frame.write_csv(buffer, datetime_format="%Y-%m-%dT%H:%M:%S%.fZ")
    else:
        frame.write_ipc_stream(buffer, compat_level=pl.CompatLevel.oldest())
    return buffer.getvalue()


def _range(text: str) -> tuple[str, float]:
    """Read one entry of an Accept header; what cannot be read counts as not wanted."""
    media_range, *parameters = (part.strip().lower() for part in text.split(";"))
    quality = next((p.removeprefix("q=") for p in parameters if p.startswith("q=")), "1")
    try:
        return media_range, float(quality)
    except ValueError:
        return media_range, 0.0


def _quality(wanted: list[tuple[str, float]], offer: str) -> float:
    """Return how much an offer is wanted; the most particular entry decides."""
    ranges = dict(wanted)
    for name in (offer, f"{offer.split('/')[0]}/*", "*/*"):
        if name in ranges:
            return ranges[name]
    return 0.0
