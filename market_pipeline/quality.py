"""Frames of data in, faults out. Pure."""

import polars as pl

FIELDS = ("open", "high", "low", "close", "volume")

LIQUID_SHARE = 0.9
LIQUID_TRADES = 10
"""Where candles hold this many trades on average, chance leaves one minute in 22,000 empty."""

_CANDLE_FIELDS = (*FIELDS, "open_interest", "trades")
_OF_MINUTE = ["instrument_id", "time"]


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


def minute_candles(ticks: pl.DataFrame) -> pl.DataFrame:
    """Make one-minute candles of ticks, as sql/candles/candles_1m.sql does, by other means.

    Ticks have the columns of the table of that name; candles those of the view candles_1m.
    """
    price, volume, interest = pl.col("last_price"), pl.col("volume"), pl.col("open_interest")
    is_trade = pl.col("is_trade")
    return (
        ticks.with_columns(pl.col("time").dt.truncate("1m"))
        .sort(*_OF_MINUTE, "seq")
        .group_by(*_OF_MINUTE, maintain_order=True)
        .agg(
            price.filter(is_trade).first().alias("open"),
            pl.col("high").filter(is_trade).max(),
            pl.col("low").filter(is_trade).min(),
            price.filter(is_trade).last().alias("close"),
            pl.when(volume.count() > 0).then(volume.sum()),
            interest.drop_nulls().last(),
            is_trade.sum().cast(pl.Int64).alias("trades"),
        )
        .filter(pl.col("trades") > 0)
    )


def disagreements(made: pl.DataFrame, stored: pl.DataFrame) -> pl.DataFrame:
    """Return where candles are not what was made of their ticks, the worst instruments first.

    Both have the columns of the view candles_1m. One row an instrument: how many minutes were
    compared, how many differ, the first that does, and in which columns.
    """
    differs = {
        name: pl.col(name).ne_missing(pl.col(f"{name}_stored")).alias(name)
        for name in _CANDLE_FIELDS
    }
    pairs = made.join(stored, on=_OF_MINUTE, how="full", suffix="_stored", coalesce=True)
    differing = pl.any_horizontal(*_CANDLE_FIELDS)
    names = [pl.when(pl.col(name).any()).then(pl.lit(name)) for name in _CANDLE_FIELDS]
    return (
        pairs.select(*_OF_MINUTE, *differs.values())
        .group_by("instrument_id")
        .agg(
            pl.len().alias("compared"),
            differing.sum().alias("differing"),
            pl.col("time").filter(differing).min().alias("first"),
            pl.concat_str(names, separator=", ", ignore_nulls=True).alias("columns"),
        )
        .sort("differing", "instrument_id", descending=[True, False])
    )


def completeness(instruments: pl.DataFrame) -> pl.DataFrame:
    """Count for each instrument which minutes of a day have candles and which should.

    Columns `expected`, `possible`, `auctions`, `present` and `in_gaps` are lists of minutes,
    `trades` is how many all candles hold. Of the missing minutes those that touch a recorded gap
    are `explained`. Others are `suspect` if the instrument is liquid: outside gaps it has candles
    in nine of ten minutes, and enough trades in each that chance empties none. Any other instrument
    may just not have traded. `outside` counts candles where there can be none; those of the
    auctions before and after the session are counted by themselves.
    """
    expected, present = pl.col("expected"), pl.col("present")
    missing = expected.list.set_difference(present)
    explained = missing.list.set_intersection("in_gaps").list.len()
    undisturbed = expected.list.set_difference("in_gaps")
    share = undisturbed.list.set_intersection(present).list.len() / undisturbed.list.len()
    is_liquid = (share >= LIQUID_SHARE) & (pl.col("trades") >= LIQUID_TRADES * present.list.len())
    unexplained = missing.list.len() - explained
    return instruments.with_columns(
        expected.list.len(),
        expected.list.set_intersection(present).list.len().alias("present"),
        explained.alias("explained"),
        pl.when(is_liquid).then(unexplained).otherwise(0).alias("suspect"),
        present.list.set_difference("possible")
        .list.set_difference("auctions")
        .list.len()
        .alias("outside"),
        present.list.set_intersection("auctions").list.len().alias("auctions"),
    ).drop("possible", "in_gaps")
