"""When the simulated exchange's instruments were listed, and their history from then on."""

from datetime import date, datetime, timedelta

import pytest

from market_pipeline.sessions import EXCHANGE_TZ, AlwaysOpen
from market_pipeline.simulator.exchange import DAY_MINUTES, Exchange
from market_pipeline.simulator.kite_server import SimulatorOptions, build_exchange
from market_pipeline.simulator.listing import Listing, Security, default_listing
from market_pipeline.simulator.seeded import SeededTape

DAY = date(2026, 10, 6)
LISTING = default_listing(DAY, 200)
NOW = int(datetime(2026, 10, 6, 12, tzinfo=EXCHANGE_TZ).timestamp())
YEAR = 365 * 86_400


def first_day(listing: Listing, security: Security) -> date:
    exchange = Exchange(listing, SeededTape(listing, 1), AlwaysOpen())
    days = exchange.candles(security.token, DAY_MINUTES, NOW - YEAR, NOW, NOW)
    return datetime.fromtimestamp(int(days["time"][0]), EXCHANGE_TZ).date()


@pytest.mark.parametrize("kind", ["FUT", "CE", "PE"])
def test_a_derivative_has_a_history_of_three_months_before_its_expiry(kind: str) -> None:
    for security in [each for each in LISTING.securities if each.kind == kind][:3]:
        assert security.expiry and security.listed
        assert timedelta(85) < security.expiry - security.listed < timedelta(100)
        assert security.listed <= DAY
        assert first_day(LISTING, security) == security.listed


def test_an_equity_was_always_there() -> None:
    [reliance] = [each for each in LISTING.securities if each.symbol == "RELIANCE"]
    assert first_day(LISTING, reliance) == DAY - timedelta(365)


def test_some_equities_can_be_new() -> None:
    listing = default_listing(DAY, 500, recent=3)
    new = [each for each in listing.securities if each.listed and each.kind == "EQ"]
    assert len(new) == 3
    for security in new:
        assert DAY - timedelta(92) < first_day(listing, security) < DAY


@pytest.mark.parametrize("recent", [0, 5, 1000])
def test_no_more_equities_are_new_than_there_are(recent: int) -> None:
    exchange, _ = build_exchange(SimulatorOptions(instruments=40, recent_listings=recent))
    securities = exchange.listing.securities
    equities = sum(each.segment == "NSE" for each in securities)
    assert sum(each.listed is not None for each in securities) == min(recent, equities)
