"""Candles that Polars makes of any ticks are those that the view shows."""

from contextlib import closing
from typing import Any

import polars as pl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from market_pipeline import quality
from market_pipeline.storage.database import Database
from market_pipeline_tests import dagster_cases as cases
from market_pipeline_tests.builders import Tick, fetch
from market_pipeline_tests.candle_feed import Feed

TICK = st.builds(
    Tick,
    at=st.integers(0, 150),
    price=st.sampled_from([99.0, 100.0, 101.5]),
    volume=st.sampled_from([None, 0, 1, 70]),
    instrument=st.sampled_from([1, 2]),
    is_trade=st.booleans(),
    open_interest=st.sampled_from([None, 0, 10, 20]),
    high=st.sampled_from([None, None, 105.0]),
    low=st.sampled_from([None, None, 95.0]),
)
SCHEMA: dict[str, Any] = {
    "instrument_id": pl.Int64,
    "time": pl.Datetime("us", "UTC"),
    "seq": pl.Int64,
    "is_trade": pl.Boolean,
    "last_price": pl.Float64,
    "high": pl.Float64,
    "low": pl.Float64,
    "volume": pl.Int64,
    "open_interest": pl.Int64,
}


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(sent=st.lists(TICK, min_size=1, max_size=60))
def test_candles_made_of_ticks_are_those_of_the_view(database: Database, sent: list[Tick]) -> None:
    cases.run_sql(database, "TRUNCATE ticks, journal_positions")
    with closing(Feed(database)) as feed:
        feed.send(*sent)
    rows = fetch(
        database,
        "SELECT instrument_id, time, seq, is_trade, last_price, high, low, volume, open_interest"
        " FROM ticks ORDER BY random()",
    )
    made = quality.minute_candles(pl.DataFrame(rows, schema=SCHEMA, orient="row"))
    shown = fetch(
        database,
        "SELECT instrument_id, time, open, high, low, close, volume, open_interest, trades"
        " FROM candles_1m ORDER BY 1, 2",
    )
    assert made.sort("instrument_id", "time").rows() == shown
