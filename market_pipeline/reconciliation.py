"""Live one-minute candles against the broker's: a verdict on each minute of an instrument. Pure.

What is tolerated is in tolerances.yaml; what the verdicts of a day come to, and what a person reads
of them, is made in reconciliation_report.py.
"""

from enum import StrEnum

import polars as pl

from market_pipeline import reconciliation_reasons as reasons
from market_pipeline.reconciliation_reasons import difference
from market_pipeline.tolerances import FIELDS, PRICES, Tolerances

OUTSIDE = (
    "outside continuous trading: a closing auction makes one price, and when brokers stamp its "
    "trades, or if they have candles then at all, is not verified"
)
"""Why minutes such as those of a closing auction are not compared, not even jointly."""

IN_GAP = "in a recorded gap: no difference of price or volume, since packets are missing there"
"""What is tolerated where the ledger of gaps tells that something was missed."""

NO_CANDLES = "the broker has no candle of this instrument"

_KEY = ["instrument_id", "time"]
_MINUTE = pl.duration(minutes=1)
_OURS, _THEIRS = pl.col("ours_close").is_not_null(), pl.col("theirs_close").is_not_null()
_ROUNDING = 1e-9  # of a price: prices are decimals, which binary numbers only come near


class Verdict(StrEnum):
    """What a minute of an instrument is found to be."""

    AGREES = "agrees"
    DIFFERS = "differs"
    MISSING = "missing"  # the broker has a candle with trades, we have none
    EXTRA = "extra"  # we have one, the broker none or one without a trade
    IDLE = "idle"  # the broker has one without a trade, which is no candle, and we have none
    NOT_COMPARED = "not_compared"


_COLUMNS = [
    *_KEY,
    *("verdict", "fields", "reason", "has_gap", "trades"),
    *(f"ours_{name}" for name in FIELDS),
    *(f"theirs_{name}" for name in FIELDS),
]


def verdicts(
    live: pl.DataFrame, broker: pl.DataFrame, instruments: pl.DataFrame, tolerances: Tolerances
) -> pl.DataFrame:
    """Return a verdict on each minute of which either side has a candle, by instrument and time.

    `live`: instrument_id, time, FIELDS, trades and has_gap; a volume that is null is unknown.
    `broker`: instrument_id, time, FIELDS, fetched_at and has_gap; the volume of indices is null. No
    instrument has a time twice on either side. `instruments`: instrument_id, name, segment,
    tick_size, lot_size, continuous, a list of minutes since 1970, and opening, the first of them;
    candles of instruments that are not there are left out.

    Returned are `verdict`, `fields` (those that differ beyond tolerance), `reason` (null where both
    agree), has_gap, trades (null without a candle of ours), and of each field `ours_` and
    `theirs_`.

    In a recorded gap no difference of price or volume is tolerated: packets are missing there.
    Minutes whose volumes agree one by one must agree in total too, by the tighter tolerance of the
    day. Where they do not, each minute of the instrument is held to that one.
    """
    rows = _placed(_pairs(live, broker), instruments, tolerances)
    rows = rows.with_columns(*(_allowed(name) for name in FIELDS))
    rows = _judged(rows.with_columns(_not_compared(tolerances).alias("why")))
    off_in_total = _off_in_total(rows)
    if not off_in_total.is_empty():
        rows = _judged(_held_to_the_day(rows, off_in_total))
    is_plain = pl.col("verdict") == Verdict.AGREES
    plain = rows.filter(is_plain).with_columns(
        pl.lit([], pl.List(pl.String)).alias("fields"), pl.lit(None, pl.String).alias("reason")
    )
    others = rows.filter(~is_plain).with_columns(_fields(), _reason().alias("reason"))
    return pl.concat([plain.select(_COLUMNS), others.select(_COLUMNS)]).sort(_KEY)


