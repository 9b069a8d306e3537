"""How far two feeds of the same market are from each other: per minute, per instrument, in sum.

Frames of function feed_minutes in, numbers out. Pure.

What is tolerated stands here and not in tolerances.yaml: that is about candles of the whole market,
which have one right value. Of two feeds of snapshots neither is right: each may miss what the other
has seen, so single minutes differ while both work. None of the figures was measured with live
accounts.
"""

from dataclasses import asdict, dataclass
from typing import Any

import polars as pl

MOST_TICKS = 1.0
"""By how many ticks closes may differ: prices move by one within the time between two snapshots."""

MOST_INDEX_SHARE = 0.0001
"""By which share closes of an index may differ, which has no tick: it is computed anew each second,
and it moves this far in one."""

MOST_VOLUME_SHARE = 0.01
"""By which share of the larger one volumes may differ: less than a second of a minute's trades."""

MOST_MINUTES_OFF_IN_PRICE = 0.1
"""In which share of all minutes closes may differ by more: where the last trade lies between the
last snapshots of the two, and the price moved with it."""

MOST_MINUTES_OFF_IN_VOLUME = 0.5
"""In which share of all minutes volumes may differ by more. At either end of a minute what was
traded between the last snapshots of the two counts in different minutes; with one snapshot a second
that is half a second's trades in the mean, nearly 1 %, and more in every second minute at most."""

_SLACK = 1e-6  # prices are binary fractions: one tick of 0.05 is not exactly one
_MINUTES = ("minutes", "price_minutes", "price_off", "volume_minutes", "volume_off")


@dataclass(frozen=True)
class Disagreement:
    """All minutes and instruments in sum.

    Minutes are counted once for each instrument. `price_minutes` and `volume_minutes` are those in
    which that can be compared, `price_off` and `volume_off` those of them that differ by more than
    is tolerated; `silent` those in which one alone had trades, which are off in both. Medians and
    maxima are of the size of the differences: prices in ticks (without indices), volumes in shares
    of the larger one, lag and lead in seconds as they are, with sign. None where nothing is known.
    """

    instruments: int
    minutes: int
    price_minutes: int
    price_off: int
    volume_minutes: int
    volume_off: int
    silent: int
    median_ticks: float | None
    most_ticks: float | None
    median_volume_share: float | None
    most_volume_share: float | None
    preferred_lag: float | None
    most_preferred_lag: float | None
    standby_lag: float | None
    most_standby_lag: float | None
    lead: float | None
    most_lead: float | None

    @property
    def price_share(self) -> float:
        """The share of minutes that are off in price; 0 where none was compared."""
        return self.price_off / max(self.price_minutes, 1)

    @property
    def volume_share(self) -> float:
        """The share of minutes that are off in volume; 0 where none was compared."""
        return self.volume_off / max(self.volume_minutes, 1)

    @property
    def is_tolerable(self) -> bool:
        """Whether not more minutes are off than two working feeds explain."""
        return (
            self.price_share <= MOST_MINUTES_OFF_IN_PRICE
            and self.volume_share <= MOST_MINUTES_OFF_IN_VOLUME
        )

    def numbers(self) -> dict[str, Any]:
        """Return everything by name, with the shares."""
        return {**asdict(self), "price_share": self.price_share, "volume_share": self.volume_share}


def in_sum(minutes: pl.DataFrame) -> Disagreement:
    """Return what the minutes of all instruments come to."""
    judged = _judged(minutes)
    lead = pl.col("lead").drop_nulls()
    row = judged.select(
        instruments=pl.col("instrument_id").n_unique(),
        **_counts(),
        silent=pl.col("is_silent").sum(),
        median_ticks=pl.col("ticks").median(),
        most_ticks=pl.col("ticks").max(),
        median_volume_share=pl.col("share").median(),
        most_volume_share=pl.col("share").max(),
        preferred_lag=pl.col("preferred_lag").median(),
        most_preferred_lag=pl.col("preferred_lag").max(),
        standby_lag=pl.col("standby_lag").median(),
        most_standby_lag=pl.col("standby_lag").max(),
        lead=lead.median(),
        most_lead=lead.sort_by(lead.abs()).last(),
    )
    return Disagreement(**row.row(0, named=True))


def by_instrument(minutes: pl.DataFrame) -> pl.DataFrame:
    """Return name, minutes, price_off, volume_off, most_ticks, most_volume_share and lead, the
    median; the instrument with the most minutes that are off first."""
    found = (
        _judged(minutes)
        .group_by("instrument_id", "name")
        .agg(
            **_counts(),
            most_ticks=pl.col("ticks").max().round(2),
            most_volume_share=pl.col("share").max().round(4),
            lead=pl.col("lead").median().round(3),
        )
    )
    off = pl.max_horizontal("price_off", "volume_off")
    return found.sort(
        off,
        "price_off",
        "most_ticks",
        "name",
        descending=[True, True, True, False],
        nulls_last=True,
    ).select("name", *_MINUTES, "most_ticks", "most_volume_share", "lead")


def off(found: pl.DataFrame) -> pl.DataFrame:
    """Return those of by_instrument of which any minute is off."""
    return found.filter((pl.col("price_off") > 0) | (pl.col("volume_off") > 0))


def _judged(minutes: pl.DataFrame) -> pl.DataFrame:
    """Add to each minute what is compared of it: `ticks`, `share`, and whether each is too much."""
    closes = pl.col("preferred_close"), pl.col("standby_close")
    volumes = pl.col("preferred_volume"), pl.col("standby_volume")
    larger = pl.max_horizontal(*volumes)
    size = pl.col("close_difference").abs()
    is_index = pl.col("close_ticks").is_null()
    is_far = (
        pl.when(is_index)
        .then(size > MOST_INDEX_SHARE * closes[0].abs())
        .otherwise(pl.col("close_ticks").abs() > MOST_TICKS + _SLACK)
    )
    share = pl.when(larger > 0).then(pl.col("volume_difference").abs() / larger)
    is_silent = closes[0].is_null() != closes[1].is_null()
    return minutes.with_columns(
        ticks=pl.col("close_ticks").abs(), share=share, is_silent=is_silent
    ).with_columns(
        is_price_off=pl.when("is_silent").then(True).otherwise(is_far),
        is_volume_off=pl.col("share") > MOST_VOLUME_SHARE + _SLACK,
    )


def _counts() -> dict[str, pl.Expr]:
    price, volume = pl.col("is_price_off"), pl.col("is_volume_off")
    counts = (pl.len(), price.count(), price.sum(), volume.count(), volume.sum())
    return {name: count.cast(pl.Int64) for name, count in zip(_MINUTES, counts, strict=True)}
