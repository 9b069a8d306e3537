"""A backfill from the simulated exchange: what is stored, recorded, asked again and left out."""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any

import polars as pl
import pytest

from market_pipeline import brokers
from market_pipeline.errors import BrokerUnavailable, ConfigurationError, TokenExpired
from market_pipeline.history.backfill import Backfill, Scope
from market_pipeline.history.fetching import Source, Totals
from market_pipeline.history.planning import Plan
from market_pipeline.market import Interval
from market_pipeline.storage.budgets import DatabaseBudgets
from market_pipeline.storage.database import Database
from market_pipeline_tests.dagster_cases import rows, run_sql
from market_pipeline_tests.history_days import DAY, EVENING, Day, simulated_day

FIRST = date(2026, 9, 1)
UNDER_WAY = 3
"""As many requests may have been made when the answer to another arrives."""


@pytest.fixture
def day(database: Database, tmp_path: Path) -> Iterator[Day]:
    with simulated_day(database, tmp_path, recent_listings=10) as made:
        yield made


def since(first: date) -> list[date]:
    return [first + timedelta(days=n) for n in range((DAY - first).days + 1)]


def planned(
    day: Day, first: date = FIRST, scope: Scope | None = None, again: bool = False
) -> tuple[Backfill, Plan]:
    work = day.work()
    chosen = work.contracts(scope or Scope(["NSE:INFY"]))
    return work, work.plan(chosen, since(first), EVENING, again)


def fetch(day: Day, first: date = FIRST, scope: Scope | None = None) -> Totals:
    work, plan = planned(day, first, scope)
    return work.fetch(plan, "backfill")


def answers(day: Day) -> list[dict[str, Any]]:
    return rows(day.database, "SELECT * FROM backfills ORDER BY backfill_id")


def stored(day: Day, minutes: int = 1) -> Sequence[dict[str, Any]]:
    return rows(
        day.database,
        "SELECT * FROM broker_candles WHERE minutes = %(minutes)s ORDER BY instrument_id, time",
        minutes=minutes,
    )


def test_candles_are_stored_as_the_broker_has_them(day: Day) -> None:
    totals = fetch(day)
    exchange = day.exchange.server.exchange
    token = exchange.listing.securities[exchange.listing.row_by_name["NSE:INFY"]].token
    span = (int(datetime(2026, 9, 1, tzinfo=UTC).timestamp()), int(EVENING.timestamp()))
    truth = pl.DataFrame(exchange.candles(token, 1, *span, span[1]))
    found = pl.DataFrame(stored(day))
    fields = ["open", "high", "low", "close", "volume"]
    ours = found.select(pl.col("time").dt.epoch("s"), *fields)
    assert ours.equals(truth.select("time", *fields))
    assert totals.candles == truth.height


def test_each_request_is_recorded_with_what_came_of_it(day: Day) -> None:
    fetch(day)
    newest, oldest = answers(day)
    assert (newest["outcome"], newest["purpose"], newest["broker"]) == (
        "complete",
        "backfill",
        "simulator",
    )
    assert newest["candles"] + oldest["candles"] == len(stored(day))
    assert newest["asked_at"] <= newest["answered_at"]


def test_a_second_backfill_of_the_same_days_asks_for_nothing(day: Day) -> None:
    fetch(day)
    assert planned(day)[1].requests == []
    assert len(planned(day, again=True)[1].requests) == 2


def test_candles_that_are_there_are_not_stored_twice(day: Day) -> None:
    fetch(day)
    before = stored(day)
    work, plan = planned(day, again=True)
    work.fetch(plan, "backfill")
    assert stored(day) == before


def test_a_candle_that_the_broker_has_corrected_is_corrected(day: Day) -> None:
    fetch(day)
    run_sql(day.database, "UPDATE broker_candles SET close = 1, fetched_at = '2026-01-01'")
    work, plan = planned(day, again=True)
    work.fetch(plan, "backfill")
    assert not [row for row in stored(day) if row["close"] == 1]


def test_a_request_that_the_broker_refuses_is_recorded_and_made_by_the_next_run(day: Day) -> None:
    day.exchange.fault("fail_history", count=1, status=400)
    totals = fetch(day)
    assert (totals.requests, totals.failed) == (2, 1)
    assert totals.failures[0].startswith("NSE:INFY 2026-")
    failed = [row for row in answers(day) if row["outcome"] == "failed"]
    assert "400" in failed[0]["detail"]
    assert fetch(day).requests == 1
    assert planned(day)[1].requests == []


def test_a_broker_that_stumbles_is_asked_again(day: Day) -> None:
    day.exchange.fault("fail_history", count=2, status=502)
    assert (fetch(day).failed, len(answers(day))) == (0, 2)


