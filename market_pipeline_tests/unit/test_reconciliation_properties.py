"""What holds for all candles: nothing is found where nothing is wrong, and all that is wrong is."""

from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from market_pipeline import reconciliation
from market_pipeline.reconciliation import Verdict
from market_pipeline.tolerances import FIELDS
from market_pipeline_tests.reconciliation_cases import (
    FUTURE,
    INDEX,
    PACKAGED,
    STOCK,
    Candle,
    broker,
    instruments,
    live,
    verdicts,
)

UNHURRIED = settings(deadline=None)
TICKS = {STOCK: 0.05, FUTURE: 0.1, INDEX: 0.05}
ALONE = 10**9  # the volume of another minute, in which what is tolerated of a day is lost


def price(instrument: int, ticks: int) -> float:
    return round(ticks * TICKS[instrument], 2)


@st.composite
def candles(draw: st.DrawFn, instrument: int | None = None, first: int = 0) -> Candle:
    """A candle as an exchange can make it, or one of a minute without a trade."""
    whose = draw(st.sampled_from(sorted(TICKS))) if instrument is None else instrument
    low, first_off, last_off, high_off = (
        draw(st.integers(1, most)) for most in (10**6, 50, 50, 50)
    )
    high = low + max(first_off, last_off, high_off)
    volume = None if whose == INDEX else draw(st.sampled_from([0, 1, 75, 1000, 99_999]))
    made = Candle(
        at=draw(st.integers(first, 30)),
        instrument=whose,
        open=price(whose, low + first_off),
        high=price(whose, high),
        low=price(whose, low),
        close=price(whose, low + last_off),
        volume=volume,
        open_interest=draw(st.one_of(st.none(), st.integers(0, 10**6))),
        has_gap=draw(st.booleans()),
    )
    return made if volume != 0 else made.but(open=made.low, high=made.low, close=made.low)


def distinct(wanted: st.SearchStrategy[Candle]) -> st.SearchStrategy[list[Candle]]:
    return st.lists(wanted, max_size=10, unique_by=lambda each: (each.instrument, each.at))


DAYS = distinct(candles())


@UNHURRIED
@given(DAYS)
def test_the_brokers_own_candles_never_differ_from_themselves(day: list[Candle]) -> None:
    ours = [each for each in day if each.volume != 0]
    found = verdicts(ours, day)
    assert set(found["verdict"]) <= {Verdict.AGREES, Verdict.IDLE}
    assert reconciliation.replaced(found).is_empty()


def is_tolerated(candle: Candle, field: str, ticks: int) -> bool:
    """Say by whole numbers whether so many ticks are tolerated of a price: see tolerances.yaml."""
    if candle.has_gap:
        return False
    value = round(getattr(candle, field) / TICKS[candle.instrument])
    if candle.instrument == INDEX:
        return ticks <= 10 or 10_000 * ticks <= value
    share = {STOCK: (2, 5), FUTURE: (10, 20)}[candle.instrument][field in ("high", "low")]
    return ticks <= 2 or 10_000 * ticks <= share * value


@UNHURRIED
@given(
    candles(first=1),
    st.sampled_from(["open", "high", "low", "close"]),
    st.one_of(st.integers(1, 12), st.integers(1, 3000)),
    st.booleans(),
)
def test_a_price_is_found_exactly_when_it_is_off_by_more_than_is_tolerated(
    theirs: Candle, field: str, ticks: int, is_above: bool
) -> None:
    traded = theirs.but(volume=None if theirs.instrument == INDEX else 1000)
    off = price(theirs.instrument, ticks if is_above else -ticks)
    ours = traded.but(**{field: round(getattr(theirs, field) + off, 2)})
    found = verdicts([ours], [traded]).row(0, named=True)
    assert found["fields"] == ([] if is_tolerated(theirs, field, ticks) else [field])


