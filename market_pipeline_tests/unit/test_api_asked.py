"""What can be asked of the API, and how it is read: periods, lengths, cursors, media types."""

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from starlette.requests import Request

from market_pipeline.api import cursors, formats
from market_pipeline.api.asked import Moment, period
from market_pipeline.api.errors import BadCursor, NotAcceptable, NotAsked
from market_pipeline.market import Interval

MOMENT: TypeAdapter[date | datetime] = TypeAdapter(Moment)


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type, misc]


def asking(accept: str | None) -> Request:
    headers = [(b"accept", accept.encode())] if accept is not None else []
    return Request({"type": "http", "headers": headers})


def test_a_time_without_zone_is_indias_and_the_answer_says_so() -> None:
    found = period(datetime(2026, 11, 20, 9, 15), datetime(2026, 11, 20, 15, 30))  # noqa: DTZ001
    assert (found.start, found.end) == (utc(2026, 11, 20, 3, 45), utc(2026, 11, 20, 10))
    assert found.assumed_zone == "Asia/Kolkata"


def test_a_time_with_a_zone_is_taken_as_it_is() -> None:
    found = period(utc(2026, 11, 20, 3, 45), utc(2026, 11, 20, 10))
    assert (found.start, found.end) == (utc(2026, 11, 20, 3, 45), utc(2026, 11, 20, 10))
    assert found.assumed_zone is None


def test_a_day_is_meant_with_all_of_it() -> None:
    found = period(date(2026, 11, 20), date(2026, 11, 20))
    assert (found.start, found.end) == (utc(2026, 11, 19, 18, 30), utc(2026, 11, 20, 18, 30))


def test_without_from_it_is_the_midnight_before_to() -> None:
    assert period(None, date(2026, 11, 20)).start == utc(2026, 11, 19, 18, 30)
    assert period(None, utc(2026, 11, 19, 18, 30)).start == utc(2026, 11, 18, 18, 30)


def test_without_anything_it_is_today_until_now() -> None:
    before = datetime.now(UTC)
    found = period()
    assert before <= found.end <= datetime.now(UTC)
    assert found.start < found.end


def test_a_period_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(NotAsked, match="is not before"):
        period(date(2026, 11, 21), date(2026, 11, 20))


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2026-11-20", date(2026, 11, 20)),
        ("2026-11-20T09:15", datetime(2026, 11, 20, 9, 15)),  # noqa: DTZ001
        ("2026-11-20T03:45:00Z", utc(2026, 11, 20, 3, 45)),
        ("2026-11-20 09:15:00+05:30", utc(2026, 11, 20, 3, 45)),
    ],
)
def test_days_and_times_are_read_as_people_write_them(text: str, meant: date | datetime) -> None:
    assert MOMENT.validate_python(text) == meant


@pytest.mark.parametrize("text", ["yesterday", "20/11/2026", "1700000000", "0001-01-01", "9999-12"])
def test_anything_else_is_refused_with_how_to_write_it(text: str) -> None:
    with pytest.raises(ValidationError, match="write it as a day|must lie between"):
        MOMENT.validate_python(text)


@pytest.mark.parametrize(
    ("text", "minutes"), [("1m", 1), ("7m", 7), ("90M", 90), ("2h", 120), (" 1d ", 1440)]
)
def test_lengths_are_whole_minutes_up_to_a_day(text: str, minutes: int) -> None:
    assert Interval.read(text).minutes == minutes


@pytest.mark.parametrize("text", ["", "0m", "2d", "25h", "1441m", "1.5h", "m", "1s", "٣m"])
def test_other_lengths_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no length up to a day"):
        Interval.read(text)


@given(place=st.lists(st.integers(-(2**63), 2**63), min_size=1, max_size=3))
def test_a_cursor_comes_back_as_the_place_it_was_made_of(place: list[int]) -> None:
    made = cursors.write(["candles", 1], place)
    assert len(made) <= cursors.LONGEST
    assert cursors.read(["candles", 1], made, len(place)) == place


@given(data=st.data())
def test_a_cursor_with_a_spoilt_character_is_refused(data: st.DataObject) -> None:
    made = cursors.write("ticks", [1763610300000000, 42])
    at = data.draw(st.integers(0, len(made) - 1))
    other = data.draw(st.characters().filter(lambda character: character != made[at]))
    with pytest.raises(BadCursor):
        cursors.read("ticks", made[:at] + other + made[at + 1 :], 2)


def test_a_cursor_of_another_request_is_refused() -> None:
    made = cursors.write(["instruments", {"exchange": "NSE"}], [7])
    with pytest.raises(BadCursor, match="Begin again without one"):
        cursors.read(["instruments", {"exchange": "BSE"}], made, 1)


@pytest.mark.parametrize("cursor", ["", "A", "abc", "!!!!", "AAAAAAAAAAAAAAAAAAAA", "ключ"])
def test_what_is_no_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(BadCursor):
        cursors.read("ticks", cursor, 1)


@pytest.mark.parametrize(
    ("accept", "given"),
    [
        (None, formats.JSON),
        ("*/*", formats.JSON),
        ("text/csv", formats.CSV),
        ("text/html, text/*;q=0.5", formats.CSV),
        ("application/*", formats.JSON),
        ("application/json;q=0.1, application/vnd.apache.arrow.stream", formats.ARROW),
        ("text/csv;q=0, */*;q=0.1", formats.JSON),
        ("TEXT/CSV ; charset=utf-8", formats.CSV),
        ("text/csv;q=much, */*", formats.JSON),
    ],
)
def test_the_media_type_is_the_one_that_is_wanted_most(accept: str | None, given: str) -> None:
    assert formats.accepted(asking(accept)) == given


@pytest.mark.parametrize("accept", ["image/png", "application/json;q=0", "*/*;q=0", "json"])
def test_what_is_not_offered_is_refused_with_what_is(accept: str) -> None:
    with pytest.raises(NotAcceptable, match="text/csv"):
        formats.accepted(asking(accept))