def test_an_expired_login_ends_the_backfill_and_keeps_what_was_fetched(day: Day) -> None:
    fetch(day, first=date(2026, 11, 1))
    day.exchange.fault("expire_tokens")
    with pytest.raises(TokenExpired):
        fetch(day)
    assert len(stored(day)) > 4000


def test_a_broker_that_is_down_ends_the_backfill(day: Day, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("market_pipeline.history.fetching._FIRST_DELAY", 0.01)
    day.exchange.fault("outage")
    with pytest.raises(BrokerUnavailable):
        fetch(day, first=date(2026, 1, 1))


def test_nothing_is_asked_for_before_a_share_was_listed_once_that_shows(day: Day) -> None:
    young = next(
        each.symbol
        for each in day.exchange.server.exchange.listing.securities
        if each.listed and each.kind == "EQ"
    )
    scope = Scope([f"NSE:{young}"])
    totals = fetch(day, first=date(2024, 1, 1), scope=scope)
    assert 3 <= totals.empty <= 3 + UNDER_WAY
    assert totals.not_asked > 8
    assert {row["outcome"] for row in answers(day)} == {"complete", "empty", "before_listing"}
    assert planned(day, date(2024, 1, 1), scope)[1].requests == []


def test_one_empty_answer_tells_that_a_contract_was_not_listed_before(day: Day) -> None:
    future = next(
        each.symbol
        for each in day.exchange.server.exchange.listing.securities
        if each.kind == "FUT"
    )
    totals = fetch(day, first=date(2025, 1, 1), scope=Scope([future]))
    assert 1 <= totals.empty <= 1 + UNDER_WAY
    assert totals.not_asked > 0


def test_open_interest_is_stored_of_derivatives_and_volume_of_all_but_indices(day: Day) -> None:
    future = next(
        each.symbol
        for each in day.exchange.server.exchange.listing.securities
        if each.kind == "FUT"
    )
    fetch(day, first=DAY, scope=Scope([future, "NSE:NIFTY 50"]))
    kinds = {
        row["kind"]: (row["volume"] is None, row["open_interest"] is None)
        for row in rows(
            day.database,
            "SELECT kind, b.* FROM broker_candles b JOIN instruments USING (instrument_id)",
        )
    }
    assert kinds == {"FUT": (False, False), "INDEX": (True, True)}


def test_all_contracts_of_an_underlying_are_in_scope(day: Day) -> None:
    found = day.work().contracts(Scope(underlyings=["nifty"]))
    assert {each.kind for each in found} >= {"FUT"}
    assert all(each.segment == "FO" for each in found)


def test_without_a_name_the_subscribed_instruments_are_meant(day: Day) -> None:
    assert {each.name for each in day.work().contracts(Scope())} == set(day.ids)


def test_a_scope_of_nothing_is_refused(day: Day) -> None:
    with pytest.raises(ConfigurationError, match="no instrument is meant"):
        day.work().contracts(Scope(segments=["CD"]))


def test_longer_candles_are_fetched_in_longer_stretches(day: Day) -> None:
    broker = brokers.open_broker(day.settings, DatabaseBudgets(day.database))
    source = Source(day.database, "simulator", broker, Interval("1d", 1440), Event())
    work = Backfill(source, day.settings.calendar)
    plan = work.plan(work.contracts(Scope(["INFY"])), since(date(2024, 1, 1)), EVENING)
    assert len(plan.requests) == 1
    work.fetch(plan, "backfill")
    assert len(stored(day, minutes=1440)) > 600


def test_a_minute_that_has_not_settled_is_not_stored(database: Database, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    with simulated_day(database, tmp_path, starts_at=now, always_open=True) as day:
        work = day.work()
        today = (now + timedelta(hours=5, minutes=30)).date()
        work.fetch(work.plan(work.contracts(Scope(["INFY"])), [today], now), "backfill")
        last = max(row["time"] for row in stored(day))
        asked = answers(day)[0]["asked_at"]
        assert last + timedelta(minutes=1, seconds=15) <= asked
        assert last + timedelta(minutes=2, seconds=15) > asked


def test_a_backfill_that_is_stopped_keeps_what_it_has_and_goes_on_later(day: Day) -> None:
    day.exchange.fault("slow_history", seconds=0.2)
    first = date(2025, 1, 1)
    work, plan = planned(day, first)
    stop = work.source.stop
    found: list[Totals] = []
    thread = Thread(target=lambda: found.append(work.fetch(plan, "backfill", lambda _: stop.set())))
    thread.start()
    thread.join(30)
    assert 0 < found[0].requests < len(plan.requests)
    assert len(answers(day)) == found[0].requests
    day.exchange.fault("slow_history", seconds=0)
    assert fetch(day, first).requests == len(plan.requests) - found[0].requests
