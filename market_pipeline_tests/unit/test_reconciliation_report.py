"""What the verdicts of a day come to for each instrument, and what a person reads of it."""

from datetime import date
from typing import Any

import polars as pl
import pytest

from market_pipeline import reconciliation
from market_pipeline.reconciliation_report import Outcome, report, summaries
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

DAY = date(2026, 11, 20)
OPENING = Candle(at=0)
A, B, C = Candle(at=1), Candle(at=2), Candle(at=3)
UNTRADED = C.but(volume=0)


def summary(ours: list[Candle], theirs: list[Candle], instrument: int = STOCK) -> dict[str, Any]:
    found = summaries(verdicts(ours, theirs), instruments())
    return found.row(by_predicate=pl.col("instrument_id") == instrument, named=True)


def text(ours: list[Candle], theirs: list[Candle], *wanted: int) -> str:
    described = instruments(*wanted)
    found = reconciliation.verdicts(live(*ours), broker(*theirs), described, PACKAGED)
    return report(DAY, "kite", summaries(found, described), found, PACKAGED)


def test_every_verdict_is_counted_once() -> None:
    ours = [A, B.but(close=105.0, has_gap=True), C, Candle(at=5), Candle(at=6), Candle(at=900)]
    theirs = [A, B, UNTRADED, Candle(at=4), Candle(at=6), Candle(at=7, volume=0)]
    found = summary(ours, theirs)
    counts = "compared agreeing differing missing extra kept idle not_compared in_gap".split()
    assert [found[name] for name in counts] == [6, 2, 1, 1, 2, 1, 1, 1, 1]


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        ([A], [A], Outcome.AGREES),
        ([], [UNTRADED], Outcome.AGREES),
        ([A, B.but(close=105.0)], [A, B], Outcome.REPAIRED),
        ([A], [A, B], Outcome.REPAIRED),
        ([A, C], [A, UNTRADED], Outcome.REPAIRED),
        ([], [A, B], Outcome.BACKFILLED),
        ([A, C], [A], Outcome.UNSETTLED),
        ([A], [], Outcome.UNSETTLED),
        ([], [], Outcome.UNSETTLED),
        ([A.but(at=900)], [A.but(at=900)], Outcome.UNSETTLED),
    ],
)
def test_the_outcome_says_whether_all_agrees_in_the_end(
    ours: list[Candle], theirs: list[Candle], expected: Outcome
) -> None:
    assert summary(ours, theirs)["verdict"] == expected


def test_the_largest_difference_of_each_price_is_told_in_ticks() -> None:
    found = summary([A.but(high=100.1), B.but(high=101.0, low=99.95)], [A, B])
    assert [found[f"{name}_ticks"] for name in ("open", "high", "low", "close")] == [0, 20, 1, 0]


def test_the_largest_difference_of_an_index_is_told_in_points() -> None:
    index = A.but(instrument=INDEX, volume=None)
    found = summary([index.but(high=107.25)], [index], INDEX)
    assert found["high_ticks"] == 7.25


def test_volumes_are_those_of_the_minutes_compared_without_the_opening() -> None:
    ours = [OPENING.but(volume=5), A.but(volume=400), C, Candle(at=900)]
    theirs = [OPENING, A, B.but(volume=500), Candle(at=900)]
    found = summary(ours, theirs)
    assert (found["day_volume"], found["broker_day_volume"]) == (1400, 1500)
    assert found["volume_share"] == pytest.approx(-100 / 1500)


def test_a_volume_of_which_a_part_is_not_known_is_not_told() -> None:
    found = summary([A.but(volume=None), B], [A, B])
    assert (found["day_volume"], found["broker_day_volume"]) == (None, 2000)
    assert found["volume_share"] is None


def test_an_index_has_no_volume_of_the_day() -> None:
    index = A.but(instrument=INDEX, volume=None)
    found = summary([index], [index], INDEX)
    assert (found["day_volume"], found["broker_day_volume"]) == (None, None)


