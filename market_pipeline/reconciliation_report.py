"""What the verdicts of a day come to: a line for each instrument, and a report. Pure."""

from collections.abc import Sequence
from datetime import date
from enum import StrEnum

import polars as pl

from market_pipeline import reconciliation_reasons as reasons
from market_pipeline.reconciliation import IN_GAP, OUTSIDE, Verdict
from market_pipeline.sessions import EXCHANGE_TZ
from market_pipeline.tolerances import FIELDS, PRICES, Tolerances

_WORST = 20
_OURS = pl.col("ours_close").is_not_null()
_COUNTS = ("differing", "missing", "extra")
_LACKING = [Verdict.DIFFERS, Verdict.MISSING, Verdict.EXTRA]


class Outcome(StrEnum):
    """What an instrument's day is found to be, the worst first."""

    UNSETTLED = "unsettled"  # candles of ours stay that the broker has not, or nothing to compare
    REPAIRED = "repaired"  # what differed is replaced
    BACKFILLED = "backfilled"  # all are the broker's: we had none
    AGREES = "agrees"


def summaries(verdicts: pl.DataFrame, instruments: pl.DataFrame) -> pl.DataFrame:
    """Return what each instrument's verdicts come to, the worst first.

    Counts: `compared` (agreeing, differing, missing and extra), these four, `kept` (those of the
    extra that stay), `idle`, `not_compared` and `in_gap` (of those that do not agree).
    `{price}_ticks` is the largest difference, of indices in points, null without a pair.
    `day_volume` (null where a part is unknown), `broker_day_volume` and `volume_share`, by which
    ours is more, are of the minutes compared without the opening. `verdict` is an Outcome.
    """
    counted = instruments.select("instrument_id", "name", "segment", "tick_size", "opening").join(
        verdicts, on="instrument_id", how="left", maintain_order="left"
    )
    found = counted.group_by("instrument_id", "name", "segment", maintain_order=True).agg(
        *_counts(), *(_largest(name) for name in PRICES), *_day_volumes()
    )
    share = (pl.col("day_volume") - pl.col("broker_day_volume")) / pl.col("broker_day_volume")
    return _worst_first(
        found.with_columns(
            pl.sum_horizontal("agreeing", *_COUNTS).alias("compared"),
            pl.when(pl.col("broker_day_volume") > 0).then(share).alias("volume_share"),
        )
        .with_columns(_outcome().alias("verdict"))
        .drop("ours")
    )


def report(
    day: date,
    broker_name: str,
    summaries: pl.DataFrame,
    verdicts: pl.DataFrame,
    tolerances: Tolerances,
) -> str:
    """Return what a person reads of a day, in Markdown; of a clean day one line.

    Of `verdicts` only those of minutes that differ, are missing or extra matter.
    """
    if summaries.is_empty():
        return f"{day}: there was no instrument to compare with {broker_name}.\n"
    if (summaries["verdict"] == Outcome.AGREES).all():
        return _clean(day, broker_name, summaries)
    lacking = _worst_first(summaries.filter(pl.col("verdict") != Outcome.AGREES))
    backfilled = summaries.filter(pl.col("verdict") == Outcome.BACKFILLED)
    candles = verdicts.filter(pl.col("verdict").is_in(_LACKING)).join(
        backfilled, on="instrument_id", how="anti"
    )
    title = f"# Candles of {day} against those of {broker_name}"
    parts = [title, _totals(broker_name, summaries)]
    parts += [_headline("instruments", lacking.height), _instruments(lacking)]
    parts += ["Volumes are of the minutes that were compared, without the opening."]
    if not candles.is_empty():
        parts += [_headline("candles", candles.height), _candles(candles, summaries)]
    lines = [f"not compared, {OUTSIDE}", IN_GAP, *tolerances.lines(summaries["segment"].to_list())]
    parts += ["## What is tolerated, and why", "\n".join(f"- {line}" for line in lines)]
    return "\n\n".join(parts) + "\n"


def _worst_first(summaries: pl.DataFrame) -> pl.DataFrame:
    rank, lacking = pl.col("verdict").cast(pl.Enum(Outcome)), pl.sum_horizontal(*_COUNTS)
    return summaries.sort(
        rank, lacking, "name", "instrument_id", descending=[False, True, False, False]
    )


def _headline(what: str, count: int) -> str:
    shown = f"The worst {_WORST} of {count:,} {what}" if count > _WORST else what.capitalize()
    return f"## {shown}"


def _clean(day: date, broker_name: str, summaries: pl.DataFrame) -> str:
    return (
        f"{day}: all {_sum(summaries, 'compared')} candles of {_several(summaries)} agree with "
        f"those of {broker_name}; {_rest(summaries)}\n"
    )


def _totals(broker_name: str, summaries: pl.DataFrame) -> str:
    outcomes = dict(summaries.group_by("verdict").len().iter_rows())
    found = ", ".join(f"{outcomes[each]:,} {each}" for each in Outcome if each in outcomes)
    counts = ", ".join(f"{_sum(summaries, name)} {name}" for name in ("agreeing", *_COUNTS))
    return (
        f"{_several(summaries)}: {found}. {_sum(summaries, 'compared')} candles were compared: "
        f"{counts}; {_sum(summaries, 'kept')} of the extra stay, since {broker_name} has none. "
        f"{_sum(summaries, 'in_gap')} of all that do not agree are in a recorded gap. "
        f"Besides, {_rest(summaries)}"
    )


