"""What is said of a minute whose candles differ: expressions over the rows of reconciliation.py.

Such a row has of each field `ours_`, `theirs_`, `allowed_` and `off_`.
"""

import polars as pl

from market_pipeline.market import Segment
from market_pipeline.tolerances import FIELDS, PRICES


def difference(name: str) -> pl.Expr:
    """Return by how much a field differs."""
    return (pl.col(f"ours_{name}") - pl.col(f"theirs_{name}")).abs()


def tick() -> pl.Expr:
    """Return the unit of prices: a tick, of an index a point; null where it is not known."""
    is_index = pl.col("segment") == Segment.INDEX
    return pl.when(is_index).then(1.0).otherwise(pl.col("tick_size"))


def differing() -> pl.Expr:
    """Say of each field that is off both values, by how much, and how much is tolerated."""
    said = [
        pl.when(pl.col(f"off_{name}")).then(_price(name) if name in PRICES else _quantity(name))
        for name in FIELDS
    ]
    return pl.concat_str(said, separator="; ", ignore_nulls=True)


def missing() -> pl.Expr:
    """Say what the broker has where we have none."""
    said = pl.format("none of ours, broker's has a volume of {}", pl.col("theirs_volume"))
    return said.fill_null("none of ours")


def number(value: pl.Expr) -> pl.Expr:
    """Write a number as people do: 101 and 101.25, not 101.0 or 101.25000000000001."""
    return value.cast(pl.Float64).round(4).cast(pl.String).str.strip_suffix(".0")


def _price(name: str) -> pl.Expr:
    ours, theirs = number(pl.col(f"ours_{name}")), number(pl.col(f"theirs_{name}"))
    step = tick().fill_null(1.0)
    off, allowed = difference(name) / step, pl.col(f"allowed_{name}") / step
    unit = pl.when(tick().is_null() | (pl.col("segment") == Segment.INDEX))
    return pl.format(
        "{} {}, broker's {}: {} {}, {} are tolerated",
        pl.lit(name),
        ours,
        theirs,
        number(off.round(2)),
        unit.then(pl.lit("points")).otherwise(pl.lit("ticks")),
        number(allowed.round(2)),
    )


def _quantity(name: str) -> pl.Expr:
    ours, theirs = pl.col(f"ours_{name}"), pl.col(f"theirs_{name}")
    label = name.replace("_", " ")
    said = pl.format(
        "{} {}, broker's {}: off by {}, {} are tolerated",
        pl.lit(label),
        ours,
        theirs,
        difference(name),
        number(pl.col(f"allowed_{name}").round(2)),
    )
    if name != "volume":
        return said
    total = pl.when("is_off_in_total").then(pl.lit(" as the total of the day is off"))
    unknown = pl.format("volume was not known, broker's {}", theirs)
    known = pl.concat_str(said, total, ignore_nulls=True)
    return pl.when(ours.is_null()).then(unknown).otherwise(known)