def test_the_worst_instrument_comes_first() -> None:
    index = A.but(instrument=INDEX, volume=None)
    future = A.but(instrument=FUTURE)
    ours = [A, B.but(close=105.0), future.but(close=105.0), future.but(at=2, close=105.0), index]
    found = summaries(verdicts(ours, [A, B, future, future.but(at=2)]), instruments())
    assert found["instrument_id"].to_list() == [INDEX, FUTURE, STOCK]
    assert found["verdict"].to_list() == [Outcome.UNSETTLED, Outcome.REPAIRED, Outcome.REPAIRED]


def test_a_clean_day_is_one_line() -> None:
    assert text([A, B], [A, B, UNTRADED], STOCK) == (
        "2026-11-20: all 2 candles of 1 instrument agree with those of kite; "
        "1 minutes were without a trade and 0 not compared.\n"
    )


def test_a_day_without_instruments_is_one_line() -> None:
    assert report(DAY, "kite", pl.DataFrame(), pl.DataFrame(), PACKAGED) == (
        "2026-11-20: there was no instrument to compare with kite.\n"
    )


def test_a_candle_is_shown_with_both_versions_and_the_reason() -> None:
    told = text([A, B.but(close=105.0, volume=None)], [A, B], STOCK)
    assert (
        "| NSE:INFY | 09:17 | 100, 100, 100, 105, ? | 100, 100, 100, 100, 1000 | differs | "
        "close 105, broker's 100: 100 ticks, 2 are tolerated; "
        "volume was not known, broker's 1000 |"
    ) in told


def test_a_report_begins_with_the_totals() -> None:
    told = text([A, B.but(close=105.0, has_gap=True), C], [A, B, Candle(at=4)], STOCK, FUTURE)
    assert told.split("\n\n")[:2] == [
        "# Candles of 2026-11-20 against those of kite",
        "2 instruments: 2 unsettled. 4 candles were compared: 1 agreeing, 1 differing, 1 missing, "
        "1 extra; 1 of the extra stay, since kite has none. 1 of all that do not agree are in a "
        "recorded gap. Besides, 0 minutes were without a trade and 0 not compared.",
    ]


def test_instruments_that_agree_are_not_in_the_table() -> None:
    index = A.but(instrument=INDEX, volume=None)
    told = text([A.but(close=105.0), index], [A, index], STOCK, INDEX)
    assert "| NSE:INFY | repaired | 1 | 1 |" in told
    assert "| NSE:NIFTY 50 |" not in told


def test_no_more_than_twenty_candles_are_shown_the_worst_first() -> None:
    theirs = [Candle(at=at) for at in range(1, 31)]
    ours = [each.but(close=101.0 + each.at) for each in theirs[:-1]]
    told = text(ours, theirs, STOCK)
    assert "## The worst 20 of 30 candles" in told
    rows = [line for line in told.splitlines() if "| differs |" in line]
    assert len(rows) == 20
    assert "| 09:44 |" in rows[0]


def test_the_worst_instruments_of_several_parts_are_found() -> None:
    parts = []
    for wanted, candles in ((STOCK, [A.but(close=105.0)]), (FUTURE, [])):
        described = instruments(wanted)
        found = reconciliation.verdicts(live(*candles), broker(A), described, PACKAGED)
        parts.append((summaries(found, described), found))
    lines, minutes = (pl.concat(each) for each in zip(*parts, strict=True))
    told = report(DAY, "kite", lines, minutes, PACKAGED)
    assert told.index("| NFO:NIFTY26DECFUT | unsettled |") < told.index("| NSE:INFY | repaired |")


def test_a_report_ends_with_what_was_tolerated_in_the_segments_of_the_day() -> None:
    told = text([A.but(close=105.0)], [A], STOCK).split("## What is tolerated, and why")[1]
    assert "- CM open, close: 2 ticks or 0.02 %. The first or the last trade" in told
    assert "- CM volume of the opening minute: not compared. " in told
    assert "- not compared, outside continuous trading: " in told
    assert "less than 15 s before it was fetched" in told
    assert "FO" not in told
