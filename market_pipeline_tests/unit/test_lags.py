"""How long ticks were under way is measured of trades alone, and told once."""

import numpy as np
import pytest

from market_pipeline.streaming import supervisor, writer
from market_pipeline.streaming.writer import Progress
from market_pipeline_tests.builders import Tick, tick_columns


def test_lag_behind_the_exchange_is_that_of_trades() -> None:
    ticks = tick_columns([Tick(at=1), Tick(at=1), Tick(at=-9000, is_trade=False)])
    ticks["received_at"] = ticks["time"] + np.array([200_000, 400_000, 9_000_000_000])
    assert writer._exchange_lags(ticks) == [pytest.approx((300.0, 398.0))]


def test_packets_that_are_no_trades_have_no_lag() -> None:
    assert writer._exchange_lags(tick_columns([Tick(is_trade=False)])) == []


def test_report_has_the_lags_since_the_one_before() -> None:
    progress = Progress(lags_ms=[10, 30, 20], exchange_lags_ms=[(500, 900), (600, 700)])
    assert supervisor._lags(progress) == {
        "lag_ms": 20,
        "lag_max_ms": 30,
        "exchange_lag_ms": 550,
        "exchange_lag_max_ms": 900,
    }
    assert set(supervisor._lags(progress).values()) == {None}