def _several(summaries: pl.DataFrame) -> str:
    return f"{summaries.height:,} instrument{'s' if summaries.height > 1 else ''}"


def _rest(summaries: pl.DataFrame) -> str:
    idle, left_out = _sum(summaries, "idle"), _sum(summaries, "not_compared")
    return f"{idle} minutes were without a trade and {left_out} not compared."


def _sum(summaries: pl.DataFrame, name: str) -> str:
    return f"{summaries[name].sum():,}"


def _instruments(lacking: pl.DataFrame) -> str:
    ticks = [pl.col(f"{name}_ticks") for name in PRICES]
    worst = pl.max_horizontal(ticks)
    which = pl.coalesce(
        pl.when(each == worst).then(pl.lit(name)) for name, each in zip(PRICES, ticks, strict=True)
    )
    price = pl.when(worst > 0).then(pl.format("{} {}", which, reasons.number(worst)))
    share = (pl.col("volume_share") * 100).round(3).alias("volume %")
    columns = ["name", "verdict", "compared", *_COUNTS, "in_gap"]
    rows = lacking.head(_WORST).select(
        *columns, price.alias("price"), "day_volume", "broker_day_volume", share
    )
    heads = ["name", "verdict", "compared", *_COUNTS, "in gap", "price off by, in ticks"]
    return _table([*heads, "volume", "broker's", "%"], rows)


def _candles(candles: pl.DataFrame, summaries: pl.DataFrame) -> str:
    """The largest differences of price first, then those of volume."""
    price = pl.max_horizontal(
        reasons.difference(name) / pl.col(f"theirs_{name}").abs() for name in PRICES
    )
    volume = (pl.col("ours_volume").fill_null(0) - pl.col("theirs_volume").fill_null(0)).abs()
    worst = (
        candles.join(summaries.select("instrument_id", "name"), on="instrument_id", how="left")
        .sort(price, volume, "name", "time", descending=[True, True, False, False], nulls_last=True)
        .head(_WORST)
    )
    clock = pl.col("time").dt.convert_time_zone(EXCHANGE_TZ.key).dt.strftime("%H:%M")
    rows = worst.select("name", clock, _candle("ours"), _candle("theirs"), "verdict", "reason")
    values = "open, high, low, close, volume"
    heads = ["name", "time (IST)", f"ours: {values}", "broker's", "verdict", "reason"]
    return _table(heads, rows)


def _candle(whose: str) -> pl.Expr:
    values = [reasons.number(pl.col(f"{whose}_{name}")).fill_null("?") for name in FIELDS[:5]]
    is_there = pl.col(f"{whose}_close").is_not_null()
    return pl.when(is_there).then(pl.concat_str(values, separator=", ")).alias(whose)


def _table(heads: Sequence[str], rows: pl.DataFrame) -> str:
    lines = [heads, ["---"] * len(heads), *rows.iter_rows()]
    cells = (
        " | ".join("" if cell is None else str(cell).replace("|", "\\|") for cell in line)
        for line in lines
    )
    return "\n".join(f"| {line} |" for line in cells)


def _counts() -> list[pl.Expr]:
    verdict = pl.col("verdict")
    counts = {
        "agreeing": verdict == Verdict.AGREES,
        "differing": verdict == Verdict.DIFFERS,
        "missing": verdict == Verdict.MISSING,
        "extra": verdict == Verdict.EXTRA,
        "kept": (verdict == Verdict.EXTRA) & _OURS & pl.col("theirs_close").is_null(),
        "idle": verdict == Verdict.IDLE,
        "not_compared": verdict == Verdict.NOT_COMPARED,
        "in_gap": verdict.is_in(_LACKING) & pl.col("has_gap"),
        "ours": _OURS,
    }
    return [found.sum().cast(pl.Int64).alias(name) for name, found in counts.items()]


def _largest(name: str) -> pl.Expr:
    is_compared = pl.col("verdict").is_in([Verdict.AGREES, Verdict.DIFFERS])
    ticks = reasons.difference(name) / reasons.tick()
    return ticks.filter(is_compared).max().round(2).alias(f"{name}_ticks")


def _day_volumes() -> list[pl.Expr]:
    is_opening = (pl.col("time").dt.epoch("s") // 60 == pl.col("opening")).fill_null(False)
    within = (pl.col("verdict") != Verdict.NOT_COMPARED) & ~is_opening
    ours, theirs = pl.col("ours_volume"), pl.col("theirs_volume")
    is_known = (_OURS & ours.is_null() & within).sum() == 0
    has_theirs = theirs.filter(within).count() > 0
    return [
        pl.when(is_known & has_theirs).then(ours.filter(within).sum()).alias("day_volume"),
        pl.when(has_theirs).then(theirs.filter(within).sum()).alias("broker_day_volume"),
    ]


def _outcome() -> pl.Expr:
    return (
        pl.when((pl.col("kept") > 0) | (pl.col("compared") + pl.col("idle") == 0))
        .then(pl.lit(Outcome.UNSETTLED))
        .when((pl.col("ours") == 0) & (pl.col("missing") > 0))
        .then(pl.lit(Outcome.BACKFILLED))
        .when(pl.col("compared") > pl.col("agreeing"))
        .then(pl.lit(Outcome.REPAIRED))
        .otherwise(pl.lit(Outcome.AGREES))
    )
