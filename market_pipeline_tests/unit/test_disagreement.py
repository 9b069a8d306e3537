"""What minutes of two feeds come to, in sum and by instrument."""

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from market_pipeline import disagreement
from market_pipeline.storage import feeds
from market_pipeline_tests.builders import OPEN

_SCHEMA: dict[str, Any] = {
    "instrument_id": pl.Int64,
    "name": pl.String,
    "preferred_close": pl.Float64,
    "standby_close": pl.Float64,
    "close_difference": pl.Float64,
    "close_ticks": pl.Float64,
    "preferred_volume": pl.Int64,
    "standby_volume": pl.Int64,
    "volume_difference": pl.Int64,
    "preferred_lag": pl.Float64,
    "standby_lag": pl.Float64,
    "lead": pl.Float64,
}


def minute(
    close: float | None = 100.0,
    volume: int | None = 1000,
    tick: float | None = 0.05,
    instrument: int = 1,
    **more: Any,
) -> dict[str, Any]:
    """Return a minute in which the preferred feed saw 100.0 and 1000, and the other these."""
    difference = None if close is None else close - 100.0
    return {
        "instrument_id": instrument,
        "name": f"NSE:{instrument}",
        "preferred_close": 100.0,
        "standby_close": close,
        "close_difference": difference,
        "close_ticks": difference / tick if tick and difference is not None else None,
        "preferred_volume": 1000,
        "standby_volume": volume,
        "volume_difference": None if volume is None else volume - 1000,
    } | more


def frame(*minutes: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(list(minutes), schema=_SCHEMA)


def in_sum(*minutes: dict[str, Any]) -> disagreement.Disagreement:
    return disagreement.in_sum(frame(*minutes))


def test_feeds_that_say_the_same_are_tolerable_and_nothing_is_off() -> None:
    found = in_sum(minute(), minute(instrument=2))
    assert (found.instruments, found.minutes) == (2, 2)
    assert (found.price_minutes, found.volume_minutes) == (2, 2)
    assert (found.price_off, found.volume_off, found.silent) == (0, 0, 0)
    assert found.is_tolerable


@pytest.mark.parametrize(("close", "is_off"), [(100.05, 0), (99.95, 0), (100.1, 1), (99.9, 1)])
def test_a_close_may_differ_by_one_tick(close: float, is_off: int) -> None:
    assert in_sum(minute(close)).price_off == is_off


@pytest.mark.parametrize(("volume", "is_off"), [(990, 0), (1010, 0), (989, 1), (1012, 1), (0, 1)])
def test_a_volume_may_differ_by_a_hundredth(volume: int, is_off: int) -> None:
    assert in_sum(minute(volume=volume)).volume_off == is_off


@pytest.mark.parametrize(("close", "is_off"), [(100.009, 0), (100.02, 1)])
def test_an_index_may_differ_by_a_share(close: float, is_off: int) -> None:
    found = in_sum(minute(close, tick=None))
    assert (found.price_minutes, found.price_off) == (1, is_off)
    assert found.most_ticks is None


def test_a_volume_that_is_not_known_is_not_compared() -> None:
    assert in_sum(minute(volume=None)).volume_minutes == 0


def test_a_minute_in_which_one_alone_saw_trades_is_off_in_both() -> None:
    found = in_sum(minute(None, volume=0))
    assert (found.silent, found.price_off, found.volume_off) == (1, 1, 1)


def test_one_tenth_of_the_closes_may_be_off_and_no_more() -> None:
    right = [minute() for _ in range(9)]
    assert in_sum(*right, minute(101.0)).is_tolerable
    assert not in_sum(*right[:8], minute(101.0)).is_tolerable


def test_half_of_the_volumes_may_be_off_and_no_more() -> None:
    assert in_sum(minute(), minute(volume=1200)).is_tolerable
    assert not in_sum(minute(), minute(volume=1200), minute(volume=1200)).is_tolerable


def test_medians_and_maxima_are_told() -> None:
    lags = [{"preferred_lag": 0.1 * n, "standby_lag": 0.2 * n} for n in (1, 2, 5)]
    found = in_sum(
        minute(100.05, 1000, lead=0.5) | lags[0],
        minute(100.10, 1250, lead=-2.0) | lags[1],
        minute(100.25, 2000, lead=1.0) | lags[2],
    )
    assert found.median_ticks == pytest.approx(2)
    assert found.most_ticks == pytest.approx(5)
    assert (found.median_volume_share, found.most_volume_share) == (0.2, 0.5)
    assert (found.preferred_lag, found.most_preferred_lag) == (0.2, 0.5)
    assert (found.standby_lag, found.most_standby_lag) == (0.4, 1.0)
    assert (found.lead, found.most_lead) == (0.5, -2.0)


def test_nothing_to_compare_is_tolerable_and_has_no_medians() -> None:
    found = in_sum()
    assert (found.minutes, found.instruments, found.price_share, found.lead) == (0, 0, 0, None)
    assert found.is_tolerable


def test_the_worst_instrument_comes_first_and_those_without_fault_are_left_out() -> None:
    rows = frame(
        minute(instrument=1),
        minute(volume=500, instrument=2),
        *(minute(101.0, instrument=3) for _ in range(2)),
    )
    found = disagreement.by_instrument(rows)
    assert found["name"].to_list() == ["NSE:3", "NSE:2", "NSE:1"]
    assert found["price_off"].to_list() == [2, 0, 0]
    assert disagreement.off(found)["name"].to_list() == ["NSE:3", "NSE:2"]


def test_the_last_minutes_are_those_that_have_closed_and_settled() -> None:
    opened = datetime.fromtimestamp(OPEN, UTC)
    start, end = feeds.closed_minutes(opened + timedelta(minutes=20, seconds=15), 15)
    assert (start, end) == (opened + timedelta(minutes=5), opened + timedelta(minutes=20))
    earlier = feeds.closed_minutes(opened + timedelta(minutes=20, seconds=14), 15)
    assert earlier[1] == opened + timedelta(minutes=19)
