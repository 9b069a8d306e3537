"""What dashboards show of options: put-call ratios, open interest by strike, near the money."""

from typing import Any

import pytest

from market_pipeline.storage.database import Database
from market_pipeline_tests.dashboard_cases import (
    FAR,
    NEAR,
    OPENING,
    OVER,
    UNDERLYING,
    YESTERDAY,
    Market,
    moment,
    rows,
)

CHAIN = {"underlying": UNDERLYING, "expiry": str(NEAR)}


@pytest.fixture(scope="module")
def market(shared_database: Database) -> Market:
    """Calls and puts of 100 to 140; the underlying stands at 121 as they have it."""
    market = Market(shared_database)
    for strike in range(100, 150, 10):
        for kind in ("CE", "PE"):
            contract: dict[str, Any] = {"underlying": "NIFTY", "expiry": NEAR, "strike": strike}
            market.list(f"{kind}{strike}", kind, **contract)
            worth = max(121 - strike, 0) if kind == "CE" else max(strike - 121, 0)
            market.tick(f"{kind}{strike}", YESTERDAY, worth + 4, day_volume=7, open_interest=100)
    for other, expiry in {"FAR": FAR, "OVER": OVER}.items():
        market.list(other, "CE", underlying="NIFTY", expiry=expiry, strike=100)
        market.tick(other, YESTERDAY, 1, open_interest=5000)
    market.list("SILENT", "PE", underlying="SILENT", expiry=NEAR, strike=100)
    market.list("LATER", "CE", underlying="NIFTY", expiry=FAR.replace(year=2100), strike=100)
    today = {"CE120": (1000, 300), "PE120": (700, 600), "PE110": (500, 200)}
    for symbol, (interest, volume) in today.items():
        market.tick(symbol, OPENING, 5, open_interest=interest, volume=volume, day_volume=volume)
    market.tick("CE120", OPENING + 600, 6, open_interest=1600, volume=100, day_volume=400)
    market.tick("PE120", OPENING + 600, 5, open_interest=750, volume=1, day_volume=601)
    return market


def chain(market: Market, before: float = 86_400) -> dict[float, dict[str, Any]]:
    found = rows(
        market.database,
        "SELECT * FROM dashboard_chain(%(underlying)s, %(expiry)s, %(before)s)",
        before=moment(before),
        **CHAIN,
    )
    return {row["strike"]: row for row in found}


def put_call(market: Market, start: float, end: float) -> list[dict[str, Any]]:
    return rows(
        market.database,
        "SELECT * FROM dashboard_put_call(%(underlying)s, %(expiry)s, %(start)s, %(end)s)",
        start=moment(start),
        end=moment(end),
        **CHAIN,
    )


def test_open_interest_is_that_of_calls_and_puts_by_strike(market: Market) -> None:
    interest = {
        strike: (row["call_open_interest"], row["put_open_interest"])
        for strike, row in chain(market).items()
    }
    assert interest == {
        100: (100, 100),
        110: (100, 500),
        120: (1600, 750),
        130: (100, 100),
        140: (100, 100),
    }


def test_chain_is_as_it_stood_before_the_time_that_is_asked_for(market: Market) -> None:
    earlier = chain(market, OPENING + 300)[120]
    assert (earlier["call_open_interest"], earlier["call_volume"]) == (1000, 300)


def test_volume_of_an_earlier_day_is_not_today_s(market: Market) -> None:
    shown = chain(market)
    assert (shown[120]["call_volume"], shown[110]["put_volume"]) == (400, 200)
    assert shown[110]["call_volume"] is None


def test_forward_comes_of_options_that_have_traded(database: Database) -> None:
    market = Market(database)
    for strike, call, put in [(100, 0, 0), (110, 9, 0), (120, 7, 4), (130, 2, 9)]:
        for kind, price in {"CE": call, "PE": put}.items():
            contract: dict[str, Any] = {"underlying": "NIFTY", "expiry": NEAR, "strike": strike}
            market.list(f"{kind}{strike}", kind, **contract)
            market.tick(f"{kind}{strike}", OPENING, price)
    assert {row["forward"] for row in chain(market).values()} == {123}


def test_forward_is_where_call_and_put_are_closest(market: Market) -> None:
    assert {row["forward"] for row in chain(market).values()} == {121}


def test_put_call_ratio_is_of_all_contracts_whether_they_trade_or_not(market: Market) -> None:
    first, second = put_call(market, 0, 86_400)
    # Calls: four of 100 and one that changes; puts: three of 100 and two.
    assert (first["call_open_interest"], first["put_open_interest"]) == (1400, 1500)
    assert first["open_interest_ratio"] == pytest.approx(1500 / 1400)
    assert (second["call_open_interest"], second["put_open_interest"]) == (2000, 1550)
    assert second["open_interest_ratio"] == pytest.approx(1550 / 2000)


def test_put_call_ratio_of_volume_is_of_the_day_so_far(market: Market) -> None:
    first, second = put_call(market, 0, 86_400)
    assert first["volume_ratio"] == pytest.approx(800 / 300)
    assert (second["call_volume"], second["put_volume"]) == (400, 801)
    assert second["volume_ratio"] == pytest.approx(801 / 400)


def test_ratio_in_the_midst_of_a_day_knows_what_was_before(market: Market) -> None:
    assert put_call(market, OPENING + 600, 86_400) == put_call(market, 0, 86_400)[1:]


def test_longer_times_have_the_same_totals_at_their_end(market: Market) -> None:
    of_days = put_call(market, -3 * 86_400, 86_400)
    of_day = put_call(market, 0, 86_400)
    for column in ("call_open_interest", "put_open_interest", "call_volume", "put_volume"):
        assert of_days[-1][column] == of_day[-1][column]


def test_near_the_money_are_as_many_strikes_on_either_side(market: Market) -> None:
    near = rows(
        market.database,
        "SELECT * FROM dashboard_near_the_money(%(underlying)s, %(expiry)s, %(before)s, 1)",
        before=moment(86_400),
        **CHAIN,
    )
    assert [row["strike"] for row in near] == [120, 130]
    assert near[0]["call_change_percent"] == pytest.approx(100 * (6 / 5 - 1))
    assert near[1]["put_ltp"] == 13


def test_underlyings_and_expiries_are_those_that_have_something_to_show(market: Market) -> None:
    underlyings = rows(market.database, "SELECT * FROM dashboard_underlyings()")
    assert [row["underlying"] for row in underlyings] == [UNDERLYING]
    expiries = rows(
        market.database,
        "SELECT * FROM dashboard_expiries(%(underlying)s)",
        underlying=UNDERLYING,
    )
    assert [row["expiry"] for row in expiries] == [str(NEAR), str(FAR), str(OVER)]


@pytest.mark.parametrize("value", ["", "NFO", "NFO:'; DROP TABLE ticks; --", "NSE:NIFTY"])
def test_underlying_that_is_none_has_no_options(market: Market, value: str) -> None:
    asked = {"underlying": value, "expiry": value, "start": moment(0), "end": moment(86_400)}
    for query in (
        "SELECT * FROM dashboard_put_call(%(underlying)s, %(expiry)s, %(start)s, %(end)s)",
        "SELECT * FROM dashboard_chain(%(underlying)s, %(expiry)s, %(end)s)",
        "SELECT * FROM dashboard_near_the_money(%(underlying)s, %(expiry)s, %(end)s, 5)",
        "SELECT * FROM dashboard_expiries(%(underlying)s)",
    ):
        assert rows(market.database, query, **asked) == []
