"""Candles that should be equal, and what counts as a difference."""

from datetime import UTC, datetime, timedelta

import polars as pl

from market_pipeline import quality

_OPEN = datetime(2026, 11, 20, 3, 45, tzinfo=UTC)


def candles(*rows: tuple[float, float, float, float, int], symbol: str = "SBIN") -> pl.DataFrame:
    """One row a minute: open, high, low, close, volume."""
    return pl.DataFrame(
        [(symbol, _OPEN + timedelta(minutes=n), *row) for n, row in enumerate(rows)],
        schema=["symbol", "time", *quality.FIELDS],
        orient="row",
    )


def test_equal_candles_have_no_differences() -> None:
    rows = candles((1.0, 2.0, 0.5, 1.5, 10), (1.5, 1.5, 1.5, 1.5, 3))
    assert quality.candle_differences(rows, rows).is_empty()


def test_a_differing_field_is_a_difference() -> None:
    expected = candles((1.0, 2.0, 0.5, 1.5, 10))
    actual = candles((1.0, 2.0, 0.5, 1.5, 11))
    assert quality.candle_differences(expected, actual).height == 1


def test_a_missing_candle_is_a_difference() -> None:
    expected = candles((1.0, 1.0, 1.0, 1.0, 5), (1.0, 2.0, 1.0, 2.0, 10))
    assert quality.candle_differences(expected, expected.head(1)).height == 1


def test_a_candle_too_many_is_a_difference() -> None:
    actual = candles((1.0, 1.0, 1.0, 1.0, 5), (1.0, 2.0, 1.0, 2.0, 10))
    assert quality.candle_differences(actual.head(1), actual).height == 1


def test_a_minute_without_trades_equals_no_candle() -> None:
    expected = candles((1.0, 2.0, 1.0, 2.0, 5), (2.0, 2.0, 2.0, 2.0, 0))
    assert quality.candle_differences(expected, expected.head(1)).is_empty()
    assert quality.idle_minutes(expected) == 1


def test_a_candle_invented_for_a_minute_without_trades_is_a_difference() -> None:
    expected = candles((1.0, 2.0, 1.0, 2.0, 5), (2.0, 2.0, 2.0, 2.0, 0))
    assert quality.candle_differences(expected, expected).height == 1


def test_a_missing_volume_is_a_difference() -> None:
    expected = candles((1.0, 2.0, 1.0, 2.0, 5))
    actual = expected.with_columns(volume=pl.lit(None, pl.Int64))
    assert quality.candle_differences(expected, actual).height == 1
