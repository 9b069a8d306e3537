"""A minute of ours against the broker's: what is tolerated, what is replaced, and what is said."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from market_pipeline import reconciliation
from market_pipeline.reconciliation import NO_CANDLES, OUTSIDE, Verdict
from market_pipeline.sessions import EXCHANGE_TZ, trading_dates
from market_pipeline_tests.reconciliation_cases import (
    FUTURE,
    INDEX,
    PACKAGED,
    Candle,
    broker,
    instruments,
    live,
    verdict,
    verdicts,
)

_DATA = Path(__file__).parents[3] / "shared" / "data"
A = Candle()
OF_FUTURE = Candle(instrument=FUTURE, price=25_000.0, volume=7_500, open_interest=750_000)
OF_INDEX = Candle(instrument=INDEX, price=25_000.0, volume=None)
OPENING = Candle(at=0)


@pytest.mark.parametrize("candle", [A, OF_FUTURE, OF_INDEX, OPENING])
def test_equal_candles_agree_and_nothing_is_said(candle: Candle) -> None:
    found = verdict(candle, candle)
    assert (found["verdict"], found["fields"], found["reason"]) == (Verdict.AGREES, [], None)


@pytest.mark.parametrize(
    ("ours", "theirs", "fields"),
    [
        (A.but(close=50.1), A.but(close=50.0), []),  # two ticks, as binary numbers a little more
        (A.but(close=100.15), A, ["close"]),
        (A.but(price=5000.0, close=5001.0), A.but(price=5000.0), []),  # 0.02 %
        (A.but(price=5000.0, close=5001.05), A.but(price=5000.0), ["close"]),
        (A.but(open=99.85, high=100.15, low=99.85), A, ["open", "high", "low"]),
        (A.but(volume=950), A, []),
        (A.but(volume=949), A, ["volume"]),
        (OF_FUTURE.but(close=25_025.0), OF_FUTURE, []),  # 0.1 %
        (OF_FUTURE.but(close=25_025.1), OF_FUTURE, ["close"]),
        (OF_FUTURE.but(open_interest=735_000), OF_FUTURE, []),
        (OF_FUTURE.but(open_interest=734_925), OF_FUTURE, ["open_interest"]),
        (OF_FUTURE.but(volume=75), OF_FUTURE.but(volume=150), []),  # one lot
        (OF_FUTURE.but(volume=0), OF_FUTURE.but(volume=150), ["volume"]),
        (OF_INDEX.but(close=25_002.5), OF_INDEX, []),
        (OF_INDEX.but(close=25_002.55), OF_INDEX, ["close"]),
        (OPENING.but(open=100.5, volume=1), OPENING, []),
        (OPENING.but(open=100.55, volume=1), OPENING, ["open"]),
        (OPENING.but(close=100.15), OPENING, ["close"]),
        (A.but(open_interest=7), A.but(open_interest=9000), []),  # of a share
    ],
)
def test_a_field_differs_beyond_what_is_tolerated_in_its_segment_and_minute(
    ours: Candle, theirs: Candle, fields: list[str]
) -> None:
    # The day's total is looked at elsewhere: another minute makes up for the volume.
    rest = theirs.but(at=300, volume=10**7) if theirs.volume else theirs.but(at=300)
    row = verdicts([ours, rest], [theirs, rest]).row(0, named=True)
    assert row["fields"] == fields
    assert row["verdict"] == (Verdict.DIFFERS if fields else Verdict.AGREES)


@pytest.mark.parametrize(
    ("ours", "theirs", "reason"),
    [
        (
            A.but(close=101.5),
            A.but(close=101.2),
            "close 101.5, broker's 101.2: 6 ticks, 2 are tolerated",
        ),
        (
            OF_INDEX.but(high=25_010.25),
            OF_INDEX,
            "high 25010.25, broker's 25000: 10.25 points, 2.5 are tolerated",
        ),
        (A.but(volume=900), A, "volume 900, broker's 1000: off by 100, 50 are tolerated"),
        (A.but(volume=None), A, "volume was not known, broker's 1000"),
        (
            OF_FUTURE.but(open_interest=75, volume=None),
            OF_FUTURE,
            "volume was not known, broker's 7500; "
            "open interest 75, broker's 750000: off by 749925, 15000 are tolerated",
        ),
        (
            A.but(close=101.0, has_gap=True),
            A,
            "close 101, broker's 100: 20 ticks, 0 are tolerated; in a recorded gap",
        ),
        (None, A, "none of ours, broker's has a volume of 1000"),
        (
            None,
            A.but(has_gap=True),
            "none of ours, broker's has a volume of 1000; in a recorded gap",
        ),
        (None, OF_INDEX, "none of ours"),
        (None, A.but(volume=0), "no trade"),
        (A, A.but(volume=0), "the broker shows no trade"),
        (A, None, "the broker has none"),
        (A.but(has_gap=True), None, "the broker has none; in a recorded gap"),
        (
            A,
            A.but(fetched_after=14),
            "fetched 14 s after its end: candles settle for 15 s",
        ),
        (A.but(at=375), A.but(at=375), OUTSIDE),
    ],
)
def test_the_reason_can_stand_in_the_ledger(
    ours: Candle | None, theirs: Candle | None, reason: str
) -> None:
    assert verdict(ours, theirs)["reason"] == reason


@pytest.mark.parametrize(
    ("ours", "theirs", "expected", "is_kept"),
    [
        (A, A, Verdict.AGREES, True),
        (A.but(close=101.0), A, Verdict.DIFFERS, False),
        (A.but(volume=None), A, Verdict.DIFFERS, False),
        (None, A, Verdict.MISSING, False),
        (None, A.but(volume=0), Verdict.IDLE, True),
        (A, A.but(volume=0), Verdict.EXTRA, False),
        (A, None, Verdict.EXTRA, True),
        # A candle that moved without volume is not one of a minute without a trade.
        (None, A.but(volume=0, high=100.5), Verdict.MISSING, False),
        (A, A.but(volume=0, high=100.5), Verdict.DIFFERS, False),
        (A.but(at=-3), A.but(at=-3, price=7.0), Verdict.NOT_COMPARED, True),
        (A.but(at=380), None, Verdict.NOT_COMPARED, True),
        (None, A.but(at=380), Verdict.NOT_COMPARED, True),
        (A, A.but(price=7.0, fetched_after=14), Verdict.NOT_COMPARED, True),
        (A, A.but(price=7.0, fetched_after=15), Verdict.DIFFERS, False),
        (OPENING.but(volume=None), OPENING, Verdict.DIFFERS, False),
    ],
)
def test_what_a_minute_is_decides_whose_candle_readers_get(
    ours: Candle | None, theirs: Candle | None, expected: Verdict, is_kept: bool
) -> None:
    found = verdict(ours, theirs)
    assert found["verdict"] == expected
    assert reconciliation.replaced(pl.DataFrame([found])).is_empty() is is_kept


@pytest.mark.parametrize(
    ("before", "ours", "theirs", "expected"),
    [
        (25_000.0, None, OF_INDEX, Verdict.IDLE),
        (24_999.0, None, OF_INDEX, Verdict.MISSING),
        (25_000.0, None, OF_INDEX.but(high=25_001.0), Verdict.MISSING),
        (25_000.0, OF_INDEX, OF_INDEX, Verdict.AGREES),
        (25_000.0, OF_INDEX.but(price=25_009.0), OF_INDEX, Verdict.DIFFERS),
    ],
)
def test_an_index_is_idle_where_it_stays_at_the_close_before(
    before: float, ours: Candle | None, theirs: Candle, expected: Verdict
) -> None:
    earlier = OF_INDEX.but(at=9, price=before)
    found = verdicts([earlier, *([ours] if ours else [])], [theirs, earlier])
    assert found.row(1, named=True)["verdict"] == expected


def test_the_close_of_another_instrument_is_not_the_one_before() -> None:
    stock = A.but(price=25_000.0)
    found = verdicts([stock], [stock, OF_INDEX])
    assert found["verdict"].to_list() == [Verdict.AGREES, Verdict.MISSING]


def test_a_minute_after_the_last_fetch_is_not_compared() -> None:
    first, later = A.but(at=10), A.but(at=11)
    found = verdicts([first, later], [first.but(fetched_after=20)])
    assert found["verdict"].to_list() == [Verdict.AGREES, Verdict.NOT_COMPARED]
    assert found["reason"][1] == "fetched -40 s after its end: candles settle for 15 s"


def test_an_instrument_without_any_candle_of_the_brokers_is_not_compared() -> None:
    found = verdicts([A, OF_FUTURE], [A])
    assert found["verdict"].to_list() == [Verdict.AGREES, Verdict.NOT_COMPARED]
    assert found["reason"][1] == NO_CANDLES


def day(volumes: list[int]) -> list[Candle]:
    return [A.but(at=at, volume=volume) for at, volume in enumerate(volumes, 1)]


def test_a_trade_in_the_neighbouring_minute_is_no_error_of_the_day() -> None:
    found = verdicts(day([970, 1030, *[1000] * 98]), day([1000] * 100))
    assert set(found["verdict"]) == {Verdict.AGREES}


def test_small_losses_in_every_minute_are_an_error_of_the_day() -> None:
    found = verdicts(day([990] * 99 + [1000]), day([1000] * 100))
    assert found["verdict"].to_list() == [*[Verdict.DIFFERS] * 99, Verdict.AGREES]
    said = "volume 990, broker's 1000: off by 10, 1 are tolerated as the total of the day is off"
    assert found["reason"][0] == said


def test_a_minute_that_differs_by_itself_does_not_put_the_day_in_doubt() -> None:
    found = verdicts(day([100, *[999] * 99]), day([1000] * 100))
    assert found["verdict"].to_list() == [Verdict.DIFFERS, *[Verdict.AGREES] * 99]


def test_the_volume_of_the_opening_is_not_of_the_total() -> None:
    ours, theirs = day([990, 1010, 1000]), day([1000] * 3)
    found = verdicts([OPENING.but(volume=1), *ours], [OPENING.but(volume=10**6), *theirs])
    assert set(found["verdict"]) == {Verdict.AGREES}


def test_the_volume_of_the_opening_is_not_compared_where_the_total_is_off() -> None:
    found = verdicts([OPENING.but(volume=1), *day([980])], [OPENING, *day([1000])])
    assert found["verdict"].to_list() == [Verdict.AGREES, Verdict.DIFFERS]


def test_both_versions_are_in_the_row() -> None:
    found = verdict(A.but(close=101.0, volume=7), A.but(open_interest=0))
    assert [found[f"{side}_close"] for side in ("ours", "theirs")] == [101.0, 100.0]
    assert [found[f"{side}_volume"] for side in ("ours", "theirs")] == [7, 1000]
    assert [found[f"{side}_open_interest"] for side in ("ours", "theirs")] == [None, 0]
    assert found["trades"] == 5


def test_candles_of_other_instruments_are_left_out() -> None:
    rows = [A, OF_FUTURE]
    wanted = instruments(FUTURE)
    found = reconciliation.verdicts(live(*rows), broker(*rows), wanted, PACKAGED)
    assert found["instrument_id"].to_list() == [FUTURE]


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"), [([], [], 0), ([A], [], 1), ([], [A], 1), ([], [OF_INDEX], 1)]
)
def test_either_side_may_be_empty(ours: list[Candle], theirs: list[Candle], expected: int) -> None:
    found = verdicts(ours, theirs)
    assert found.height == expected
    assert found.schema == verdicts([A], [A]).schema


def real(symbol: str) -> pl.DataFrame:
    file = _DATA / f"candles_1m_{symbol}.csv"
    if not file.exists():
        pytest.skip(f"no market data at {_DATA}: {file.name}")
    rows = pl.read_csv(file, try_parse_dates=True).rename(str.lower).drop("code")
    time = pl.col("date").dt.replace_time_zone(EXCHANGE_TZ.key).dt.convert_time_zone("UTC")
    return rows.select(
        pl.lit(1, pl.Int64).alias("instrument_id"),
        time.dt.cast_time_unit("us").alias("time"),
        pl.col("open", "high", "low", "close").cast(pl.Float64),
        pl.col("volume").cast(pl.Int64),
        pl.lit(0, pl.Int64).alias("open_interest"),
    )


def days(rows: pl.DataFrame) -> dict[Any, pl.DataFrame]:
    return rows.with_columns(
        pl.Series("day", trading_dates(rows["time"].dt.epoch("s").to_numpy()))
    ).partition_by("day", as_dict=True, include_key=False)


@pytest.mark.parametrize("symbol", ["RELIANCE", "SBIN", "PAGEIND"])
def test_real_candles_agree_with_themselves_and_need_none_of_idle_minutes(symbol: str) -> None:
    rows = real(symbol)
    found = []
    for theirs in days(rows).values():
        minutes = (theirs["time"].dt.epoch("s") // 60).sort()
        wanted = instruments(1).with_columns(
            pl.lit(minutes.to_list(), pl.List(pl.Int64)).alias("continuous"),
            pl.lit(minutes[0]).alias("opening"),
        )
        fetched_at = pl.col("time").max().dt.offset_by("1h")
        fetched = theirs.with_columns(fetched_at=fetched_at, has_gap=False)
        ours = theirs.filter(pl.col("volume") > 0).with_columns(trades=1, has_gap=False)
        found.append(reconciliation.verdicts(ours, fetched, wanted, PACKAGED))
    counts = dict(pl.concat(found).group_by("verdict").len().iter_rows())
    idle = rows.filter(pl.col("volume") == 0).height
    expected = {Verdict.AGREES: rows.height - idle, Verdict.IDLE: idle}
    assert counts == {verdict: count for verdict, count in expected.items() if count}


@pytest.mark.parametrize("ours", [A.but(close=100.05, high=100.05), A.but(volume=999)])
def test_nothing_is_tolerated_where_packets_are_known_to_be_missing(ours: Candle) -> None:
    assert verdict(ours, A)["verdict"] == Verdict.AGREES
    assert verdict(ours.but(has_gap=True), A)["verdict"] == Verdict.DIFFERS
    assert verdict(A.but(has_gap=True), A)["verdict"] == Verdict.AGREES
