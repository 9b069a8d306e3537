"""A day's candles against the broker's: differences are found and repaired, both versions kept."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from market_pipeline.archive.dropping import drop_expired
from market_pipeline.archive.store import FolderStore
from market_pipeline.history.planning import SETTLED
from market_pipeline.history.reconciling import Reconciled, Reconciler
from market_pipeline.sessions import Calendar, bounds
from market_pipeline.storage.database import Database
from market_pipeline.tolerances import Tolerances
from market_pipeline_tests import candle_days as days
from market_pipeline_tests import dagster_cases as cases

store = cases.store

CLOSES = Calendar().session("NSE", cases.DAY).closes_at  # type: ignore[union-attr]
EVENING = CLOSES + timedelta(hours=1)


def fetch_all(store: Database, at: datetime = EVENING) -> None:
    """What the broker gives: our own candles, asked for at some time."""
    cases.run_sql(
        store,
        "UPDATE instruments SET tick_size = 0.05, lot_size = 1",
        "INSERT INTO broker_candles (instrument_id, minutes, time, broker, open, high, low, close,"
        " volume, open_interest, fetched_at) SELECT instrument_id, 1, time, 'kite', open, high,"
        " low, close, coalesce(volume, 60), NULL, %(at)s FROM candles_1m",
        "INSERT INTO backfills (broker, instrument_id, minutes, starts_at, ends_at, purpose,"
        " asked_at, outcome) SELECT 'kite', instrument_id, 1, %(starts)s, %(ends)s, 'daily',"
        " %(at)s, 'complete' FROM instruments",
        at=at,
        starts=bounds(cases.DAY)[0],
        ends=bounds(cases.DAY)[1],
    )


def correct(store: Database, minute: int, change: str, instrument: int = 1) -> None:
    """The broker's candle of a minute is otherwise than ours."""
    cases.run_sql(
        store,
        f"UPDATE broker_candles SET {change} WHERE time = %(at)s AND instrument_id = %(id)s",  # noqa: S608
        at=days.minute(minute),
        id=instrument,
    )


def reconcile(store: Database, now: datetime = EVENING, again: bool = False) -> Reconciled:
    calendar = Calendar()
    return Reconciler(store, "kite", calendar, Tolerances.load(None)).reconcile(
        cases.DAY, now, again
    )


def repairs(store: Database) -> list[dict[str, Any]]:
    return cases.rows(store, "SELECT * FROM candle_repairs ORDER BY instrument_id, time")


def candle(store: Database, minute: int, instrument: int = 1) -> dict[str, Any]:
    (found,) = cases.rows(
        store,
        "SELECT * FROM candles(%(id)s, '1 minute', %(at)s, %(at)s + interval '1 minute')",
        id=instrument,
        at=days.minute(minute),
    )
    return found


def states(store: Database, instrument: int = 1, interval: str = "1 minute") -> dict[str, int]:
    found = cases.rows(
        store,
        "SELECT state, count(*) AS number FROM candles(%(id)s, %(interval)s, %(starts)s, %(ends)s)"
        " GROUP BY state",
        id=instrument,
        interval=interval,
        starts=bounds(cases.DAY)[0],
        ends=bounds(cases.DAY)[1],
    )
    return {row["state"]: row["number"] for row in found}


@pytest.fixture
def day(store: Database) -> Database:
    """A day of candles of ours of two instruments, all of whose volumes are known."""
    days.store_day(store, change="UPDATE ticks SET volume = 5")
    return store


def test_candles_are_provisional_until_they_are_compared(day: Database) -> None:
    assert states(day) == {"provisional": 375}


def test_a_clean_day_is_final_and_has_no_repair(day: Database) -> None:
    fetch_all(day)
    found = reconcile(day)
    assert set(found.summaries["verdict"]) == {"agrees"}
    assert found.notable.filter(pl.col("verdict") != "not_compared").is_empty()
    assert repairs(day) == []
    assert states(day) == {"final": 375}
    assert states(day, interval="1 day") == {"final": 1}


