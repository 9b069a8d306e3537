"""Frames of data in, faults out. Pure."""

import polars as pl

FIELDS = ("open", "high", "low", "close", "volume")


def candle_differences(expected: pl.DataFrame, actual: pl.DataFrame) -> pl.DataFrame:
    """Return the candles that differ, each with what was expected and what is there.

    Both have columns symbol, time, open, high, low, close, volume; no symbol has a time twice.
    Brokers fill a minute without trades with a candle of volume 0 at the previous close, which is
    equal to no candle at all; any other candle must be there with all its fields.
    """
    pairs = _without_idle_minutes(expected).join(
        actual, on=["symbol", "time"], how="full", suffix="_actual", coalesce=True
    )
    equal = pl.all_horizontal(pl.col(name).eq_missing(pl.col(f"{name}_actual")) for name in FIELDS)
    return pairs.filter(~equal).sort("symbol", "time")


def idle_minutes(candles: pl.DataFrame) -> int:
    """Count the candles that stand for a minute without trades."""
    return candles.height - _without_idle_minutes(candles).height


def _without_idle_minutes(candles: pl.DataFrame) -> pl.DataFrame:
    previous_close = pl.col("close").shift(1).over("symbol")
    flat = pl.all_horizontal(pl.col(name) == previous_close for name in FIELDS[:4])
    is_idle = flat.fill_null(False) & (pl.col("volume") == 0)
    return candles.sort("symbol", "time").filter(~is_idle)