def replaced(verdicts: pl.DataFrame) -> pl.DataFrame:
    """Return the minutes of which readers are to get the broker's candle in place of ours.

    A candle of ours stays where the broker has none at all. Where the broker has one without a
    trade, that one replaces ours.
    """
    lacking = pl.col("verdict").is_in([Verdict.DIFFERS, Verdict.MISSING, Verdict.EXTRA])
    return verdicts.filter(lacking & _THEIRS)


def _pairs(live: pl.DataFrame, broker: pl.DataFrame) -> pl.DataFrame:
    """Put both candles of a minute in one row, and say which of the broker's have no trade."""
    ours = live.select(
        *_KEY, *(pl.col(name).alias(f"ours_{name}") for name in FIELDS), "trades", "has_gap"
    )
    close, volume = pl.col("close"), pl.col("volume")
    flat = pl.all_horizontal(pl.col(name) == close for name in PRICES)
    unmoved = (close == close.shift(1).over("instrument_id")).fill_null(False)
    theirs = broker.sort(_KEY).select(
        *_KEY,
        *(pl.col(name).alias(f"theirs_{name}") for name in FIELDS),
        "fetched_at",
        pl.col("has_gap").alias("theirs_has_gap"),
        (flat & (volume == 0).fill_null(False)).alias("is_untraded"),
        # The first candle of an index can be such a one unseen, as the one before is not here.
        (flat & (volume == 0).fill_null(unmoved)).alias("is_idle"),
    )
    pairs = ours.join(theirs, on=_KEY, how="full", coalesce=True)
    return pairs.with_columns(pl.coalesce("has_gap", "theirs_has_gap").alias("has_gap"))


def _placed(pairs: pl.DataFrame, instruments: pl.DataFrame, tolerances: Tolerances) -> pl.DataFrame:
    """Add what the instrument of each minute has, and what is tolerated then."""
    minute = pl.col("time").dt.epoch("s") // 60
    continuous = instruments.select("instrument_id", minute="continuous").explode("minute")
    details = instruments.select("instrument_id", "segment", "tick_size", "lot_size", "opening")
    opening = pl.col("minute") == pl.col("opening")
    return (
        pairs.with_columns(minute.alias("minute"))
        .join(details, on="instrument_id")
        .join(
            continuous.with_columns(is_continuous=True), on=["instrument_id", "minute"], how="left"
        )
        .with_columns(
            pl.col("is_continuous").fill_null(False),
            opening.fill_null(False).alias("is_opening"),
            pl.lit(False).alias("is_off_in_total"),
        )
        .join(tolerances.table(), on=["segment", "is_opening"])
    )


def _reason() -> pl.Expr:
    """Return what the ledger says of a minute that does not agree."""
    verdict = pl.col("verdict")
    reason = (
        pl.when(verdict == Verdict.NOT_COMPARED)
        .then("why")
        .when(verdict == Verdict.DIFFERS)
        .then(reasons.differing())
        .when(verdict == Verdict.MISSING)
        .then(reasons.missing())
        .when(verdict == Verdict.IDLE)
        .then(pl.lit("no trade"))
        .when(_THEIRS)
        .then(pl.lit("the broker shows no trade"))
        .otherwise(pl.lit("the broker has none"))
    )
    is_found = verdict.is_in([Verdict.DIFFERS, Verdict.MISSING, Verdict.EXTRA]) & pl.col("has_gap")
    gap = pl.when(is_found).then(pl.lit("in a recorded gap"))
    return pl.concat_str(reason, gap, separator="; ", ignore_nulls=True)


def _allowed(name: str) -> pl.Expr:
    """Return by how much a field may differ; null where it is not compared.

    In a recorded gap packets are known to be missing, so there is nothing to be tolerant of.
    """
    unit = reasons.tick() if name in PRICES else pl.col("lot_size")
    absolute = pl.col(f"{name}_amount") * unit
    share = pl.col(f"{name}_share") * pl.col(f"theirs_{name}").abs()
    allowed = pl.max_horizontal(absolute, share)
    if name != "open_interest":  # which is not made of what was missed
        is_known = allowed.is_not_null() & pl.col("has_gap").fill_null(False)
        allowed = pl.when(is_known).then(0.0).otherwise(allowed)
    return allowed.alias(f"allowed_{name}")