@UNHURRIED
@given(st.sampled_from([STOCK, FUTURE]), st.integers(1, 10**6), st.integers(-(10**5), 10**5))
def test_a_volume_is_found_exactly_when_it_is_off_by_more_than_is_tolerated(
    instrument: int, volume: int, off: int
) -> None:
    theirs = Candle(instrument=instrument, volume=volume)
    rest = theirs.but(at=20, volume=ALONE)
    ours = theirs.but(volume=max(volume + off, 0))
    differs = abs(max(volume + off, 0) - volume)
    tolerated = differs <= {STOCK: 1, FUTURE: 75}[instrument] or 20 * differs <= volume
    found = verdicts([ours, rest], [theirs, rest])
    assert found["fields"].to_list() == [[] if tolerated else ["volume"], []]


@UNHURRIED
@given(st.lists(st.integers(0, 50), min_size=2, max_size=30))
def test_volume_that_moves_within_tolerance_to_the_next_minute_is_never_found(
    moved: list[int],
) -> None:
    moved[-1] = 0
    theirs = [Candle(at=at, volume=2000) for at in range(1, len(moved) + 1)]
    shifts = [after - before for before, after in zip([0, *moved], [*moved, 0], strict=False)]
    ours = [each.but(volume=2000 - off) for each, off in zip(theirs, shifts, strict=False)]
    assert set(verdicts(ours, theirs)["verdict"]) == {Verdict.AGREES}


@UNHURRIED
@given(DAYS, DAYS, st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_nothing(
    ours: list[Candle], theirs: list[Candle], random: Any
) -> None:
    expected = verdicts(ours, theirs)
    random.shuffle(ours)
    random.shuffle(theirs)
    mixed = instruments().sample(fraction=1.0, shuffle=True, seed=random.randrange(1000))
    found = reconciliation.verdicts(live(*ours), broker(*theirs), mixed, PACKAGED)
    assert_frame_equal(found, expected)


@UNHURRIED
@given(distinct(candles(STOCK)), st.sets(st.integers(0, 30)))
def test_minutes_that_the_broker_fills_need_no_candle_of_ours(
    traded: list[Candle], filled: set[int]
) -> None:
    ours = [each.but(volume=each.volume or 1) for each in traded]
    idle = [Candle(at=at, volume=0) for at in filled - {each.at for each in ours}]
    found = verdicts(ours, [*ours, *idle])
    counts = dict(found.group_by("verdict").len().iter_rows())
    assert counts.get(Verdict.IDLE, 0) == len(idle)
    assert counts.get(Verdict.AGREES, 0) == len(ours)


def repaired(ours: pl.DataFrame, found: pl.DataFrame) -> pl.DataFrame:
    """Put the broker's candles in the place of ours, and nothing in that of an idle minute."""
    taken = reconciliation.replaced(found)
    theirs = taken.select(
        "instrument_id",
        "time",
        *(pl.col(f"theirs_{name}").alias(name) for name in FIELDS),
        pl.lit(None, pl.Int64).alias("trades"),
        pl.lit(False).alias("has_gap"),
    )
    others = ours.join(taken, on=["instrument_id", "time"], how="anti")
    return pl.concat([others, theirs.filter(pl.col("volume").ne_missing(0))])


@st.composite
def both_sides(draw: st.DrawFn) -> tuple[list[Candle], list[Candle]]:
    """Candles of which some are the same, some off in volume by little, some by much or missing."""
    theirs = draw(DAYS)
    ours = []
    for each in theirs:
        factor = draw(st.sampled_from([None, 0.5, 0.97, 0.99, 1.0, 1.0, 1.01, 1.04]))
        if factor is not None:
            volume = None if each.volume is None else round(each.volume * factor)
            ours.append(each.but(volume=volume))
    return ours + draw(st.lists(candles(STOCK).map(lambda one: one.but(at=31)), max_size=1)), theirs


@UNHURRIED
@given(both_sides())
def test_after_the_repair_nothing_is_left_to_replace(
    sides: tuple[list[Candle], list[Candle]],
) -> None:
    ours, theirs = live(*sides[0]), broker(*sides[1])
    found = reconciliation.verdicts(ours, theirs, instruments(), PACKAGED)
    again = reconciliation.verdicts(repaired(ours, found), theirs, instruments(), PACKAGED)
    kept = found.filter((pl.col("verdict") == Verdict.EXTRA) & pl.col("theirs_close").is_null())
    assert reconciliation.replaced(again).is_empty()
    assert again.filter(pl.col("verdict") == Verdict.EXTRA).height == kept.height
