"""When the instrument sync of a morning is made up for."""

from datetime import datetime

from market_pipeline.orchestration.instruments import missed_sync
from market_pipeline.sessions import EXCHANGE_TZ


def at(hour: int, minute: int = 0, day: int = 20) -> datetime:
    return datetime(2026, 11, day, hour, minute, tzinfo=EXCHANGE_TZ)


def test_the_first_start_syncs_at_any_hour() -> None:
    assert missed_sync(None, at(2)) is not None


def test_a_sync_of_this_morning_is_enough() -> None:
    assert missed_sync(at(8, 31), at(15)) is None


def test_a_sync_of_yesterday_is_not_enough() -> None:
    assert missed_sync(at(8, 31, day=19), at(15)) == at(8, 30)


def test_nothing_is_missed_before_the_time_of_the_schedule() -> None:
    assert missed_sync(at(8, 31, day=19), at(8)) is None


def test_the_schedule_gets_some_minutes_to_do_it() -> None:
    assert missed_sync(at(8, 31, day=19), at(8, 40)) is None
