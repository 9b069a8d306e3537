"""Candles and ticks over the API: any length, any page, three formats; how much is there."""

import io
from datetime import datetime, timedelta
from typing import Any

import httpx
import polars as pl
import pytest

from market_pipeline.sessions import bounds
from market_pipeline_tests.api_cases import client as client
from market_pipeline_tests.api_cases import day as day
from market_pipeline_tests.api_cases import problem
from market_pipeline_tests.dagster_cases import rows, run_sql
from market_pipeline_tests.history_days import DAY, Day

pytestmark = [pytest.mark.needs_real_server]

CANDLES, TICKS = "/api/historical/candles", "/api/historical/ticks"
WHOLE_DAY = {"instrument": "NSE:INFY", "from": str(DAY), "to": str(DAY)}
CSV, ARROW = "text/csv", "application/vnd.apache.arrow.stream"


def asked(client: httpx.Client, path: str = CANDLES, **changed: Any) -> dict[str, Any]:
    reply = client.get(path, params=WHOLE_DAY | changed)
    assert reply.status_code == 200, reply.text
    body: dict[str, Any] = reply.json()
    return body


def paged(client: httpx.Client, name: str, path: str, **changed: Any) -> list[dict[str, Any]]:
    """Return the rows of all pages."""
    reply = client.get(path, params=WHOLE_DAY | changed)
    found: list[dict[str, Any]] = reply.json()[name]
    while "next" in reply.links:
        reply = client.get(reply.links["next"]["url"])
        assert reply.status_code == 200, reply.text
        found += reply.json()[name]
    return found


def times(found: list[dict[str, Any]]) -> list[datetime]:
    return [datetime.fromisoformat(each["time"]) for each in found]


def test_the_minutes_of_a_day_are_those_of_the_exchange(client: httpx.Client, day: Day) -> None:
    found = asked(client)["candles"]
    truth = day.truth("NSE:INFY")
    assert [int(each.timestamp()) for each in times(found)] == truth["time"].to_list()
    for field in ("open", "high", "low", "close", "volume"):
        assert [each[field] for each in found] == truth[field].to_list()
    assert {each["state"] for each in found} == {"provisional"}


@pytest.mark.parametrize(
    ("interval", "count"), [("3m", 125), ("7m", 54), ("10m", 38), ("1h", 7), ("2h", 4), ("1d", 1)]
)
def test_candles_of_any_length_begin_with_the_session(
    client: httpx.Client, day: Day, interval: str, count: int
) -> None:
    found = asked(client, interval=interval)
    opening = bounds(DAY)[0] if interval == "1d" else day.session.opens_at
    assert times(found["candles"])[0] == opening
    assert found["interval"] == interval
    assert found["coverage"] == {"expected": count, "present": count, "note": None}


def test_a_time_without_zone_is_indias_and_the_answer_says_so(client: httpx.Client) -> None:
    period = {"from": "2026-11-20T09:15", "to": "2026-11-20T09:20"}
    naive = asked(client, **period)
    assert naive["assumed_zone"] == "Asia/Kolkata"
    assert (naive["from"], naive["to"]) == ("2026-11-20T03:45:00Z", "2026-11-20T03:50:00Z")
    aware = asked(client, **{"from": "2026-11-20T03:45:00Z", "to": "2026-11-20T09:20:00+05:30"})
    assert aware["assumed_zone"] is None
    assert aware["candles"] == naive["candles"]
    assert len(naive["candles"]) == 5


def test_coverage_tells_how_many_candles_are_missing(client: httpx.Client, day: Day) -> None:
    period = {"from": str(DAY - timedelta(days=1)), "to": str(DAY)}
    found = asked(client, **period)["coverage"]
    minutes = day.truth("NSE:INFY").height
    assert (found["expected"], found["present"]) == (750, min(minutes, 375))


def test_a_candle_that_touches_a_gap_says_so(client: httpx.Client, day: Day) -> None:
    begins = day.minute(30)
    gap = day.gap(begins, begins + timedelta(seconds=70), "NSE:SBIN")
    try:
        found = asked(client, instrument="NSE:SBIN")["candles"]
        touched = [each["time"] for each in found if each["has_gap"]]
        assert [datetime.fromisoformat(each) for each in touched] == [begins, day.minute(31)]
        assert not any(each["has_gap"] for each in asked(client)["candles"])
    finally:
        run_sql(day.database, "DELETE FROM gaps WHERE gap_id = %(gap)s", gap=gap)