def _not_compared(tolerances: Tolerances) -> pl.Expr:
    """Say why a minute cannot be compared, null where it can."""
    last = pl.col("fetched_at").max().over("instrument_id")
    age = (pl.col("fetched_at").fill_null(last) - pl.col("time") - _MINUTE).dt.total_seconds()
    seconds = f"{tolerances.settles_after.total_seconds():g}"
    early = pl.format("fetched {} s after its end: candles settle for {} s", age, pl.lit(seconds))
    return (
        pl.when(~pl.col("is_continuous"))
        .then(pl.lit(OUTSIDE))
        .when(last.is_null())
        .then(pl.lit(NO_CANDLES))
        .when(age < tolerances.settles_after.total_seconds())
        .then(early)
    )


def _judged(rows: pl.DataFrame) -> pl.DataFrame:
    """Add which fields are off, and the verdict."""
    unknown = _THEIRS & _OURS & pl.col("ours_volume").is_null()
    is_unknown = unknown & pl.col("theirs_volume").is_not_null() & pl.col("is_volume_compared")
    off = [(difference(name) > _limit(name)).fill_null(False) for name in FIELDS]
    off[FIELDS.index("volume")] |= is_unknown
    flags = [each.alias(f"off_{name}") for name, each in zip(FIELDS, off, strict=True)]
    verdict = (
        pl.when(pl.col("why").is_not_null())
        .then(pl.lit(Verdict.NOT_COMPARED))
        .when(_OURS & (pl.col("is_untraded") | ~_THEIRS))
        .then(pl.lit(Verdict.EXTRA))
        .when(~_OURS & pl.col("is_idle"))
        .then(pl.lit(Verdict.IDLE))
        .when(~_OURS)
        .then(pl.lit(Verdict.MISSING))
        .when(pl.any_horizontal(f"off_{name}" for name in FIELDS))
        .then(pl.lit(Verdict.DIFFERS))
        .otherwise(pl.lit(Verdict.AGREES))
    )
    return rows.with_columns(flags).with_columns(verdict.alias("verdict"))


def _limit(name: str) -> pl.Expr:
    return pl.col(f"allowed_{name}") + _ROUNDING * pl.col(f"theirs_{name}").abs()


def _off_in_total(rows: pl.DataFrame) -> pl.Series:
    """Return the instruments whose minutes agree one by one in volume but not in total."""
    ours, theirs = pl.col("ours_volume").sum(), pl.col("theirs_volume").sum()
    lots = pl.col("day_amount").first() * pl.col("lot_size").first()
    allowed = pl.max_horizontal(lots, pl.col("day_share").first() * theirs)
    agreeing = rows.filter(
        (pl.col("verdict") == Verdict.AGREES) & pl.col("allowed_volume").is_not_null()
    )
    totals = agreeing.group_by("instrument_id").agg(
        ((ours - theirs).abs() > allowed + _ROUNDING * theirs).alias("is_off")
    )
    return totals.filter("is_off")["instrument_id"]


def _held_to_the_day(rows: pl.DataFrame, off_in_total: pl.Series) -> pl.DataFrame:
    """Allow each minute of some instruments no more than the day as a whole."""
    is_off = pl.col("instrument_id").is_in(off_in_total.implode())
    share = pl.col("day_share") * pl.col("theirs_volume")
    allowed = pl.min_horizontal(share, "allowed_volume")
    is_held = is_off & pl.col("allowed_volume").is_not_null()
    return rows.with_columns(
        pl.when(is_held).then(allowed).otherwise("allowed_volume").alias("allowed_volume"),
        is_off.alias("is_off_in_total"),
    )


def _fields() -> pl.Expr:
    differs = pl.col("verdict") == Verdict.DIFFERS
    names = [pl.when(differs & pl.col(f"off_{name}")).then(pl.lit(name)) for name in FIELDS]
    return pl.concat_list(names).list.drop_nulls().alias("fields")
