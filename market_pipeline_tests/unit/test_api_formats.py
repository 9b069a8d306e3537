"""A large page is written in pieces, and is what it would be if it were written at once."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from pydantic_core import to_json

from market_pipeline.api import formats
from market_pipeline.api.formats import ARROW, CSV, JSON, Page
from market_pipeline.api.historical import CANDLES

AROUND = {"instrument": {"symbol": "INFY"}, "from": datetime(2026, 11, 20, tzinfo=UTC)}


def page(rows: int, next_cursor: str | None = None) -> Page:
    first = {
        **dict.fromkeys(CANDLES, 1.5),
        **dict.fromkeys(("volume", "open_interest", "trades")),
        "state": "final",
        "has_gap": False,
    }
    times = [datetime(2026, 11, 20, tzinfo=UTC) + timedelta(minutes=n) for n in range(rows)]
    return Page("candles", [first | {"time": time} for time in times], CANDLES, AROUND, next_cursor)


def whole(written: Page) -> bytes:
    """Return a page as JSON that is written at once."""
    parts = {**written.around, written.name: written.rows, "next_cursor": written.next_cursor}
    return to_json(parts)


@pytest.mark.parametrize("rows", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("cursor", [None, 'a"b'])
def test_pieces_are_the_json_of_the_whole(
    rows: int, cursor: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "_AT_ONCE", 2)
    written = page(rows, cursor)
    assert formats._content(JSON, written) == whole(written)


@pytest.mark.parametrize("rows", [0, 1, 2, 3, 4, 5])
def test_pieces_are_the_csv_of_the_whole(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    at_once = formats._content(CSV, page(rows))
    monkeypatch.setattr(formats, "_AT_ONCE", 2)
    assert formats._content(CSV, page(rows)) == at_once


@pytest.mark.parametrize("rows", [0, 1, 2, 3, 4, 5])
def test_pieces_are_one_batch_of_arrow_as_the_whole_is(
    rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once = batches(formats._content(ARROW, page(rows)))
    monkeypatch.setattr(formats, "_AT_ONCE", 2)
    assert batches(formats._content(ARROW, page(rows))) == at_once


def batches(content: bytes) -> list[pa.RecordBatch]:
    """Read them: their bytes may differ where there is no value."""
    return list(pa.ipc.open_stream(content))


def test_no_piece_has_more_rows_than_may_be_written_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pieces: list[int] = []

    def noting(value: Any) -> bytes:
        if isinstance(value, list):
            pieces.append(len(value))
        return to_json(value)

    monkeypatch.setattr(formats, "_AT_ONCE", 2)
    monkeypatch.setattr(formats, "to_json", noting)
    formats._content(JSON, page(5))
    assert pieces == [2, 2, 1]