@pytest.mark.parametrize("limit", [50, 1])
def test_pages_of_candles_hold_each_once_and_in_order(client: httpx.Client, limit: int) -> None:
    interval = "1m" if limit > 1 else "1h"
    whole = asked(client, interval=interval)["candles"]
    assert paged(client, "candles", CANDLES, interval=interval, limit=limit) == whole


def test_pages_pass_over_years_without_anything(client: httpx.Client) -> None:
    period: dict[str, Any] = {"from": "1999-01-01", "to": "2026-11-24", "limit": 200}
    first = client.get(CANDLES, params=WHOLE_DAY | period).json()
    assert len(first["candles"]) == 200
    assert paged(client, "candles", CANDLES, **period) == asked(client)["candles"]


def test_nothing_is_an_answer_too(client: httpx.Client) -> None:
    found = asked(client, instrument="NSE:TCS")
    assert (found["candles"], found["next_cursor"]) == ([], None)
    assert found["coverage"]["expected"] == 375


@pytest.mark.parametrize("path", [CANDLES, TICKS])
@pytest.mark.parametrize("media_type", [CSV, ARROW])
def test_other_formats_hold_the_same_as_json(
    client: httpx.Client, path: str, media_type: str
) -> None:
    parameters = WHOLE_DAY | {"limit": 20}
    reply = client.get(path, params=parameters, headers={"Accept": media_type})
    assert reply.headers["content-type"].startswith(media_type)
    content = io.BytesIO(reply.content)
    frame = pl.read_csv(content) if media_type == CSV else pl.read_ipc_stream(content)
    plain = client.get(path, params=parameters)
    expected = plain.json()["candles" if path == CANDLES else "ticks"]
    assert frame.columns == list(expected[0])
    price = "close" if path == CANDLES else "last_price"
    assert frame[price].to_list() == [each[price] for each in expected]
    assert reply.links == plain.links
    if media_type == ARROW:
        assert frame["time"].to_list() == times(expected)


def test_a_format_that_is_not_offered_is_refused(client: httpx.Client) -> None:
    reply = client.get(CANDLES, params=WHOLE_DAY, headers={"Accept": "application/xml"})
    assert "text/csv" in problem(reply, 406, "not-acceptable")["detail"]


def test_ticks_come_in_their_order_whatever_the_page(client: httpx.Client, day: Day) -> None:
    stored = rows(
        day.database,
        "SELECT seq FROM ticks WHERE instrument_id = %(id)s ORDER BY time, seq",
        id=day.ids["NSE:INFY"],
    )
    found = paged(client, "ticks", TICKS, limit=377)
    assert [each["seq"] for each in found] == [row["seq"] for row in stored]


def test_ticks_say_what_was_received(client: httpx.Client) -> None:
    tick = asked(client, TICKS, limit=1)["ticks"][0]
    assert tick["is_trade"]
    assert tick["received_at"] == tick["time"] == "2026-11-20T03:45:00Z"


@pytest.mark.parametrize("path", [CANDLES, TICKS])
def test_a_spoilt_cursor_is_refused(client: httpx.Client, path: str) -> None:
    cursor = asked(client, path, limit=1)["next_cursor"]
    for wrong in (cursor[:-1], cursor[1:], "A" + cursor, cursor.swapcase()):
        reply = client.get(path, params=WHOLE_DAY | {"cursor": wrong})
        problem(reply, 400, "bad-cursor")
    problem(client.get(path, params=WHOLE_DAY | {"cursor": cursor, "to": "2026-11-21"}), 400,
            "bad-cursor")  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"interval": "2d"}, "write it as 1m, 5m, 1h or 1d"),
        ({"interval": "fast"}, "interval"),
        ({"from": "yesterday"}, "write it as a day as in 2026-11-20"),
        ({"from": "2026-11-21"}, "is not before to"),
        ({"limit": "50001"}, "50000"),
        ({"instrument": "A\x00B"}, "instrument"),
    ],
)
def test_what_makes_no_sense_is_refused_with_what_would(
    client: httpx.Client, changed: dict[str, str], told: str
) -> None:
    reply = client.get(CANDLES, params=WHOLE_DAY | changed)
    assert told in problem(reply, 422, "invalid")["detail"]


def test_an_unknown_instrument_is_refused(client: httpx.Client) -> None:
    reply = client.get(CANDLES, params=WHOLE_DAY | {"instrument": "NSE:NOSUCH"})
    problem(reply, 404, "unknown-instrument")
