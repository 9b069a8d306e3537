"""Two simulated brokers of one exchange agree; what disturbs one of them is measured."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from market_pipeline import disagreement
from market_pipeline.storage.database import Database
from market_pipeline_tests.two_brokers import INSTRUMENTS, TwoBrokers, two_brokers

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("fyers_apiv3") is None, reason="fyers-apiv3 is not installed"
)


@pytest.fixture
def both(database: Database, tmp_path: Path) -> Iterator[TwoBrokers]:
    with two_brokers(database, tmp_path) as opened:
        yield opened


def test_two_brokers_of_one_exchange_agree_in_whole_minutes(both: TwoBrokers) -> None:
    rows = both.minutes(1, 3)
    found = disagreement.in_sum(rows)
    assert (found.instruments, found.minutes) == (INSTRUMENTS, 3 * INSTRUMENTS)
    assert (found.price_minutes, found.price_off, found.volume_off, found.silent) == (
        3 * INSTRUMENTS,
        0,
        0,
        0,
    )
    assert found.volume_minutes > 0
    assert (found.most_ticks, found.most_volume_share) == (0, 0)
    assert set(rows["preferred"]) == {"simulator"}
    assert set(rows["standby"]) == {"fyers_simulator"}
    assert rows["high_difference"].abs().max() == 0
    assert rows["low_difference"].abs().max() == 0
    assert rows["preferred_trades"].to_list() == rows["standby_trades"].to_list()


def test_wrong_prices_of_one_broker_are_measured(both: TwoBrokers) -> None:
    both.fyers.fault("bias", price=2.0)
    rows = both.minutes(both.next_minute(), 1)
    assert rows["close_difference"].to_list() == pytest.approx([2.0] * INSTRUMENTS)
    found = disagreement.in_sum(rows)
    assert found.volume_off == 0
    assert not found.is_tolerable


def test_a_broker_that_is_late_is_measured(both: TwoBrokers) -> None:
    before = disagreement.in_sum(both.minutes(1, 1))
    both.fyers.fault("late", frames=10_000, seconds=1.0)
    after = disagreement.in_sum(both.minutes(both.next_minute(), 1))
    assert before.lead is not None
    assert after.lead is not None
    assert after.lead - before.lead == pytest.approx(1.0, abs=0.3)
    assert after.standby_lag is not None
    assert after.price_off == after.volume_off == 0


def test_a_broker_that_is_silent_of_an_instrument_is_measured(both: TwoBrokers) -> None:
    both.minutes(1, 1)
    both.kite.fault("mute", tokens=[int(both.kite.server.exchange.listing.token[0])])
    whole = both.next_minute()
    rows = both.minutes(whole - 2, 3)
    found = disagreement.in_sum(rows.filter(pl.col("time") == rows["time"].max()))
    assert (found.minutes, found.silent) == (INSTRUMENTS, 1)