def test_a_wrong_candle_is_replaced_and_both_versions_are_kept(day: Database) -> None:
    fetch_all(day)
    ours = candle(day, 100)
    correct(day, 100, "high = high + 7, close = close + 3")
    reconcile(day)
    (repair,) = repairs(day)
    assert repair["fields"] == ["high", "close"]
    assert (repair["high"], repair["replaced_high"]) == (ours["high"] + 7, ours["high"])
    assert "close" in repair["reason"]
    assert repair["repaired_by"] == f"reconciliation of {cases.DAY}"
    now = candle(day, 100)
    assert (now["high"], now["close"], now["state"]) == (
        ours["high"] + 7,
        ours["close"] + 3,
        "repaired",
    )
    assert states(day) == {"final": 374, "repaired": 1}


def test_longer_candles_are_made_of_the_repaired_minutes(day: Database) -> None:
    fetch_all(day)
    correct(day, 100, "high = 999, close = close + 3")
    reconcile(day)
    (found,) = cases.rows(
        day,
        "SELECT * FROM candles(1, '5 minutes', %(at)s, %(at)s + interval '5 minutes')",
        at=days.minute(100),
    )
    assert (found["high"], found["state"]) == (999, "repaired")
    (whole,) = cases.rows(
        day,
        "SELECT * FROM candles(1, '1 day', %(at)s, %(at)s + interval '1 day')",
        at=bounds(cases.DAY)[0],
    )
    assert (whole["high"], whole["state"]) == (999, "repaired")


def test_a_missing_candle_is_repaired_with_nothing_replaced(store: Database) -> None:
    days.store_day(store, change="UPDATE ticks SET volume = 5")
    fetch_all(store)
    ours = candle(store, 50)
    days.damage(store, "candles_1m", where=f"time <> '{days.minute(50).isoformat()}'")
    reconcile(store)
    (first, _) = repairs(store)
    assert (first["replaced_open"], first["replaced_trades"]) == (None, None)
    now = candle(store, 50)
    assert (now["close"], now["volume"], now["state"]) == (
        ours["close"],
        ours["volume"],
        "repaired",
    )


def test_an_instrument_of_which_we_have_nothing_is_backfilled_and_nothing_is_replaced(
    day: Database,
) -> None:
    fetch_all(day)
    days.damage(day, "candles_1m", where="instrument_id = 1")
    found = reconcile(day)
    verdicts = dict(found.summaries.select("instrument_id", "verdict").iter_rows())
    assert verdicts == {1: "agrees", 2: "backfilled"}
    assert repairs(day) == []
    assert states(day, instrument=2) == {"backfilled": 375}


def test_a_volume_we_do_not_know_is_the_brokers(store: Database) -> None:
    days.store_day(store)
    days.damage(
        store,
        "candles_1m",
        volume=f"CASE WHEN time <> '{days.minute(374).isoformat()}' THEN volume END",
    )
    fetch_all(store)
    reconcile(store)
    found = {(row["instrument_id"], row["volume"]) for row in repairs(store)}
    assert {(1, 60), (2, 60)} <= found


def test_a_candle_the_broker_does_not_have_stays_ours_and_provisional(day: Database) -> None:
    fetch_all(day)
    cases.run_sql(
        day,
        "DELETE FROM broker_candles WHERE time = %(at)s AND instrument_id = 1",
        at=days.minute(80),
    )
    found = reconcile(day)
    assert found.summaries.row(0, named=True)["verdict"] == "unsettled"
    assert candle(day, 80)["state"] == "provisional"
    assert states(day) == {"final": 374, "provisional": 1}


