"""The watch list of the API: last prices, and how the day before closed."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from market_pipeline.sessions import bounds, trading_date
from market_pipeline.storage import instruments
from market_pipeline.storage.database import Database
from market_pipeline_tests.api_cases import serving, settings_of
from market_pipeline_tests.builders import OPEN, Tick, fetch
from market_pipeline_tests.live_cases import STREAM, Feed, ids
from market_pipeline_tests.stream_cases import prepare

pytestmark = pytest.mark.needs_real_server  # the API keeps several connections


def today() -> int:
    return int(datetime.now(UTC).timestamp()) - OPEN


def midnight() -> int:
    return int(bounds(trading_date(datetime.now(UTC)))[0].timestamp()) - OPEN


def late() -> int:
    """Yesterday at nine in the evening."""
    return midnight() - 3 * 3600


@pytest.fixture
def feed(database: Database) -> Any:
    prepare(database)
    opened = Feed(database)
    yield opened
    opened.close()


def listed(database: Database, home: Path, **asked: Any) -> dict[str, Any]:
    settings = settings_of(database, home, broker="simulator")
    with serving(settings) as client:
        answer: dict[str, Any] = (
            client.get("/api/watchlist", params=asked).raise_for_status().json()
        )
    return answer


def test_the_change_is_against_the_last_close_of_the_day_before(
    database: Database, tmp_path: Path, feed: Feed
) -> None:
    infy, now = ids(database)["INFY"], today()
    feed.commit(Tick(late() - 7200, 90, 1, infy), Tick(late(), 95, 1, infy), Tick(now, 99, 1, infy))
    (row,) = listed(database, tmp_path)["instruments"]
    assert (row["symbol"], row["last_price"], row["previous_close"]) == ("INFY", 99, 95)
    assert row["time"] == f"{datetime.fromtimestamp(OPEN + now, UTC):%Y-%m-%dT%H:%M:%SZ}"


def test_the_close_is_the_broker_s_where_it_has_repaired_ours(
    database: Database, tmp_path: Path, feed: Feed
) -> None:
    infy = ids(database)["INFY"]
    feed.commit(Tick(late(), 95, 1, infy), Tick(today(), 99, 1, infy))
    minute = datetime.fromtimestamp((OPEN + late()) // 60 * 60, UTC)
    fetch(
        database,
        "INSERT INTO candle_repairs (instrument_id, time, broker, open, high, low, close, volume, "
        "fields, reason, repaired_by) "
        "VALUES (%s, %s, 'simulator', 96, 96, 96, 96, 4, '{close}', 'gap', 'test')",
        infy,
        minute,
    )
    assert listed(database, tmp_path)["instruments"][0]["previous_close"] == 96


def test_a_day_of_which_only_the_broker_has_a_candle_has_a_close(
    database: Database, tmp_path: Path, feed: Feed
) -> None:
    infy = ids(database)["INFY"]
    feed.commit(Tick(today(), 99, 1, infy))
    day = datetime.fromtimestamp(OPEN + midnight(), UTC) - timedelta(days=1)
    fetch(
        database,
        "INSERT INTO broker_candles VALUES "
        "(%s, 1440, %s, 'simulator', 90, 98, 89, 97, 1000, NULL, now())",
        infy,
        day,
    )
    assert listed(database, tmp_path)["instruments"][0]["previous_close"] == 97


def test_what_has_no_tick_and_no_history_is_listed_without_prices(
    database: Database, tmp_path: Path, feed: Feed
) -> None:
    (row,) = listed(database, tmp_path)["instruments"]
    assert (row["last_price"], row["previous_close"], row["is_stale"]) == (None, None, False)


def test_what_has_fallen_silent_on_a_stream_that_lives_is_stale(
    database: Database, tmp_path: Path, feed: Feed
) -> None:
    fetch(
        database,
        "INSERT INTO streams (stream, broker, run_id, state, started_at, heartbeat_at, "
        "stale_instruments) VALUES (%s, 'simulator', 'run', 'streaming', now(), now(), %s)",
        STREAM,
        [ids(database)["INFY"]],
    )
    assert listed(database, tmp_path)["instruments"][0]["is_stale"]


def test_pages_follow_each_other(database: Database, tmp_path: Path, feed: Feed) -> None:
    instruments.subscribe(database, "simulator", ["TCS"])
    first = listed(database, tmp_path, limit=1)
    second = listed(database, tmp_path, limit=1, cursor=first["next_cursor"])
    symbols = [row["symbol"] for page in (first, second) for row in page["instruments"]]
    assert sorted(symbols) == ["INFY", "TCS"]
    assert second["next_cursor"] is None
