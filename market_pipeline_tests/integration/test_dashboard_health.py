"""What the health dashboard and the alerts are told of a database is what is in it."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from market_pipeline.sessions import bounds, trading_date
from market_pipeline.storage.database import Database
from market_pipeline_tests.builders import fetch
from market_pipeline_tests.dagster_cases import run_sql, store_ticks
from market_pipeline_tests.dagster_cases import store as store

GIGABYTE = 1_000_000_000


def told(database: Database, columns: str, relation: str) -> list[tuple[Any, ...]]:
    return fetch(database, f"SELECT {columns} FROM {relation}")  # noqa: S608


def today() -> date:
    return trading_date(datetime.now(UTC))


@pytest.mark.parametrize(
    ("columns", "values", "outcome"),
    [
        ("ended_at", "now()", "waiting"),
        ("ended_at, covered_by", "now(), 'kite'", "covered"),
        ("ended_at, repaired_by", "now(), 'kite: 3 candles'", "repaired"),
        ("ended_at, repaired_by", "now(), 'given up: no answer'", "given up"),
        ("ended_at", "NULL", "open"),
    ],
)
def test_gap_is_told_by_what_became_of_it(
    database: Database, columns: str, values: str, outcome: str
) -> None:
    run_sql(
        database,
        f"INSERT INTO gaps (stream, cause, started_at, {columns})"  # noqa: S608
        f" VALUES ('simulator-0', 'stall', now() - interval '1 minute', {values})",
    )
    ledger = "dashboard_gap_ledger(now() - interval '30 seconds', now() + interval '1 hour')"
    [(found, seconds)] = told(database, "outcome, seconds", ledger)
    assert found == outcome
    assert seconds == pytest.approx(60, abs=5)


def test_gap_that_was_over_before_is_not_told(database: Database) -> None:
    run_sql(
        database,
        "INSERT INTO gaps (stream, cause, started_at, ended_at) VALUES"
        " ('simulator-0', 'stall', now() - interval '2 hours', now() - interval '1 hour')",
    )
    assert told(database, "*", "dashboard_gap_ledger(now() - interval '1 minute', now())") == []


def test_exchange_is_told_while_it_is_open(store: Database) -> None:
    run_sql(store, "UPDATE subscriptions SET since = now() - interval '1 hour'")
    [(exchange, seconds)] = told(store, "exchange, seconds_without_tick", "dashboard_exchanges()")
    assert (exchange, seconds) == ("NSE", pytest.approx(3600, abs=30))
    run_sql(
        store,
        "INSERT INTO trading_sessions VALUES ('NSE', current_date, now() - interval '2 hours',"
        " now() - interval '1 minute')",
    )
    assert told(store, "*", "dashboard_exchanges()") == []


def test_tick_ends_the_silence_of_its_exchange(store: Database) -> None:
    run_sql(store, "UPDATE subscriptions SET since = now() - interval '1 hour'")
    store.execute("ensure_tick_day", day=today())
    run_sql(
        store,
        "INSERT INTO ticks (time, instrument_id, seq, last_price, high, low, received_at, is_trade)"
        " SELECT now() - interval '9 s', min(instrument_id), 1, 9, 9, 9, now() - interval '8 s',"
        " true FROM subscriptions",
    )
    columns = "seconds_without_tick, ticking, subscribed, is_streaming"
    [(seconds, *others)] = told(store, columns, "dashboard_exchanges()")
    assert seconds == pytest.approx(8, abs=5)
    assert others == [1, 2, True]


def test_coverage_counts_the_minutes_of_the_session(store: Database) -> None:
    day = date(2026, 1, 23)
    store_ticks(store, day, minutes=30)
    start = bounds(day)[0] + timedelta(hours=10)
    run_sql(
        store,
        "INSERT INTO trading_sessions VALUES ('NSE', '2026-01-23', %(start)s,"
        " %(start)s + interval '1 hour')",
        start=start,
    )
    columns = "exchange, instruments, with_candles, session_minutes, candles, share"
    found = told(store, columns, "dashboard_coverage('2026-01-23')")
    assert found == [("NSE", 2, 2, 60, 60, 0.5)]
    assert told(store, columns, "dashboard_coverage('2026-01-24')") == [("NSE", 2, 0, 0, 0, None)]


@pytest.mark.parametrize(("length", "candles"), [("30 minutes", 30), ("2 hours", 6), ("1 day", 2)])
def test_candles_are_counted_in_the_length_that_suits_what_is_shown(
    store: Database, length: str, candles: int
) -> None:
    store_ticks(store, date(2026, 1, 23), minutes=30)
    counts = (
        "dashboard_candle_counts(timestamptz '2026-01-23 04:30Z',"
        f" timestamptz '2026-01-23 04:30Z' + interval '{length}')"
    )
    assert told(store, "instruments", counts) == [(2,)] * candles


def test_checks_that_fail_come_first(database: Database) -> None:
    run_sql(
        database,
        "INSERT INTO check_results (asset, name, passed, severity) VALUES ('a', 'good', true,"
        " 'ERROR'), ('a', 'doubtful', false, 'WARN'), ('a', 'bad', false, 'ERROR')",
    )
    found = told(database, "name, outcome", "dashboard_checks")
    assert found == [("bad", "failed"), ("doubtful", "warning"), ("good", "passed")]


def test_days_that_stay_too_long_are_told_and_what_their_archive_is(database: Database) -> None:
    run_sql(
        database,
        "INSERT INTO operating_limits (tick_retention_days, compress_after_days) VALUES (7, 1)",
        "INSERT INTO archives (day, location, ticks, standby_ticks, candles, bytes, sha256,"
        " verified_at, changed_at, damage)"
        " SELECT %(today)s::date - n, '', 5, 0, 0, 0, '', now(),"
        " CASE n WHEN 9 THEN now() END, CASE n WHEN 8 THEN 'part.parquet is missing' END"
        " FROM generate_series(7, 9) AS n",
        today=today(),
    )
    for days in (11, 9, 8, -1):
        database.execute("ensure_tick_day", day=today() - timedelta(days=days))
    found = told(database, "day, is_stored, days_too_long, archive", "dashboard_tick_retention()")
    assert found == [
        (today() - timedelta(days=7), False, 0, "verified"),
        (today() - timedelta(days=8), True, 0, "damaged: part.parquet is missing"),
        (today() - timedelta(days=9), True, 1, "changed since"),
        (today() - timedelta(days=11), True, 3, "none"),
    ]


def test_day_that_was_restored_does_not_stay_too_long(database: Database) -> None:
    run_sql(
        database,
        "INSERT INTO operating_limits (tick_retention_days, compress_after_days) VALUES (7, 1)",
        "INSERT INTO archives (day, location, ticks, standby_ticks, candles, bytes, sha256,"
        " verified_at, keep_until) SELECT %(today)s::date - n, '', 5, 0, 0, 0, '', now(),"
        " now() + (n - 90) * interval '10 minutes' FROM generate_series(89, 91, 2) AS n",
        today=today(),
    )
    for days in (89, 91):
        database.execute("ensure_tick_day", day=today() - timedelta(days=days))
    found = told(database, "days_too_long", "dashboard_tick_retention()")
    assert found == [(81,), (0,)]


def test_forecast_adds_the_days_that_are_still_to_be_stored(store: Database) -> None:
    columns = "share_used, share_forecast, forecast_bytes"
    assert told(store, columns, "dashboard_disk()") == [(None, None, None)]
    run_sql(
        store,
        "INSERT INTO operating_limits VALUES (true, 5, 1, %(limit)s)",
        limit=GIGABYTE,
    )
    store_ticks(store, today() - timedelta(days=1), minutes=5)
    columns = "database_bytes, bytes_a_day, forecast_bytes, share_used, share_forecast"
    [(now, a_day, later, used, forecast)] = told(store, columns, "dashboard_disk()")
    assert a_day > 0
    assert later == now + 6 * a_day  # of 5 days kept, today's and the one to be dropped
    assert (used, forecast) == (now / GIGABYTE, later / GIGABYTE)


def test_sizes_are_those_of_what_is_stored(store: Database) -> None:
    before = dict(told(store, "part, bytes", "dashboard_sizes()"))
    store_ticks(store, date(2026, 1, 23), minutes=30)
    after = dict(told(store, "part, bytes", "dashboard_sizes()"))
    assert after["ticks"] > before["ticks"] + 100_000
    assert set(after) == {"ticks", "standby ticks", "candles", "broker candles"}
    assert told(store, "compressed_to_bytes", "dashboard_sizes() WHERE part = 'ticks'") == [(None,)]


@pytest.mark.needs_timescale
def test_compression_of_ticks_is_told(store: Database) -> None:
    day = date(2026, 1, 23)
    store_ticks(store, day, minutes=30)
    run_sql(store, "SELECT compress_chunk(c) FROM show_chunks('ticks') AS c")
    columns = "compressed_from_bytes, compressed_to_bytes"
    [(before, after)] = told(store, columns, "dashboard_sizes() WHERE part = 'ticks'")
    assert before > 2 * after > 0
    assert (day, True) in told(store, "day, is_compressed", "dashboard_day_sizes()")