def test_a_candle_of_ours_where_the_broker_shows_no_trade_is_taken_away(day: Database) -> None:
    fetch_all(day)
    correct(day, 80, "open = 100, high = 100, low = 100, close = 100, volume = 0")
    reconcile(day)
    assert repairs(day)[0]["replaced_trades"] == 12
    assert states(day) == {"final": 374}


def test_nothing_is_compared_before_the_candles_of_the_close_have_settled(day: Database) -> None:
    fetch_all(day)
    found = reconcile(day, now=CLOSES + SETTLED - timedelta(seconds=1))
    assert (len(found.not_closed), found.summaries.height) == (2, 0)
    assert states(day) == {"provisional": 375}


def test_what_was_not_fetched_after_the_close_is_not_compared(day: Database) -> None:
    fetch_all(day, at=CLOSES)
    found = reconcile(day)
    assert (len(found.not_fetched), found.summaries.height) == (2, 0)


def test_instruments_are_compared_once_unless_asked_again(day: Database) -> None:
    fetch_all(day)
    reconcile(day)
    assert reconcile(day).done_before == 2
    assert reconcile(day, again=True).summaries.height == 2


def test_comparing_again_takes_back_repairs_that_are_needless_by_now(day: Database) -> None:
    fetch_all(day)
    correct(day, 100, "close = close + 3, high = high + 3")
    reconcile(day)
    correct(day, 100, "close = close - 3, high = high - 3")
    reconcile(day, again=True)
    assert repairs(day) == []
    assert states(day) == {"final": 375}


def test_comparing_again_leaves_repairs_as_they_are(day: Database) -> None:
    fetch_all(day)
    correct(day, 100, "close = close + 3, high = high + 3")
    reconcile(day)
    before = repairs(day)
    reconcile(day, again=True)
    assert repairs(day) == before


def test_broker_candles_of_a_day_without_ours_are_backfilled(store: Database) -> None:
    days.store_day(store, change="UPDATE ticks SET volume = 5")
    fetch_all(store)
    earlier = timedelta(days=7)
    cases.run_sql(store, "UPDATE broker_candles SET time = time - %(by)s", by=earlier)
    starts_at, ends_at = (edge - earlier for edge in bounds(cases.DAY))
    found = cases.rows(
        store,
        "SELECT state, count(*) AS number, sum(trades) AS trades"
        " FROM candles(1, '15 minutes', %(starts)s, %(ends)s) GROUP BY state",
        starts=starts_at,
        ends=ends_at,
    )
    assert found == [{"state": "backfilled", "number": 25, "trades": None}]


def test_longer_candles_of_the_broker_serve_where_there_are_no_minutes(day: Database) -> None:
    at = bounds(cases.DAY)[0] - timedelta(days=7)
    cases.run_sql(
        day,
        "INSERT INTO broker_candles VALUES (1, 1440, %(at)s, 'kite', 1, 3, 1, 2, 9, NULL, now())",
        at=at,
    )
    found = cases.rows(
        day,
        "SELECT time, close, state FROM candles(1, '1 day', %(at)s, %(to)s)",
        at=at,
        to=bounds(cases.DAY)[1],
    )
    assert [(row["time"], row["state"]) for row in found] == [
        (at.astimezone(UTC), "backfilled"),
        (bounds(cases.DAY)[0].astimezone(UTC), "provisional"),
    ]


def test_a_day_is_corrected_by_the_broker_after_its_ticks_were_dropped(
    day: Database, tmp_path: Path
) -> None:
    fetch_all(day)
    reconcile(day)
    drop_expired(day, FolderStore(tmp_path), cases.DAY + timedelta(days=1))
    ours = cases.rows(day, "SELECT * FROM candles_1m ORDER BY instrument_id, time")
    correct(day, 100, "high = high + 7, close = close + 3")
    reconcile(day, again=True)
    assert states(day) == {"final": 374, "repaired": 1}
    assert cases.rows(day, "SELECT * FROM candles_1m ORDER BY instrument_id, time") == ours
