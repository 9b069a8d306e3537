"""Candles made of ticks a second time, where they differ from others, and what a day lacks."""

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from market_pipeline import quality

_OPEN = datetime(2026, 11, 20, 3, 45, tzinfo=UTC)
_TICK: dict[str, Any] = {
    "instrument_id": pl.Int64,
    "time": pl.Datetime("us", "UTC"),
    "seq": pl.Int64,
    "is_trade": pl.Boolean,
    "last_price": pl.Float64,
    "high": pl.Float64,
    "low": pl.Float64,
    "volume": pl.Int64,
    "open_interest": pl.Int64,
}
_LISTS = ("expected", "possible", "auctions", "present", "in_gaps")


def tick(at: float, price: float = 1.0, **values: Any) -> dict[str, Any]:
    """A trade of one, `at` seconds after the opening."""
    row = {"instrument_id": 1, "time": _OPEN + timedelta(seconds=at), "seq": int(at * 10)}
    row |= {"is_trade": True, "last_price": price, "high": price, "low": price, "volume": 1}
    return row | {"open_interest": None} | values


def ticks(*rows: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=_TICK)


def candles(*rows: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Make candles of ticks, without instrument and time."""
    return [row[2:] for row in quality.minute_candles(ticks(*rows)).sort("time").rows()]


def test_a_candle_is_made_of_its_trades() -> None:
    made = candles(tick(0, 5.0), tick(20, 9.0), tick(40, 2.0), tick(59, 4.0))
    assert made == [(5.0, 9.0, 2.0, 4.0, 4, None, 4)]


def test_each_minute_and_each_instrument_has_a_candle_of_its_own() -> None:
    made = quality.minute_candles(ticks(tick(0), tick(60), tick(60, instrument_id=2)))
    assert sorted(made.select("instrument_id", "time").rows()) == [
        (1, _OPEN),
        (1, _OPEN + timedelta(minutes=1)),
        (2, _OPEN + timedelta(minutes=1)),
    ]


def test_seq_decides_what_comes_first_and_last() -> None:
    made = candles(tick(1, 3.0, seq=2), tick(1, 9.0, seq=3), tick(1, 7.0, seq=1))
    assert made == [(7.0, 9.0, 3.0, 9.0, 3, None, 3)]


def test_prices_of_what_is_no_trade_are_left_out_and_its_volume_is_not() -> None:
    made = candles(
        tick(0, 9.0, is_trade=False, volume=3), tick(1, 5.0), tick(2, 1.0, is_trade=False)
    )
    assert made == [(5.0, 5.0, 5.0, 5.0, 5, None, 1)]


def test_a_minute_without_a_trade_has_no_candle() -> None:
    assert candles(tick(0, is_trade=False)) == []


def test_extremes_between_two_ticks_count() -> None:
    made = candles(tick(0, 5.0, high=8.0), tick(1, 5.0, low=2.0))
    assert made == [(5.0, 8.0, 2.0, 5.0, 2, None, 2)]


def test_volumes_that_are_not_known_count_as_nothing_unless_none_is_known() -> None:
    made = candles(tick(0, volume=None), tick(1, volume=4), tick(60, volume=None))
    assert [row[4] for row in made] == [4, None]


def test_open_interest_is_the_last_that_is_known() -> None:
    made = candles(
        tick(0, open_interest=7),
        tick(1, open_interest=8, is_trade=False),
        tick(2, open_interest=None),
    )
    assert [row[5] for row in made] == [8]


def test_no_ticks_make_no_candles() -> None:
    assert quality.minute_candles(ticks()).is_empty()


def test_equal_candles_do_not_disagree() -> None:
    made = quality.minute_candles(ticks(tick(0, volume=None), tick(60)))
    found = quality.disagreements(made, made)
    assert found.rows() == [(1, 2, 0, None, "")]


def test_what_disagrees_is_told_by_instrument_the_worst_first() -> None:
    rows = [tick(0), tick(0, instrument_id=2), tick(60, instrument_id=2)]
    made = quality.minute_candles(ticks(*rows))
    stored = made.with_columns(
        pl.col("volume") + 1,
        pl.when(pl.col("instrument_id") == 2).then(None).otherwise(pl.col("close")).alias("close"),
    )
    assert quality.disagreements(made, stored).rows() == [
        (2, 2, 2, _OPEN, "close, volume"),
        (1, 1, 1, _OPEN, "volume"),
    ]


def test_a_candle_on_one_side_alone_disagrees_in_all_it_holds() -> None:
    made = quality.minute_candles(ticks(tick(0)))
    columns = "open, high, low, close, volume, trades"
    assert quality.disagreements(made, made.clear()).rows() == [(1, 1, 1, _OPEN, columns)]
    assert quality.disagreements(made.clear(), made).rows() == [(1, 1, 1, _OPEN, columns)]


def completeness(**lists: list[int]) -> dict[str, Any]:
    """Look at ten minutes of an instrument with ten trades in each."""
    given = {"expected": list(range(10)), "possible": list(range(11)), "present": list(range(10))}
    row = {name: (given | lists).get(name, []) for name in _LISTS}
    frame = pl.DataFrame(
        [{"name": "X", "trades": 10 * len(row["present"]), **row}],
        schema={"name": pl.String, "trades": pl.Int64, **{n: pl.List(pl.Int64) for n in _LISTS}},
    )
    return quality.completeness(frame).row(0, named=True)


@pytest.mark.parametrize(
    ("lists", "expected"),
    [
        ({}, {"expected": 10, "present": 10, "suspect": 0, "explained": 0, "outside": 0}),
        # Nine of ten are enough to say that the tenth should be there, eight are not.
        ({"present": [0, 1, 2, 3, 4, 5, 6, 7, 8]}, {"present": 9, "suspect": 1}),
        ({"present": [0, 1, 2, 3, 4, 5, 6, 7]}, {"present": 8, "suspect": 0}),
        # What gaps took says nothing of how liquid an instrument is.
        ({"present": [0, 1], "in_gaps": [2, 3, 4, 5, 6, 7, 8, 9]}, {"explained": 8, "suspect": 0}),
        ({"present": list(range(9)), "in_gaps": [8, 9]}, {"explained": 1, "suspect": 0}),
        ({"present": [], "in_gaps": list(range(10))}, {"explained": 10, "suspect": 0}),
        ({"present": [*range(11)]}, {"present": 10, "outside": 0}),
        ({"present": [*range(10), 11, 12]}, {"present": 10, "outside": 2}),
        ({"present": [*range(10), 11], "auctions": [11]}, {"outside": 0, "auctions": 1}),
        ({"expected": []}, {"expected": 0, "present": 0, "suspect": 0}),
    ],
)
def test_minutes_are_missing_explained_or_outside(
    lists: dict[str, list[int]], expected: dict[str, int]
) -> None:
    found = completeness(**lists)
    assert {name: found[name] for name in expected} == expected
